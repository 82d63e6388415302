"""What was said of an incident, as it stands now: the newest signals of every feed, and our own drafts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import lru_cache

from tocsin_protocol.admission import Reason, may_publish
from tocsin_protocol.body import decode_body
from tocsin_protocol.decision.judge import Sighting
from tocsin_protocol.envelope import Envelope, decode_envelope
from tocsin_protocol.freshness import check_actionable
from tocsin_protocol.model import Signal
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_model import Publisher
from tocsin_protocol.signing import Domain
from tocsin_protocol.taxonomy import LANES, Relation

from .marks import Mark

# Of each feed the newest in the incident, and the newest that could change a decision at all.
MAX_SIGHTINGS_PER_FEED = 8
# Kept opened: some 2 KB each.
MAX_OPENED = 8192
# Of one incident; what came later than these was said when it was long known.
MAX_SIGNALS_ADJUDICATED = 10_000
# Standings that the clock gives; every other keeps a signal from acting for ever.
_BY_THE_CLOCK = frozenset((Reason.ADMITTED, Reason.EXPIRED, Reason.STALE))

_Row = tuple[int, bytes, int, str, bytes]
_COLUMNS = "id, encoded, received_ms, standing, incident"
# One step of the index for each publisher, however many signals each of them sent.
_SPEAKING = """
    WITH RECURSIVE speaking(publisher) AS (
        SELECT MIN(publisher) FROM signals WHERE {0}
        UNION ALL
        SELECT (SELECT MIN(s.publisher) FROM signals s WHERE {0} AND s.publisher > speaking.publisher)
        FROM speaking WHERE speaking.publisher IS NOT NULL
    ) SELECT publisher FROM speaking WHERE publisher IS NOT NULL
"""
_SPEAKING_IN = _SPEAKING.format("incident = ?1")
# The marks are spelled out in the text of each query: a parameter would hide the index of that mark from SQLite.
_MARKED = (Mark.TOUCHES, Mark.RETRACTS)
_SPEAKING_OF_US = tuple(_SPEAKING.format(f"matters = {mark.value}") for mark in _MARKED)
# The newest of each lane of a publisher, in one query.
_NEWEST = " UNION ALL ".join(
    f"SELECT * FROM (SELECT {_COLUMNS} FROM signals WHERE incident = ?1 AND publisher = ?2 AND lane = {lane}"  # noqa: S608
    " ORDER BY id DESC LIMIT ?3)"
    for lane in LANES
)
# Their places alone, which are in the index: most of them were read with the incident already.
_NEWEST_MARKED = " UNION ALL ".join(
    f"SELECT id FROM (SELECT id FROM signals WHERE publisher = ?1 AND lane = {lane} AND matters = {mark.value}"  # noqa: S608
    " ORDER BY id DESC LIMIT ?2)"
    for lane in LANES
    for mark in _MARKED
)


def load_sightings(
    connection: sqlite3.Connection, roster: RosterIndex, watched: Iterable[str], incident: bytes, now_ms: int
) -> list[Sighting]:
    """The newest signals of every feed in an incident, as they stand now.

    With them those of other incidents about the same of the subjects that ours hangs on (`watched`, as signals name
    them): else one member, by tying an older incident to such a subject between two alarms, could part the voices of a
    quorum; and so could honest ones, who call one event a drain and a flash-loan attack.
    """
    shared = _shared_subjects(connection, watched, incident)
    equivocators = {publisher for (publisher,) in connection.execute("SELECT publisher FROM equivocations")}
    sightings = []
    for publisher_id in _speaking(connection, incident, bool(shared)):
        publisher = roster.publisher(publisher_id)
        if publisher is None:
            continue
        rows = {row[0]: row for row in _newest(connection, incident, publisher_id)}
        if shared:
            elsewhere = _newest_marked(connection, publisher_id) - rows.keys()
            rows |= {place: _read_row(connection, place) for place in elsewhere}
        for _, encoded, received_ms, stored, in_incident in sorted(rows.values()):
            envelope, signal = _open(roster.domain, encoded)
            if in_incident != incident and not _speaks_about(signal, shared):
                continue
            standing = Reason.EQUIVOCATOR if publisher_id in equivocators else Reason(stored)
            standing = stand_now(envelope, signal, publisher, standing, received_ms, now_ms)
            sightings.append(Sighting(envelope.digest, publisher_id, signal, standing, received_ms))
    return sightings + _load_drafts(connection, incident, now_ms)


def load_all_sightings(connection: sqlite3.Connection, roster: RosterIndex, incident: bytes) -> list[Sighting]:
    """Every signal of an incident in the order of arrival, as it stood when it came."""
    rows = connection.execute(
        "SELECT publisher, encoded, received_ms, standing FROM signals WHERE incident = ? ORDER BY id LIMIT ?",
        (incident, MAX_SIGNALS_ADJUDICATED),
    )
    sightings = []
    for publisher, encoded, received_ms, standing in rows:
        envelope, signal = _open(roster.domain, encoded)
        sightings.append(Sighting(envelope.digest, publisher, signal, Reason(standing), received_ms))
    return sightings


def _speaking(connection: sqlite3.Connection, incident: bytes, with_others: bool) -> list[bytes]:
    """The publishers that spoke in an incident; with others, also those who said anything that matters elsewhere."""
    publishers = connection.execute(_SPEAKING_IN, (incident,)).fetchall()
    if with_others:
        publishers += [row for query in _SPEAKING_OF_US for row in connection.execute(query)]
    return sorted({publisher for (publisher,) in publishers})


@lru_cache(MAX_OPENED)
def _open(domain: Domain, encoded: bytes) -> tuple[Envelope, Signal]:
    """A stored signal; the signals of a busy incident are looked at again with each new one."""
    envelope = decode_envelope(domain, encoded)
    return envelope, decode_body(envelope.body)


def stand_now(
    envelope: Envelope, signal: Signal, publisher: Publisher, standing: Reason, received_ms: int, now_ms: int
) -> Reason:
    """Whether a stored signal may act by today's roster: a revoked key takes back what it said past the end."""
    if standing not in _BY_THE_CLOCK:
        return standing
    if envelope.sequence > publisher.last_accepted(envelope.lane):
        return Reason.KEY_REVOKED
    if not may_publish(publisher, envelope.lane):
        return Reason.NOT_CAPABLE
    if not publisher.valid_from_ms <= now_ms < publisher.valid_until_ms:
        return Reason.KEY_NOT_VALID
    return check_actionable(signal, now_ms, received_ms)


