"""Opening feed.db: what is the feed's own, beside the record that it only reads; each topic has its own queries."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tocsin_node.private_files import PRIVATE_FILE_MODE, sync_directory
from tocsin_node.store.database import StoreError

from .feed_schema import MIGRATIONS, SCHEMA_VERSION

FEED_DB_NAME = "feed.db"
LOCK_NAME = "feed.lock"
BUSY_TIMEOUT_MS = 10_000


def open_feed_db(data_dir: Path) -> sqlite3.Connection:
    """Open feed.db, made or brought to this schema where need be; use it from one thread at a time.

    Raises StoreError when it cannot be used.
    """
    path = data_dir / FEED_DB_NAME
    try:
        path.touch(mode=0o600, exist_ok=True)
    except OSError as exc:
        raise StoreError(f"{path}: cannot be written ({exc.strerror})") from exc
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, path)
    except sqlite3.DatabaseError as exc:
        connection.close()
        raise StoreError(f"{path}: not a usable database ({exc})") from exc
    except StoreError:
        connection.close()
        raise
    return connection


def copy_feed_db(data_dir: Path, folder: Path) -> bool:
    """Write a copy of feed.db, which may be written to meanwhile, to a folder without one; False where there is none.

    Raises StoreError.
    """
    path = folder / FEED_DB_NAME
    if not (data_dir / FEED_DB_NAME).exists():
        return False
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE))
        with closing(open_feed_db(data_dir)) as source, closing(sqlite3.connect(path)) as copy:
            # All in one step: what is written meanwhile would have it begin anew.
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        sync_directory(folder)
    except (sqlite3.Error, OSError) as exc:
        raise StoreError(f"{path}: the feed's database could not be copied ({exc})") from exc
    return True


def check_feed_copy(folder: Path) -> bool:
    """Whether a folder holds a copy of feed.db; raises StoreError where that is damaged, or too new for us."""
    path = folder / FEED_DB_NAME
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as copy:
            (answer,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
            found = _version(copy)
    except sqlite3.DatabaseError as exc:
        raise StoreError(f"{path}: is damaged ({exc})") from exc
    if answer != "ok":
        raise StoreError(f"{path}: is damaged ({answer})")
    if not 0 < found <= SCHEMA_VERSION:
        raise StoreError(f"{path}: schema {found} was found, and 1 to {SCHEMA_VERSION} are known; upgrade tocsin")
    return True


def hold_feed(data_dir: Path) -> int:
    """Let no other feed run while this descriptor is open; raises StoreError where one does."""
    # Two feeds would deliver everything twice.
    path = data_dir / LOCK_NAME
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE_MODE)
    except OSError as exc:
        raise StoreError(f"{path}: cannot be written ({exc.strerror})") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(lock)
        raise StoreError(f"{path.parent}: another feed of this node runs already") from exc
    return lock


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of what is written inside, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == SCHEMA_VERSION:
        return
    # The feed and a command may come here at once: the version is read again under the lock.
    with transaction(connection):
        found = _version(connection)
        if found > SCHEMA_VERSION:
            raise StoreError(f"{path}: schema {found} is newer than this program's {SCHEMA_VERSION}; upgrade tocsin")
        for migration in MIGRATIONS[found:]:
            for statement in _statements(migration):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _statements(migration: str) -> Iterator[str]:
    """Statement by statement: `executescript` would commit what is open."""
    pending = ""
    for line in migration.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
