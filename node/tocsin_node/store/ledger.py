"""The ledger of actions as a whole: who holds it, how far it has come, and its anchor beside the database."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from tocsin_protocol.containment.ledger import LedgerMark, new_anchor, next_slot, read_newest
from tocsin_protocol.errors import DecodeError

from ..errors import ConfigError, NodeError
from ..private_files import read_private_file, replace_file

ANCHOR_NAME = "ledger.anchor"


class LedgerError(NodeError):
    """The ledger must not be acted on; the message says why, and what to do."""


def hold_ledger(connection: sqlite3.Connection, instance: bytes) -> None:
    """Make this process the one that holds the ledger; whoever held it before acts no more."""
    connection.execute("CREATE TEMP TABLE holder AS SELECT ? AS instance", (instance,))
    connection.execute("UPDATE ledger SET instance = ?", (instance,))


def check_ledger(connection: sqlite3.Connection) -> None:
    """Raise LedgerError where this process may not act on the ledger."""
    doubt, is_held = connection.execute(
        "SELECT doubt, ledger.instance = holder.instance FROM ledger, temp.holder"
    ).fetchone()
    # [LEDGER] Where another process has taken the ledger over, this one acts no more.
    if not is_held:
        raise LedgerError("another process has taken this ledger over; stop this one")
    # [LEDGER] While a ledger is in doubt, nothing is armed, intended, signed or sent.
    if doubt:
        raise LedgerError(f"{doubt}; look at `tocsin ledger show`, then `tocsin ledger confirm`")


def count_up(connection: sqlite3.Connection) -> None:
    """Count one more arming, or first step of an action."""
    connection.execute("UPDATE ledger SET sequence = sequence + 1")


def read_mark(connection: sqlite3.Connection) -> LedgerMark:
    """How far the ledger has come."""
    ledger, sequence = connection.execute("SELECT id, sequence FROM ledger").fetchone()
    return LedgerMark(ledger, sequence, tuple(connection.execute("SELECT hook, epoch FROM arms ORDER BY hook")))


def doubt_ledger(connection: sqlite3.Connection, why: str) -> None:
    """Keep the ledger from being acted on until the operator has confirmed it."""
    connection.execute("UPDATE ledger SET doubt = ?", (why,))


def renew_ledger(connection: sqlite3.Connection, ledger: bytes, sequence: int) -> None:
    """Let the ledger go on under a new id, out of doubt."""
    connection.execute("UPDATE ledger SET id = ?, sequence = ?, doubt = ''", (ledger, sequence))


def read_doubt(connection: sqlite3.Connection) -> str:
    """Why the operator has to confirm the ledger, or nothing."""
    doubt: str = connection.execute("SELECT doubt FROM ledger").fetchone()[0]
    return doubt


def read_anchor(data_dir: Path) -> LedgerMark | None:
    """The anchor, None without one; raises ConfigError or DecodeError where it cannot be read."""
    path = data_dir / ANCHOR_NAME
    return read_newest(read_private_file(path)) if path.exists() else None


def write_anchor(data_dir: Path, mark: LedgerMark) -> None:
    """Make the anchor tell of a mark, durable; raises OSError, ConfigError or DecodeError.

    In place, in the slot that does not hold the newest mark: half the time of a new file and its directory.
    """
    path = data_dir / ANCHOR_NAME
    if not path.exists():
        replace_file(path, new_anchor(mark))
        return
    offset, data = next_slot(read_private_file(path), mark)
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, data, offset)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def replace_anchor(data_dir: Path, mark: LedgerMark) -> None:
    """Make a new anchor, durable, in place of one that may not be readable."""
    replace_file(data_dir / ANCHOR_NAME, new_anchor(mark))


def describe_anchor(data_dir: Path) -> tuple[LedgerMark | None, str]:
    """The anchor, and what is wrong with it."""
    try:
        return read_anchor(data_dir), ""
    except (ConfigError, DecodeError, OSError) as exc:
        return None, f"the anchor cannot be read ({exc})"
