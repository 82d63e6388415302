"""Hooks that this node has disarmed by itself, and why: on disk, so that a restart forgets nothing."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from tocsin_protocol.audit import EntryKind

from .actions import read_arms, set_arm
from .audit import append_audit


@dataclass(frozen=True, slots=True)
class Standstill:
    """A reason why nothing is armed; it stays until the operator arms something again."""

    cause: str
    sentence: str
    at_ms: int


def read_standstills(connection: sqlite3.Connection) -> list[Standstill]:
    """All of them, oldest first."""
    rows = connection.execute("SELECT cause, sentence, at_ms FROM standstills ORDER BY at_ms, cause")
    return [Standstill(*row) for row in rows]


def stand_still(connection: sqlite3.Connection, cause: str, sentence: str, now_ms: int) -> list[str]:
    """Disarm every hook and note why, once for each cause; returns the hooks that were armed."""
    hooks = disarm_all(connection, now_ms, cause)
    row = connection.execute("INSERT OR IGNORE INTO standstills VALUES (?, ?, ?)", (cause, sentence, now_ms))
    if row.rowcount == 1 or hooks:
        # [CARE] What disarms a node by itself is audited under its name, and shown first until a hook is armed again.
        detail = {"standstill": cause, "why": sentence, "disarmed": len(hooks)}
        append_audit(connection, now_ms, EntryKind.ALARM, b"", detail)
    return hooks


def disarm_all(connection: sqlite3.Connection, now_ms: int, by: str) -> list[str]:
    """Disarm every hook that is armed; returns their names."""
    armed = sorted(hook for hook, arm in read_arms(connection).items() if arm.armed)
    for hook in armed:
        set_arm(connection, hook, armed=False, now_ms=now_ms, by=by)
    return armed


def clear_standstills(connection: sqlite3.Connection) -> None:
    """The operator has armed a hook: he has seen why it was disarmed."""
    connection.execute("DELETE FROM standstills")


def accept_statement(connection: sqlite3.Connection, key: bytes, issued_ms: int) -> bool:
    """Note a statement of an offline key; False where it is not newer than the last one of that key."""
    row = connection.execute("SELECT issued_ms FROM disarm_statements WHERE key = ?", (key,)).fetchone()
    # [CARE] A statement counts once: one that is not newer than the key's last is a repetition.
    if row is not None and issued_ms <= row[0]:
        return False
    connection.execute("INSERT OR REPLACE INTO disarm_statements VALUES (?, ?)", (key, issued_ms))
    return True


def count_own_actions(connection: sqlite3.Connection, now_ms: int, window_ms: int) -> int:
    """Uses of levers within the window and since the last arming that no foreign member is charged for."""
    # [CARE] Only uses that no foreign group is charged for count: what others set off has its own budgets.
    row = connection.execute(
        "SELECT COUNT(*) FROM actions WHERE ends_ms IS NOT NULL AND created_ms > MAX(?,"
        " (SELECT COALESCE(MAX(at_ms), 0) FROM arms WHERE armed = 1 AND hook NOT IN"
        "  (SELECT hook FROM actions JOIN drills ON drills.action = actions.id)))"
        " AND NOT EXISTS (SELECT 1 FROM charges WHERE charges.action = actions.id)",
        (now_ms - window_ms,),
    ).fetchone()
    return int(row[0])
