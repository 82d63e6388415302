"""How much of the collections is kept: what was superseded goes first, and then what is oldest."""

from __future__ import annotations

import sqlite3

from tocsin_protocol.stix.marking import Circle

from ..feed_db import transaction
from .objects import Collection, circle_collection_id, read_collections

# Of a circle's collection and of an archive: versions of objects, of which each takes less than a kilobyte on average.
MAX_OBJECTS = 2_000_000
KEEP_SUPERSEDED_MS = 30 * 24 * 3_600 * 1_000
DROP_AT_ONCE = 500
# Few, and everything leans on them.
_LASTING = ("extension-definition", "identity", "marking-definition")

_CIRCLES = frozenset(map(circle_collection_id, Circle))
_DOOMED = "SELECT added_ms, id, type, body, is_first, is_last FROM taxii_objects WHERE collection = ?"

Row = tuple[int, str, str, int, int, int]


def drop_old(connection: sqlite3.Connection, now_ms: int) -> int:
    """Drop what the circles' collections hold too much of, some at once; returns how many versions went."""
    dropped = 0
    for collection in read_collections(connection):
        if collection.id not in _CIRCLES:
            continue
        # [TAXII] A version that is neither first nor last goes KEEP_SUPERSEDED_MS after it was added.
        query = f"{_DOOMED} AND is_first = 0 AND is_last = 0 AND added_ms < ? ORDER BY added_ms LIMIT ?"
        rows = connection.execute(query, (collection.number, now_ms - KEEP_SUPERSEDED_MS, DROP_AT_ONCE)).fetchall()
        dropped += _drop(connection, collection, rows, dropped_ms=0)
        # [TAXII] A circle's collection that holds more than MAX_OBJECTS loses those that were added first.
        too_many = min(collection.objects - len(rows) - MAX_OBJECTS, DROP_AT_ONCE)
        if too_many > 0:
            query = f"{_DOOMED} AND type NOT IN (?, ?, ?) ORDER BY added_ms LIMIT ?"
            rows = connection.execute(query, (collection.number, *_LASTING, too_many)).fetchall()
            dropped += _drop(connection, collection, rows, dropped_ms=rows[-1][0] if rows else 0)
    return dropped


def _drop(connection: sqlite3.Connection, collection: Collection, rows: list[Row], dropped_ms: int) -> int:
    if not rows:
        return 0
    with transaction(connection):
        for added_ms, object_id, kind, body, is_first, is_last in rows:
            connection.execute(
                "DELETE FROM taxii_objects WHERE collection = ? AND added_ms = ?", (collection.number, added_ms)
            )
            connection.execute("UPDATE stix_bodies SET uses = uses - 1 WHERE number = ?", (body,))
            connection.execute("DELETE FROM stix_bodies WHERE number = ? AND uses = 0", (body,))
            if is_first or is_last:
                _mend_edges(connection, collection, object_id, kind)
        # [TAXII] A collection says up to which date_added objects went, and so does a page to who asks for them.
        connection.execute(
            "UPDATE taxii_collections SET objects = objects - ?, dropped_ms = max(dropped_ms, ?) WHERE number = ?",
            (len(rows), dropped_ms, collection.number),
        )
    return len(rows)


def _mend_edges(connection: sqlite3.Connection, collection: Collection, object_id: str, kind: str) -> None:
    """Of the versions that are left, one is the first and one the last again."""
    which = (collection.number, object_id)
    for column, edge in (("is_first", "MIN"), ("is_last", "MAX")):
        connection.execute(
            f"UPDATE taxii_objects SET {column} = 1 WHERE collection = ? AND id = ? AND rank ="  # noqa: S608 - of two
            f" (SELECT {edge}(rank) FROM taxii_objects WHERE collection = ? AND id = ?)",
            (*which, *which),
        )
    query = "SELECT 1 FROM taxii_objects WHERE collection = ? AND id = ? LIMIT 1"
    if kind == "incident" and connection.execute(query, which).fetchone() is None:
        # what is heard of it from here on is told as an incident of its own
        connection.execute("DELETE FROM taxii_incidents WHERE collection = ? AND id = ?", which)
