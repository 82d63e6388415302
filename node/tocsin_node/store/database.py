"""Opening the node's database, or refusing to."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import NodeError
from .ledger import hold_ledger
from .schema import MIGRATIONS, SCHEMA_VERSION

DATABASE_NAME = "tocsin.db"
LOCK_NAME = "tocsin.lock"
BUSY_TIMEOUT_MS = 10_000
INSTANCE_BYTES = 8
# Checkpoint each 4 MiB of log: readers stay fast and the file does not grow without end.
WAL_AUTOCHECKPOINT_PAGES = 1000


class StoreError(NodeError):
    """The database cannot be used. The message says which file, and what to do."""


def open_writer(data_dir: Path, publisher: bytes, network_id: bytes) -> tuple[sqlite3.Connection, IO[bytes]]:
    """Open (or create) the database for the one writer; keep the returned lock file open as long.

    Raises StoreError when the database is in use, not usable, of a newer schema, or of another node or network.
    """
    path, instance = data_dir / DATABASE_NAME, secrets.token_bytes(INSTANCE_BYTES)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _lock(data_dir / LOCK_NAME, instance)
        path.touch(mode=0o600, exist_ok=True)
    except OSError as exc:
        raise StoreError(f"{data_dir}: cannot be used as the data directory ({exc.strerror})") from exc
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        prepare_writer(connection, path, publisher, network_id)
        hold_ledger(connection, instance)
    except sqlite3.DatabaseError as exc:
        connection.close()
        lock.close()
        raise StoreError(f"{path}: not a usable database ({exc})") from exc
    except StoreError:
        connection.close()
        lock.close()
        raise
    return connection, lock


def prepare_writer(connection: sqlite3.Connection, path: Path, publisher: bytes, network_id: bytes) -> None:
    """Make a connection the durable writer of our own database; raises StoreError."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_AUTOCHECKPOINT_PAGES}")
    _migrate(connection, path)
    _check_owner(connection, path, publisher, network_id)


@contextmanager
def held_alone(data_dir: Path) -> Iterator[None]:
    """Hold the data directory as a running node does; raises StoreError while one runs."""
    try:
        lock = _lock(data_dir / LOCK_NAME, secrets.token_bytes(INSTANCE_BYTES))
    except OSError as exc:
        raise StoreError(f"{data_dir}: cannot be used as the data directory ({exc.strerror})") from exc
    try:
        yield
    finally:
        lock.close()


def open_reader(data_dir: Path) -> sqlite3.Connection:
    """Open the database read-only; raises StoreError when there is none or it is of a newer schema."""
    path = data_dir / DATABASE_NAME
    if not path.exists():
        raise StoreError(f"{path}: no database yet; start the node once with `tocsin run`")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA query_only = ON")
    found = _version(connection)
    if found != SCHEMA_VERSION:
        connection.close()
        raise StoreError(f"{path}: schema {found} where this program reads {SCHEMA_VERSION}")
    return connection


def file_id(path: Path) -> tuple[int, int] | None:
    """What tells a file from another that was put in its place; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _lock(path: Path, instance: bytes) -> IO[bytes]:
    lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        owner = lock.read(64).decode(errors="replace").strip() or "unknown"
        lock.close()
        raise StoreError(f"{path.parent}: already in use by process {owner}; one node per database") from exc
    lock.truncate(0)
    lock.write(f"{os.getpid()} (instance {instance.hex()})".encode())
    lock.flush()
    return lock


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    found = _version(connection)
    if found > SCHEMA_VERSION:
        raise StoreError(f"{path}: schema {found} is newer than this program's {SCHEMA_VERSION}; upgrade tocsin")
    for version in range(found, SCHEMA_VERSION):
        connection.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[version]} PRAGMA user_version = {version + 1}; COMMIT;")


def _check_owner(connection: sqlite3.Connection, path: Path, publisher: bytes, network_id: bytes) -> None:
    connection.execute("INSERT OR IGNORE INTO node VALUES (1, ?, ?, x'')", (publisher, network_id))
    owner, network = connection.execute("SELECT publisher, network FROM node").fetchone()
    if owner != publisher:
        raise StoreError(f"{path}: belongs to publisher 0x{owner.hex()}, the keystore holds 0x{publisher.hex()}")
    if network != network_id:
        raise StoreError(f"{path}: belongs to network {network.hex()}, the roster is of {network_id.hex()}")
