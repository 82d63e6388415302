"""Entries of the log that may go: the tree keeps their hashes, an export keeps their bytes."""

from __future__ import annotations

import sqlite3

from tocsin_protocol.audit import MAX_DETAIL_BYTES, EntryKind
from tocsin_protocol.containment.life_cycle import SETTLED
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.log.tiles import TILE_WIDTH
from tocsin_protocol.recovery.stages import Stage

from .audit import append_audit

# One transaction holds up everything else that is written.
MAX_PRUNED_AT_ONCE = 64 * TILE_WIDTH
# What is younger stays, whatever the operator asks for.
MIN_KEEP_DAYS = 30
# What stands in an entry for a detail that was too large; no longer detail is one.
MAX_STAND_IN_BYTES = 64
_DAY_MS = 24 * 3600 * 1000
_SETTLED = ", ".join(f"'{state.value}'" for state in sorted(SETTLED))
_OPEN = f"""
    WITH open_incidents(id) AS (
        SELECT id FROM incidents WHERE last_ms >= ?1
        UNION SELECT incident FROM held_levers
        UNION SELECT incident FROM tracks WHERE stage != '{Stage.NORMAL.value}'
        UNION SELECT incident FROM actions WHERE state NOT IN ({_SETTLED})
    ), open_ids(id) AS (
        SELECT id FROM open_incidents
        UNION SELECT digest FROM signals WHERE incident IN (SELECT id FROM open_incidents)
        UNION SELECT id FROM actions WHERE incident IN (SELECT id FROM open_incidents)
    )
    SELECT MIN(sequence) FROM audit WHERE at_ms >= ?1 OR reference IN (SELECT id FROM open_ids)
"""  # noqa: S608 - words of our own


def read_pruned(connection: sqlite3.Connection) -> int:
    """How many entries from the first have gone."""
    entries: int = connection.execute("SELECT entries FROM log_pruned").fetchone()[0]
    return entries


def keep_since(connection: sqlite3.Connection, days: int, now_ms: int) -> int:
    """From when on (UTC ms) entries stay where so many days are to be kept; 0 where the log is not so old."""
    # [KEEP] Days are counted by the log: the last so many on which it has entries, so no clock makes it old at once.
    query = "SELECT DISTINCT at_ms / ?1 AS day FROM audit WHERE at_ms <= ?2 ORDER BY day DESC LIMIT 1 OFFSET ?3"
    row = connection.execute(query, (_DAY_MS, now_ms, days - 1)).fetchone()
    return 0 if row is None else min(row[0] * _DAY_MS, now_ms - days * _DAY_MS)


def find_prunable(connection: sqlite3.Connection, size: int, before_ms: int) -> int:
    """Up to where entries of a log of this size may go, as a number of entries."""
    # [KEEP] What is younger than asked, or about something open, stays, and all that came after it.
    first_kept = connection.execute(_OPEN, (before_ms,)).fetchone()[0]
    most = size if first_kept is None else first_kept - 1
    # [KEEP] Entries go from the first on, in whole tiles, never the last; all hashes stay, and so do the proofs.
    last_tile = max(0, size - 1) // TILE_WIDTH * TILE_WIDTH
    return int(min(most // TILE_WIDTH * TILE_WIDTH, last_tile))


def prune_log(connection: sqlite3.Connection, to: int, size: int, before_ms: int, now_ms: int) -> int:
    """Drop the first `to` entries as far as they may go, MAX_PRUNED_AT_ONCE more at most; returns how many are gone."""
    pruned = read_pruned(connection)
    upto = min(to // TILE_WIDTH * TILE_WIDTH, find_prunable(connection, size, before_ms), pruned + MAX_PRUNED_AT_ONCE)
    if upto <= pruned:
        return pruned
    # [KEEP] A part of a decision's basis that goes is logged again when it is stood on again.
    connection.execute(
        "DELETE FROM logged_parts WHERE sha256 IN (SELECT reference FROM audit WHERE kind = ? AND sequence <= ?)",
        (EntryKind.BASIS.value, upto),
    )
    _drop_large_details(connection, upto)
    connection.execute("DELETE FROM audit WHERE sequence <= ?", (upto,))
    connection.execute("UPDATE log_pruned SET entries = ?", (upto,))
    append_audit(connection, now_ms, EntryKind.OPERATOR, b"", {"verb": "prune-log", "to": upto, "by": "operator"})
    return upto


def _drop_large_details(connection: sqlite3.Connection, upto: int) -> None:
    """Those that only entries that go have told of."""
    rows = connection.execute(
        "SELECT DISTINCT detail FROM audit WHERE sequence <= ?1 AND length(detail) <= ?2"
        " EXCEPT SELECT detail FROM audit WHERE sequence > ?1 AND length(detail) <= ?2",
        (upto, MAX_STAND_IN_BYTES),
    ).fetchall()
    for (encoded,) in rows:
        detail = decode_canonical(encoded, max_bytes=MAX_DETAIL_BYTES)
        if detail.keys() == {"bytes", "sha256"}:
            connection.execute("DELETE FROM large_details WHERE sha256 = ?", (detail["sha256"],))
