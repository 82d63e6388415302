"""How many transactions of our guardian a chain has counted, as far as this node knows where they came from."""

from __future__ import annotations

import sqlite3

from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.encoding import decode_canonical

from .actions import MAX_EVENT_BYTES

# The newest signatures on a chain; nonces only rise, so the highest is among the newest actions.
MAX_SIGNATURES_READ = 256


def explain_count(connection: sqlite3.Connection, chain: str, count: int) -> int:
    """Note a chain's count of the guardian's transactions; returns how many of them are nobody's this node knows.

    The first count that is ever seen is taken as it is.
    """
    row = connection.execute("SELECT count FROM guardian_counts WHERE chain = ?", (chain,)).fetchone()
    # [CARE] Known are the transactions that were there at the first look, those told of since, and our own.
    known = count if row is None else max(row[0], _signed_count(connection, chain))
    if row is None or count > row[0]:
        connection.execute("INSERT OR REPLACE INTO guardian_counts VALUES (?, ?)", (chain, count))
    return max(0, count - known)


def _signed_count(connection: sqlite3.Connection, chain: str) -> int:
    """One above the highest nonce that this node has signed on a chain; 0 without one."""
    rows = connection.execute(
        "SELECT detail FROM action_events JOIN actions ON actions.id = action_events.action"
        " WHERE event = ? AND substr(target, 1, ?) = ? ORDER BY action_events.id DESC LIMIT ?",
        (Event.SIGN.value, len(chain) + 1, chain + ":", MAX_SIGNATURES_READ),
    )
    nonces = [decode_canonical(detail, max_bytes=MAX_EVENT_BYTES)["nonce"] for (detail,) in rows]
    return max(nonces, default=-1) + 1
