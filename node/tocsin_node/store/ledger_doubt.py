"""A ledger that may not be the one that acted last: put in doubt, shown, and confirmed by the operator."""

from __future__ import annotations

import sqlite3

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.ledger import MAY_ACT, LedgerMark, LedgerStanding, join_marks, judge_ledger
from tocsin_protocol.containment.life_cycle import Event

from .actions import append_event, read_arms, read_open_actions, set_arm
from .audit import append_audit
from .copies import Held, go_on, why_ledger_waits
from .ledger import LedgerError, doubt_ledger, read_doubt, read_mark, renew_ledger

_WHY = {
    LedgerStanding.UNANCHORED: "the ledger has no anchor beside it: the database may be an old copy",
    LedgerStanding.EMPTIED: "the database is empty, and its anchor knows of armings and actions",
    LedgerStanding.OLDER: "the database is an older copy: its anchor has counted further",
    LedgerStanding.FOREIGN: "the database is not the one that the anchor beside it belongs to",
}


def judge_found(connection: sqlite3.Connection, anchor: LedgerMark | None, fault: str, now_ms: int) -> str:
    """Put the ledger in doubt where its anchor speaks against it; returns the doubt in force, or nothing."""
    if why := why_ledger_waits(connection):
        raise_doubt(connection, why, now_ms)
        go_on(connection, Held.LEDGER)
    standing = judge_ledger(anchor, read_mark(connection))
    if fault or standing not in MAY_ACT:
        raise_doubt(connection, fault or _WHY[standing], now_ms)
    return read_doubt(connection)


def raise_doubt(connection: sqlite3.Connection, why: str, now_ms: int) -> None:
    """Put the ledger in doubt and disarm every hook; what is in doubt already keeps its reason."""
    if read_doubt(connection):
        return
    doubt_ledger(connection, why)
    append_audit(connection, now_ms, EntryKind.ALARM, b"", {"ledger": why})
    # [LEDGER] A ledger that comes into doubt has all its hooks disarmed, and is in doubt until the operator confirms.
    for hook in [hook for hook, arm in read_arms(connection).items() if arm.armed]:
        set_arm(connection, hook, armed=False, now_ms=now_ms, by="ledger")


def confirm_ledger(connection: sqlite3.Connection, anchor: LedgerMark | None, new_id: bytes, now_ms: int) -> LedgerMark:
    """Take a doubted ledger for ours from here on; raises LedgerError where nothing is in doubt."""
    if not (doubt := read_doubt(connection)):
        raise LedgerError("the ledger is not in doubt: there is nothing to confirm")
    # [LEDGER] What a confirmed ledger had not signed yet lapses: its effect may be on chain, by what was lost.
    for action in read_open_actions(connection):
        if action.is_unsigned:
            append_event(
                connection, action.action_id, Event.LAPSE, {"reason": f"the ledger was in doubt: {doubt}"}, now_ms
            )
    mark = join_marks(anchor, read_mark(connection), new_id)
    for hook, epoch in mark.epochs:
        connection.execute("INSERT OR REPLACE INTO arms VALUES (?, ?, 0, ?)", (hook, epoch, now_ms))
    renew_ledger(connection, mark.ledger, mark.sequence)
    detail = {
        "verb": "confirm-ledger",
        "by": "operator",
        "doubt": doubt,
        "epochs": [list(item) for item in mark.epochs],
        "ledger": new_id,
        "sequence": mark.sequence,
    }
    append_audit(connection, now_ms, EntryKind.OPERATOR, b"", detail)
    return mark
