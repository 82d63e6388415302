"""The audit table behind one small interface: append inside a transaction, page by sequence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from tocsin_protocol.audit import MAX_DETAIL_BYTES, AuditEntry, EntryKind, stand_in
from tocsin_protocol.encoding import encode_canonical


def append_audit(
    connection: sqlite3.Connection, at_ms: int, kind: EntryKind, reference: bytes, detail: dict[str, Any]
) -> int:
    """Append one entry in the caller's transaction; returns its sequence."""
    encoded = encode_canonical(detail)
    if len(encoded) > MAX_DETAIL_BYTES:
        encoded, whole = stand_in(encoded), encoded
        connection.execute("INSERT OR IGNORE INTO large_details VALUES (?, ?)", (sha256(whole).digest(), whole))
    cursor = connection.execute(
        "INSERT INTO audit (at_ms, kind, reference, detail) VALUES (?, ?, ?, ?)",
        (at_ms, kind.value, reference, encoded),
    )
    sequence = cursor.lastrowid
    assert sequence is not None  # noqa: S101 - an INSERT has one
    return sequence


def append_audits(connection: sqlite3.Connection, rows: Iterable[tuple[int, str, bytes, bytes]]) -> None:
    """Append many entries (at_ms, kind, reference, encoded small detail) in the caller's transaction."""
    connection.executemany("INSERT INTO audit (at_ms, kind, reference, detail) VALUES (?, ?, ?, ?)", rows)


def read_audit(connection: sqlite3.Connection, after: int, limit: int) -> list[AuditEntry]:
    """Entries with a sequence above `after`, in order."""
    rows = connection.execute(
        "SELECT sequence, at_ms, kind, reference, detail FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?",
        (after, limit),
    )
    return [AuditEntry(row[0], row[1], EntryKind(row[2]), row[3], row[4]) for row in rows]
