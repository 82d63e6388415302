"""Copies of the database: made while the node runs, and known to be copies by whatever starts on them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from ..private_files import PRIVATE_FILE_MODE, sync_directory
from .database import DATABASE_NAME, StoreError, open_reader


class Held(StrEnum):
    """What of a node waits on a copy until somebody who knows more has spoken."""

    LEDGER = "ledger"
    LOG = "log"
    FEED = "feed"


def copy_database(data_dir: Path, folder: Path, made_ms: int) -> None:
    """Write a copy of a database that may be written to meanwhile to a folder without one; raises StoreError."""
    path = folder / DATABASE_NAME
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE))
        with closing(open_reader(data_dir)) as source, closing(sqlite3.connect(path)) as copy:
            # All in one step: what is written meanwhile would have it begin anew.
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            # [KEEP] A backup says of itself that it is one, so whatever starts on it knows that it may be old.
            with copy:
                copy.executemany(
                    "INSERT OR REPLACE INTO copied VALUES (?, ?)", [(held.value, made_ms) for held in Held]
                )
        for directory in (folder, folder.parent):
            sync_directory(directory)
    except (sqlite3.Error, OSError) as exc:
        raise StoreError(f"{path}: the database could not be copied ({exc})") from exc


def check_copy(folder: Path) -> tuple[bytes, int]:
    """Whose copy is in a folder, and when it was made (UTC ms); raises StoreError unless its file is whole."""
    path = folder / DATABASE_NAME
    if not path.is_file():
        raise StoreError(f"{path}: is not there: a folder that `tocsin backup` wrote is wanted")
    try:
        with closing(open_reader(folder)) as connection:
            (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if answer != "ok":
                raise StoreError(f"{path}: is damaged ({answer})")
            (made_ms,) = connection.execute("SELECT MAX(made_ms) FROM copied").fetchone()
            (publisher,) = connection.execute("SELECT publisher FROM node").fetchone()
    except sqlite3.DatabaseError as exc:
        raise StoreError(f"{path}: is damaged ({exc})") from exc
    if made_ms is None:
        raise StoreError(f"{path}: is no backup: `tocsin backup` makes one")
    return publisher, made_ms


def why_ledger_waits(connection: sqlite3.Connection) -> str:
    """Why the ledger of a copy is to be doubted, or nothing."""
    # [KEEP] The ledger of a backup is in doubt until the operator has confirmed it, whatever its anchor says.
    made = _made(connection, Held.LEDGER)
    return made and f"the database is a backup of {made}: it may not know of all that was done since"


def why_log_waits(connection: sqlite3.Connection) -> str:
    """Why the log of a copy grows no more, or nothing."""
    # [KEEP] The log of a backup grows no more until the operator says that no later head of it was shown.
    made = _made(connection, Held.LOG)
    return (
        made and f"the database is a backup of {made}, and others may know later heads of its log: `tocsin log confirm`"
    )


def why_feed_waits(connection: sqlite3.Connection) -> str:
    """Why the operator cannot open the publishing of a copy, or nothing."""
    # [KEEP] On a backup peers alone open publishing: what it does not know of our feed only they can show.
    made = _made(connection, Held.FEED)
    return made and f"the database is a backup of {made}: peers have to show us our own feed first"


def go_on(connection: sqlite3.Connection, held: Held) -> None:
    """This waits no more."""
    connection.execute("DELETE FROM copied WHERE waits = ?", (held.value,))


def _made(connection: sqlite3.Connection, held: Held) -> str:
    row = connection.execute("SELECT made_ms FROM copied WHERE waits = ?", (held.value,)).fetchone()
    return datetime.fromtimestamp(row[0] / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC") if row else ""
