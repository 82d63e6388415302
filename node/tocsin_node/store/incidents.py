"""Incidents on disk: which thread each signal of a batch joins, read and written for the batch as a whole."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.correlation import (
    CORRELATION_WINDOW_MS,
    MAX_INCIDENT_MS,
    Incident,
    Tie,
    correlating_subjects,
    referenced_digests,
    tied_incidents,
)
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.model import Signal

from .audit import append_audit, append_audits

# Of the open incidents about a subject, the first of each family: no signal joins a later one through it.
_FIRST_OF_SUBJECTS = """
    SELECT subject, id, family, first_ms, last_ms FROM (
        SELECT s.subject, i.id, i.family, i.first_ms, i.last_ms,
            ROW_NUMBER() OVER (PARTITION BY s.subject, i.family ORDER BY i.first_ms, i.id) AS place
        FROM incident_subjects s JOIN incidents i ON i.id = s.incident
        WHERE s.subject IN (SELECT value FROM json_each(?)) AND i.last_ms >= ? AND i.first_ms >= ?
    ) WHERE place = 1
"""
_OF_SIGNAL = """
    SELECT i.id, i.family, i.first_ms, i.last_ms FROM signals s JOIN incidents i ON i.id = s.incident
    WHERE s.digest = ?
"""


# Of the incidents about the same that had ended before one was opened, the last.
_ENDED_BEFORE = """
    SELECT o.value ->> 0, i.id FROM json_each(?) o
    JOIN incident_subjects s ON s.subject = o.value ->> 1 JOIN incidents i ON i.id = s.incident
    WHERE i.family = o.value ->> 2 AND i.last_ms < ? ORDER BY i.last_ms
"""


class OpenIncidents:
    """The open incidents that signals of one batch may join; what they change stands in memory until `write`."""

    def __init__(self, connection: sqlite3.Connection, signals: Iterable[Signal], received_ms: int) -> None:
        self._connection = connection
        self._received_ms = received_ms
        self._of_signal: dict[bytes, Incident] = {}
        self._opened: list[tuple[bytes, str, str, int, int]] = []
        self._fed: set[bytes] = set()
        self._links: dict[tuple[str, bytes], None] = {}
        self._ties: dict[tuple[bytes, bytes], Tie] = {}
        subjects = {subject for signal in signals for subject in correlating_subjects(signal)}
        self._first: dict[str, dict[str, Incident]] = {subject: {} for subject in subjects}
        rows = connection.execute(
            _FIRST_OF_SUBJECTS,
            (json.dumps(list(subjects)), received_ms - CORRELATION_WINDOW_MS, received_ms - MAX_INCIDENT_MS),
        )
        for subject, *incident in rows:
            self._first[subject][incident[1]] = Incident(*incident)

    def join(self, digest: bytes, signal: Signal) -> tuple[bytes, bool]:
        """The incident a new signal (`digest`) belongs to, and whether the signal opened it."""
        subjects = correlating_subjects(signal)
        candidates = [incident for subject in subjects for incident in self._first[subject].values()]
        tied = tied_incidents(signal, self._received_ms, self._referenced(signal), candidates)
        is_new = not tied
        if tied:
            chosen = tied[0]
            self._ties |= {(chosen.id, other.id): Tie.BRIDGED for other in tied[1:]}
            if self._received_ms > chosen.last_ms:
                self._fed.add(chosen.id)
        else:
            family = signal.category.family
            chosen = Incident(digest, family, self._received_ms, self._received_ms)
            self._opened.append((digest, family, signal.incident, self._received_ms, self._received_ms))
        self._of_signal[digest] = chosen
        for subject in subjects:
            self._tie(subject, chosen)
        return chosen.id, is_new

    def write(self) -> None:
        """Bring the incidents on disk up to what has joined, with an audit entry for each that was opened."""
        self._connection.executemany("INSERT OR IGNORE INTO incidents VALUES (?, ?, ?, ?, ?)", self._opened)
        self._connection.executemany(
            "UPDATE incidents SET last_ms = max(last_ms, ?) WHERE id = ?",
            [(self._received_ms, incident) for incident in self._fed],
        )
        self._connection.executemany("INSERT OR IGNORE INTO incident_subjects VALUES (?, ?)", self._links)
        self._write_ties()
        append_audits(
            self._connection,
            [
                (
                    self._received_ms,
                    EntryKind.INCIDENT.value,
                    digest,
                    encode_canonical({"family": family, "hint": hint}),
                )
                for digest, family, hint, _, _ in self._opened
            ],
        )

    def _write_ties(self) -> None:
        """Note which incidents hang together, with an audit entry for each tie that is new."""
        opened = {digest: family for digest, family, *_ in self._opened}
        about = [[digest.hex(), subject, opened[digest]] for subject, digest in self._links if digest in opened]
        follows = {
            bytes.fromhex(digest): (bytes.fromhex(digest), ended)
            for digest, ended in self._connection.execute(_ENDED_BEFORE, (json.dumps(about), self._received_ms))
        }
        self._ties |= dict.fromkeys(follows.values(), Tie.FOLLOWS)
        for (incident, other), tie in self._ties.items():
            row = self._connection.execute(
                "INSERT OR IGNORE INTO incident_ties VALUES (?, ?, ?)", (incident, other, tie.value)
            )
            if row.rowcount:
                append_audit(
                    self._connection,
                    self._received_ms,
                    EntryKind.INCIDENT,
                    incident,
                    {"other": other, "tie": tie.value},
                )

    def _tie(self, subject: str, incident: Incident) -> None:
        """Note that the subject stands in the incident."""
        first = self._first[subject]
        held = first.get(incident.family)
        if held is None or held.id != incident.id:
            self._links[subject, incident.id] = None
        if held is None or (incident.first_ms, incident.id) <= (held.first_ms, held.id):
            first[incident.family] = incident

    def _referenced(self, signal: Signal) -> list[Incident]:
        found = []
        for digest in referenced_digests(signal):
            # Also one of this batch, which is not on disk yet.
            if digest in self._of_signal:
                found.append(self._of_signal[digest])
            elif row := self._connection.execute(_OF_SIGNAL, (digest,)).fetchone():
                found.append(Incident(*row))
        return found
