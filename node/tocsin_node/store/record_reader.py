"""What a post-mortem reads beyond the other views: whole threads, whatever their length up to a bound."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tocsin_protocol.audit import AuditEntry
from tocsin_protocol.belief.outcomes import Verdict
from tocsin_protocol.taxonomy import Tlp

from .database import DATABASE_NAME, StoreError
from .pruning import read_pruned
from .reader import MAX_PAGE, Reader, SignalRow
from .record import read_tile
from .shown_heads import read_witnessed

# Of one incident; whoever wants more has the database.
MAX_SIGNALS = 5_000


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """What one publisher earned by an adjudicated incident."""

    publisher: bytes
    verdict: Verdict
    delay_ms: int | None


class RecordReader(Reader):
    """A reader of all that is known of one incident, at one moment."""

    def __init__(self, data_dir: Path) -> None:
        """Open as `Reader` does; what is committed from now on is not seen."""
        super().__init__(data_dir)
        self._connection.execute("BEGIN")

    def whole_thread(self, incident: bytes) -> list[SignalRow]:
        """The first MAX_SIGNALS signals of an incident, oldest first."""
        found: list[SignalRow] = []
        while page := self.signals(after=found[-1].id if found else 0, incident=incident, limit=MAX_PAGE):
            found += page
            if len(found) >= MAX_SIGNALS:
                break
        return found[:MAX_SIGNALS]

    def neighbouring_labels(self, incident: bytes) -> list[tuple[int, Tlp]]:
        """When signals came (UTC ms) of other incidents about one of its subjects, and their labels."""
        rows = self._connection.execute(
            "SELECT id, encoded, received_ms, path, standing, incident FROM signals WHERE incident IN"
            " (SELECT s.incident FROM incident_subjects s JOIN incident_subjects o USING (subject)"
            "  WHERE o.incident = ?1 AND s.incident != ?1) ORDER BY id LIMIT ?2",
            (incident, MAX_SIGNALS),
        ).fetchall()
        labels = [(row.received_ms, label_of(row)) for row in map(self._signal_row, rows)]
        # What is not looked at might be of any label.
        return labels if len(labels) < MAX_SIGNALS else [*labels, (labels[-1][0], Tlp.RED)]

    def outcomes(self, incident: bytes) -> list[OutcomeRow]:
        """What every publisher earned by an incident."""
        rows = self._connection.execute(
            "SELECT publisher, verdict, delay_ms FROM outcomes WHERE incident = ? ORDER BY publisher LIMIT ?",
            (incident, MAX_PAGE),
        )
        return [OutcomeRow(publisher, Verdict(verdict), delay_ms) for publisher, verdict, delay_ms in rows]

    def log_head(self, least: int) -> bytes | None:
        """A signed head over the first `least` entries, if possible; None in a database that never had any."""
        return read_witnessed(self._connection, least)

    def log_tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile of the log under that head; raises ProofError without any."""
        return read_tile(self._connection, level, number)

    def pruned(self) -> int:
        """How many entries of the log, from the first, are kept elsewhere only."""
        return read_pruned(self._connection)

    def all_audit(self) -> Iterator[AuditEntry]:
        """Every audit entry, oldest first."""
        after = 0
        while page := self.audit(after=after, limit=MAX_PAGE):
            yield from page
            after = page[-1].sequence


def open_record(data_dir: Path) -> RecordReader:
    """Open a node's database, or a copy of it; raises StoreError, also for a file that is no database."""
    try:
        return RecordReader(data_dir)
    except sqlite3.DatabaseError as exc:
        wanted = "a database, in a folder that can be written: SQLite keeps its locks there"
        raise StoreError(f"{data_dir / DATABASE_NAME}: {wanted} ({exc})") from exc


def label_of(row: SignalRow) -> Tlp:
    """A signal's own label; RED where its body cannot be read."""
    return Tlp.RED if row.signal is None else row.signal.tlp
