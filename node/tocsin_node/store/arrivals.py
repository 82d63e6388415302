"""What one batch of opened signals does to the database, in one transaction: store, correlate, decide, intend."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

from tocsin_protocol.admission import Reason
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.feed import decode_equivocation
from tocsin_protocol.model import Signal

from .audit import append_audit, append_audits
from .decisions import Decided, decide_incident
from .feeds import FeedState, advance_feeds, place_envelopes, read_feed
from .incidents import OpenIncidents
from .marks import Mark, mark_of
from .rules import Rules


class Path(StrEnum):
    """How a signal came to us. It says nothing about trust."""

    OWN = "own"
    GOSSIP = "gossip"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class Opened:
    """A verified envelope with its body; `signal` is None where the body does not parse."""

    envelope: Envelope
    signal: Signal | None
    standing: Reason


@dataclass(slots=True)
class Filed:
    """What a batch changed; `claiming` are the incidents in which something new that touches us brings evidence."""

    stored: list[Opened] = field(default_factory=list)
    refused: Counter[Reason] = field(default_factory=Counter)
    proofs: list[bytes] = field(default_factory=list)
    feeds: list[FeedState] = field(default_factory=list)
    decided: list[Decided] = field(default_factory=list)
    claiming: list[bytes] = field(default_factory=list)


def file_arrivals(
    connection: sqlite3.Connection, rules: Rules, arrivals: Sequence[Opened], path: Path, received_ms: int
) -> Filed:
    """Store what is new of a batch, and let every incident it touches be decided."""
    filed = Filed()
    excluded = {publisher for (publisher,) in connection.execute("SELECT publisher FROM equivocations")}
    by_digest = {a.envelope.digest: a for a in arrivals if a.envelope.publisher not in excluded}
    filed.refused[Reason.EQUIVOCATOR] += sum(a.envelope.publisher in excluded for a in arrivals)
    new, proofs = place_envelopes(connection, rules.roster.domain, (a.envelope for a in by_digest.values()))
    filed.refused[Reason.DUPLICATE] += len(by_digest) - len(new) - len(proofs)
    filed.stored = [by_digest[envelope.digest] for envelope in new]
    touched, filed.claiming = _insert_signals(connection, rules, filed.stored, path, received_ms)
    if filed.stored:
        advance_feeds(connection, new)
        filed.feeds = [_feed(connection, *feed) for feed in {(e.publisher, e.lane) for e in new}]
    for proof in proofs:
        filed.refused[Reason.EQUIVOCATION] += 1
        if insert_proof(connection, decode_equivocation(rules.roster.domain, proof)[0].publisher, proof, received_ms):
            filed.proofs.append(proof)
    for incident in touched:
        decided = decide_incident(connection, rules, incident, received_ms)
        if decided is not None:
            filed.decided.append(decided)
    return filed


def insert_proof(connection: sqlite3.Connection, publisher: bytes, proof: bytes, now_ms: int) -> bool:
    """Keep the first proof against a publisher; returns whether this is it."""
    row = connection.execute(
        "INSERT OR IGNORE INTO equivocations (publisher, proof, at_ms) VALUES (?, ?, ?)", (publisher, proof, now_ms)
    )
    if row.rowcount != 1:
        return False
    append_audit(connection, now_ms, EntryKind.EQUIVOCATION, publisher, {"proof": proof})
    return True


def _insert_signals(
    connection: sqlite3.Connection, rules: Rules, stored: Sequence[Opened], path: Path, received_ms: int
) -> tuple[list[bytes], list[bytes]]:
    """Insert signals with their audit entries; returns the incidents to be decided, and those with claims to check."""
    touched: dict[bytes, None] = {}
    claiming: dict[bytes, None] = {}
    rows, entries = [], []
    incidents = OpenIncidents(connection, [o.signal for o in stored if o.signal is not None], received_ms)
    by_path = path.value
    for opened in stored:
        envelope, incident, mark = opened.envelope, None, Mark.NOTHING
        if opened.signal is not None:
            incident, is_new = incidents.join(envelope.digest, opened.signal)
            mark = mark_of(rules.exposure, opened.signal)
            if is_new or mark:
                touched[incident] = None
            if mark and opened.signal.evidence:
                claiming[incident] = None
        standing = opened.standing.value
        rows.append(
            (
                envelope.digest,
                envelope.publisher,
                envelope.lane,
                envelope.sequence,
                envelope.encoded,
                received_ms,
                by_path,
                standing,
                incident,
                mark.value,
            )
        )
        entries.append((received_ms, _SIGNAL_KIND, envelope.digest, _detail(by_path, standing)))
    incidents.write()
    connection.executemany(INSERT_SIGNAL, rows)
    append_audits(connection, entries)
    return list(touched), list(claiming)


INSERT_SIGNAL = (
    "INSERT INTO signals (digest, publisher, lane, sequence, encoded, received_ms, path, standing, incident, matters)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SIGNAL_KIND = EntryKind.SIGNAL.value


@cache
def _detail(path: str, standing: str) -> bytes:
    return encode_canonical({"path": path, "verdict": standing})


def _feed(connection: sqlite3.Connection, publisher: bytes, lane: int) -> FeedState:
    feed = read_feed(connection, publisher, lane)
    assert feed is not None  # noqa: S101 - a signal of it was just stored
    return feed
