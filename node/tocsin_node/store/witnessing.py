"""The heads of other logs that this node cosigns: the largest of each, on disk before the cosignature leaves."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from tocsin_protocol.log.watch import LogView


def keep_heads(connection: sqlite3.Connection, views: Mapping[bytes, LogView]) -> None:
    """Keep what is seen of logs, by publisher, in the caller's transaction."""
    # [LOG] The largest head of each log is kept, in the transaction that is on disk before its cosignature leaves.
    rows = [(publisher, view.kept.note) for publisher, view in views.items() if view.kept is not None]
    connection.executemany("INSERT OR REPLACE INTO witnessed VALUES (?, ?)", rows)


def read_kept(connection: sqlite3.Connection) -> dict[bytes, bytes]:
    """The kept head of each log, by publisher."""
    return dict(connection.execute("SELECT publisher, note FROM witnessed"))


def read_kept_head(connection: sqlite3.Connection, publisher: bytes) -> bytes | None:
    """The kept head of a publisher's log."""
    row = connection.execute("SELECT note FROM witnessed WHERE publisher = ?", (publisher,)).fetchone()
    return None if row is None else row[0]
