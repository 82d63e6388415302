"""Backups of a node's databases: written while it runs, checked, and put where there is none."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .api.feed_db import FEED_DB_NAME, check_feed_copy, copy_feed_db, hold_feed
from .errors import ConfigError, NodeError
from .private_files import PRIVATE_FILE_MODE, make_private_directory, sync_directory
from .record.checking import check_log
from .store.copies import check_copy, copy_database
from .store.database import DATABASE_NAME, held_alone
from .store.log_files import StoreLog


class FeedRestored(StrEnum):
    """What became of the feed's own database."""

    RESTORED = "restored"
    KEPT = "kept"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: whose it is, how many entries its log has, when it was made (UTC ms), and if feed.db."""

    publisher: bytes
    entries: int
    made_ms: int
    has_feed: bool


def back_up(data_dir: Path, folder: Path, made_ms: int) -> Backup:
    """Write the databases to a new folder, and check what was written; raises NodeError or ProtocolError.

    Keys, config and the ledger's anchor are no part of it.
    """
    # [KEEP] A backup has neither keys nor the ledger's anchor, and restoring it leaves the anchor that is there.
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as exc:
        raise NodeError(f"{folder}: a new folder is wanted ({exc.strerror})") from exc
    # [KEEP] The feed's own database is copied before the record: nothing in it is ahead of the record then.
    copy_feed_db(data_dir, folder)
    copy_database(data_dir, folder, made_ms)
    return read_backup(folder)


def read_backup(folder: Path) -> Backup:
    """Check a backup whole: the files, every entry of its log, and that it says that it is one; raises NodeError."""
    publisher, made_ms = check_copy(folder)
    has_feed = check_feed_copy(folder)
    with closing(StoreLog(folder)) as log:
        if log.check_details() or check_log(log, log.head, log.pruned):
            raise NodeError(f"{folder / DATABASE_NAME}: its log is not whole")
        return Backup(publisher, log.head.size, made_ms, has_feed)


def restore(folder: Path, data_dir: Path, publisher: bytes) -> tuple[Backup, FeedRestored]:
    """Put a checked backup where there is no database, while no node runs; raises NodeError."""
    backup = read_backup(folder)
    if backup.publisher != publisher:
        raise NodeError(
            f"{folder}: is of publisher 0x{backup.publisher.hex()}, and the keystore is of 0x{publisher.hex()}"
        )
    make_private_directory(data_dir)
    with held_alone(data_dir):
        # [KEEP] A backup is put over no database: what is there may know more.
        if _is_there(data_dir / DATABASE_NAME):
            text = "is there already, and may know more than the backup: move it away first"
            raise ConfigError(data_dir / DATABASE_NAME, "", text)
        # first, as a restoring that was cut short is known by the record that is missing
        feed = _restore_feed(folder, data_dir, backup)
        _put(folder / DATABASE_NAME, data_dir / DATABASE_NAME)
    return backup, feed


def _restore_feed(folder: Path, data_dir: Path, backup: Backup) -> FeedRestored:
    """Put the feed's own database where there is none, while no feed runs."""
    lock = hold_feed(data_dir)
    try:
        # [KEEP] A feed's database that is there already stays: it may know of keys that were revoked since.
        if _is_there(data_dir / FEED_DB_NAME):
            return FeedRestored.KEPT
        if not backup.has_feed:
            return FeedRestored.NONE
        _put(folder / FEED_DB_NAME, data_dir / FEED_DB_NAME)
        return FeedRestored.RESTORED
    finally:
        os.close(lock)


def _is_there(path: Path) -> bool:
    return any(path.with_name(path.name + end).exists() for end in ("", "-wal", "-journal"))


def _put(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE_MODE)
        with os.fdopen(descriptor, "wb") as file, source.open("rb") as copied:
            shutil.copyfileobj(copied, file)
            file.flush()
            os.fsync(descriptor)
        temporary.rename(target)
        # Else a power cut takes it away again, and the node would start on an empty one.
        sync_directory(target.parent)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        raise NodeError(f"{target}: cannot be written ({exc.strerror})") from exc
