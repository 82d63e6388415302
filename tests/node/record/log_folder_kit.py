"""Logs of any size, in a database and in a folder."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from protocol_kit import NETWORK_ID, NOW_MS, Feed
from store_kit import LOG_SECRET
from tocsin_node.record.export import export_log
from tocsin_node.store.database import DATABASE_NAME
from tocsin_node.store.log_files import StoreLog
from tocsin_node.store.writer import Store
from tocsin_protocol.encoding import encode_canonical

OWNER = Feed("alba").publisher


def make_log(data_dir: Path, size: int) -> None:
    """A database whose log has so many entries, each about an id of its own."""
    Store(data_dir, OWNER, NETWORK_ID, LOG_SECRET).close()
    with closing(sqlite3.connect(data_dir / DATABASE_NAME)) as connection, connection:
        held = connection.execute("SELECT COUNT(*) FROM audit").fetchone()[0]
        connection.executemany(
            "INSERT INTO audit (at_ms, kind, reference, detail) VALUES (?, 'node', ?, ?)",
            [
                (NOW_MS + n, n.to_bytes(4, "big") + bytes(28), encode_canonical({"number": n}))
                for n in range(held, size)
            ],
        )
    # what is not in the tree yet is added at the start
    store = Store(data_dir, OWNER, NETWORK_ID, LOG_SECRET)
    store.close()
    assert not store.record.fault


def export_to(data_dir: Path, folder: Path) -> int:
    with closing(StoreLog(data_dir)) as own:
        return export_log(own, own.head, own.checkpoint(), folder)
