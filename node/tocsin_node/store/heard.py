"""Which signals a decision had to hear, by the log alone: all that was admitted, filed again as a node files it."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from types import TracebackType
from typing import Any

from tocsin_protocol.audit import AuditEntry
from tocsin_protocol.body import decode_body
from tocsin_protocol.decision.judge import Sighting
from tocsin_protocol.envelope import decode_envelope
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.log.checkpoint import NodeLog
from tocsin_protocol.model import Signal
from tocsin_protocol.signing import Domain, keccak256

from ..exposure import Exposure
from ..record.source import LogSource
from .arrivals import INSERT_SIGNAL, Path
from .database import StoreError
from .incidents import OpenIncidents
from .marks import Mark, mark_for_exposure, mark_of
from .rules import Rules
from .schema import MIGRATIONS
from .sightings import load_all_sightings, load_sightings

DRAFT = "draft"


class Heard:
    """A database of its own, in a file without a name that ends with it. `add` each signal's entry in its order."""

    def __init__(self, source: LogSource, log: NodeLog) -> None:
        self._source = source
        self._domain = Domain(log.network_id)
        # Digests of what was logged and is not kept: nobody can say what it was about.
        self._lost: dict[bytes, None] = {}
        self._exposure: Exposure | None = None
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        for migration in MIGRATIONS:
            self._connection.executescript(migration)
        self._connection.execute("INSERT INTO node VALUES (1, ?, ?, x'')", (log.publisher, log.network_id))
        self._connection.execute("BEGIN")

    def __enter__(self) -> Heard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def lost(self) -> bytes | None:
        """A signal that is not kept, so that what a decision left out is not known; None where all are."""
        return next(iter(self._lost), None)

    def add(self, entry: AuditEntry, detail: dict[str, Any]) -> None:
        """File what an entry of kind `signal` is about; raises StoreError where it does not fit what came before."""
        try:
            self._file(entry, detail)
        except sqlite3.Error as exc:
            self._lost[entry.reference] = None
            short = entry.reference.hex()[:12]
            raise StoreError(f"the signal {short} cannot be filed beside those before it ({exc})") from exc

    def _file(self, entry: AuditEntry, detail: dict[str, Any]) -> None:
        digest = entry.reference
        if detail["path"] != DRAFT:
            self._add_signal(entry, detail)
        elif "dropped" in detail:
            self._lost.pop(digest, None)
            self._connection.execute("DELETE FROM drafts WHERE digest = ?", (digest,))
        else:
            self._add_draft(entry)

    def about(self, rules: Rules, incident: bytes, now_ms: int) -> list[Sighting]:
        """What a decision about an incident hears under these rules."""
        if _leads_to_us(self._exposure) != _leads_to_us(rules.exposure):
            mark_for_exposure(self._connection, self._domain, rules.exposure)
            self._exposure = rules.exposure
        return load_sightings(self._connection, rules.roster, rules.exposure.watched, incident, now_ms)

    def all_of(self, rules: Rules, incident: bytes) -> list[Sighting]:
        """Every signal of an incident, which a finding is about."""
        return load_all_sightings(self._connection, rules.roster, incident)

    def _add_signal(self, entry: AuditEntry, detail: dict[str, Any]) -> None:
        self._lost[entry.reference] = None
        encoded = self._source.read_signal(entry.reference)
        try:
            envelope = None if encoded is None else decode_envelope(self._domain, encoded)
        except DecodeError:
            return
        if envelope is None or envelope.digest != entry.reference:
            return
        del self._lost[entry.reference]
        # What was a draft has its place in the feed now.
        if detail["path"] == Path.OWN:
            draft = keccak256(envelope.body)
            self._lost.pop(draft, None)
            self._connection.execute("DELETE FROM drafts WHERE digest = ?", (draft,))
        incident, mark = None, Mark.NOTHING
        # A body that does not parse belongs to no incident.
        with suppress(DecodeError):
            signal = decode_body(envelope.body)
            incident = self._join(entry, signal)
            mark = Mark.NOTHING if self._exposure is None else mark_of(self._exposure, signal)
        stands = envelope.encoded, entry.at_ms, detail["path"], detail["verdict"], incident, mark.value
        place = envelope.digest, envelope.publisher, envelope.lane, envelope.sequence
        self._connection.execute(INSERT_SIGNAL, (*place, *stands))

    def _add_draft(self, entry: AuditEntry) -> None:
        self._lost[entry.reference] = None
        body = self._source.read_draft(entry.reference)
        if body is None or keccak256(body) != entry.reference:
            return
        del self._lost[entry.reference]
        row = (entry.reference, body, entry.at_ms, self._join(entry, decode_body(body)))
        self._connection.execute("INSERT INTO drafts (digest, body, at_ms, incident) VALUES (?, ?, ?, ?)", row)

    def _join(self, entry: AuditEntry, signal: Signal) -> bytes:
        """The incident that it belongs to, which is opened by it where there is none."""
        incidents = OpenIncidents(self._connection, (signal,), entry.at_ms)
        incident, _ = incidents.join(entry.reference, signal)
        incidents.write()
        return incident


def _leads_to_us(exposure: Exposure | None) -> frozenset[str]:
    """What tells which signals touch us, whatever the amounts are."""
    return frozenset() if exposure is None else exposure.spread.graph.upstream_keys