def _load_drafts(connection: sqlite3.Connection, incident: bytes, now_ms: int) -> list[Sighting]:
    rows = connection.execute(
        "SELECT publisher, digest, body, at_ms FROM drafts, node WHERE incident = ? ORDER BY id DESC LIMIT ?",
        (incident, MAX_SIGHTINGS_PER_FEED),
    )
    sightings = []
    for publisher, digest, body, at_ms in rows:
        signal = decode_body(body)
        sightings.append(Sighting(digest, publisher, signal, check_actionable(signal, now_ms, at_ms), at_ms))
    return sightings


def _shared_subjects(connection: sqlite3.Connection, watched: Iterable[str], incident: bytes) -> frozenset[str]:
    """Those of our subjects that an incident is about."""
    query = "SELECT 1 FROM incident_subjects WHERE subject = ? AND incident = ?"
    return frozenset(s for s in watched if connection.execute(query, (s, incident)).fetchone())


def _speaks_about(signal: Signal, subjects: frozenset[str]) -> bool:
    return any(subject.value in subjects for subject in signal.subjects) or any(
        reference.relation is Relation.RETRACTS for reference in signal.references
    )


def _newest(connection: sqlite3.Connection, incident: bytes, publisher: bytes) -> list[_Row]:
    """What a publisher's feeds last said in an incident."""
    return connection.execute(_NEWEST, (incident, publisher, MAX_SIGHTINGS_PER_FEED)).fetchall()


def _newest_marked(connection: sqlite3.Connection, publisher: bytes) -> set[int]:
    """Where a publisher's feeds last said something that touches us, and last took something back, anywhere."""
    return {place for (place,) in connection.execute(_NEWEST_MARKED, (publisher, MAX_SIGHTINGS_PER_FEED))}


def _read_row(connection: sqlite3.Connection, place: int) -> _Row:
    row: _Row = connection.execute(f"SELECT {_COLUMNS} FROM signals WHERE id = ?", (place,)).fetchone()  # noqa: S608
    return row
