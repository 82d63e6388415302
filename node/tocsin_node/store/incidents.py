"""Incidents on disk: which thread a signal joins, decided while it is stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.correlation import (
    CORRELATION_WINDOW_MS,
    Incident,
    choose_incident,
    correlating_subjects,
    referenced_digests,
)
from tocsin_protocol.model import Signal

from .audit import append_audit

# One subject can stand in several open incidents only through different families or after a day of silence.
MAX_CANDIDATES = 64

_COLUMNS = "i.id, i.family, i.first_ms, i.last_ms"


def join_incident(
    connection: sqlite3.Connection, digest: bytes, signal: Signal, received_ms: int
) -> tuple[bytes, bool]:
    """The incident a new signal (`digest`) belongs to, and whether the signal opened it."""
    subjects = correlating_subjects(signal)
    by_subject = {s: _of_subject(connection, s, signal.category.family, received_ms) for s in subjects}
    candidates = {incident.id: incident for found in by_subject.values() for incident in found}
    chosen = choose_incident(
        signal, received_ms, _of_references(connection, referenced_digests(signal)), candidates.values()
    )
    if chosen is None:
        _open_incident(connection, digest, signal, received_ms)
        incident, is_new = digest, True
    else:
        incident, is_new = chosen.id, False
        if received_ms > chosen.last_ms:
            connection.execute("UPDATE incidents SET last_ms = ? WHERE id = ?", (received_ms, incident))
    for subject, found in by_subject.items():
        if all(candidate.id != incident for candidate in found):
            connection.execute("INSERT OR IGNORE INTO incident_subjects VALUES (?, ?)", (subject, incident))
    return incident, is_new


def _open_incident(connection: sqlite3.Connection, digest: bytes, signal: Signal, received_ms: int) -> None:
    family = signal.category.family
    connection.execute(
        "INSERT OR IGNORE INTO incidents VALUES (?, ?, ?, ?, ?)",
        (digest, family, signal.incident, received_ms, received_ms),
    )
    append_audit(connection, received_ms, EntryKind.INCIDENT, digest, {"family": family, "hint": signal.incident})


def _of_references(connection: sqlite3.Connection, digests: Iterable[bytes]) -> list[Incident]:
    found = []
    for digest in digests:
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM signals s JOIN incidents i ON i.id = s.incident WHERE s.digest = ?",  # noqa: S608
            (digest,),
        ).fetchone()
        if row:
            found.append(Incident(*row))
    return found


def _of_subject(connection: sqlite3.Connection, subject: str, family: str, received_ms: int) -> list[Incident]:
    """Open incidents about a subject, those of the family first: a flood of others may not hide them."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM incident_subjects s JOIN incidents i ON i.id = s.incident"  # noqa: S608
        " WHERE s.subject = ? AND i.last_ms >= ? ORDER BY i.family = ? DESC, i.first_ms LIMIT ?",
        (subject, received_ms - CORRELATION_WINDOW_MS, family, MAX_CANDIDATES),
    )
    return [Incident(*row) for row in rows]
