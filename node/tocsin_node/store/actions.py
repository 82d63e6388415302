"""Arms and actions on disk: one action per (hook, target, arm epoch), and every event of its life."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.action import (
    EXPIRY_NOTICE_MS,
    Action,
    Detail,
    IntentVerdict,
    apply_event,
    judge_intent,
)
from tocsin_protocol.containment.life_cycle import SETTLED, ContainmentError, Event, State
from tocsin_protocol.encoding import decode_canonical, encode_canonical

from .audit import append_audit
from .ledger import check_ledger, count_up

MAX_EVENT_BYTES = 256 * 1024
# Far above what a machine can hold open; a bound for the reads only.
MAX_OPEN_ACTIONS = 10_000
# Of what is signed the newest are read at the start: nonces only rise, and no day has so many.
MAX_SIGNED_READ = 1_024

_COLUMNS = "id, hook, target, arm_epoch, incident, decision, payload, created_ms, deadline_ms, ends_ms"
# After these an effect may follow, whatever anybody does: a transaction's is to be signed, a webhook's to be sent.
FIRST_STEPS = frozenset({Event.SIGN, Event.SEND})
_SETTLED_STATES = tuple(sorted(state.value for state in SETTLED))


@dataclass(frozen=True, slots=True)
class Arm:
    """Whether a hook may fire, and in which arm epoch. Each arming starts a new epoch; each epoch fires once."""

    hook: str
    epoch: int
    armed: bool
    at_ms: int


def read_arms(connection: sqlite3.Connection) -> dict[str, Arm]:
    """All hooks that were ever armed."""
    rows = connection.execute("SELECT hook, epoch, armed, at_ms FROM arms")
    return {hook: Arm(hook, epoch, bool(armed), at_ms) for hook, epoch, armed, at_ms in rows}


def set_arm(connection: sqlite3.Connection, hook: str, *, armed: bool, now_ms: int, by: str) -> Arm:
    """Arm a hook (a new epoch) or disarm it; raises LedgerError where the ledger may not be armed."""
    if armed:
        check_ledger(connection)
    before = read_arms(connection).get(hook)
    epoch = (before.epoch if before else 0) + (1 if armed else 0)
    connection.execute("INSERT OR REPLACE INTO arms VALUES (?, ?, ?, ?)", (hook, epoch, int(armed), now_ms))
    count_up(connection)
    detail = {"verb": "arm" if armed else "disarm", "hook": hook, "epoch": epoch, "by": by}
    append_audit(connection, now_ms, EntryKind.OPERATOR, b"", detail)
    return Arm(hook, epoch, armed, now_ms)


def insert_intent(connection: sqlite3.Connection, action: Action, now_ms: int) -> IntentVerdict:
    """Make an intent durable, unless its key is used: the same again is SAME, anything else CONFLICT.

    Raises LedgerError where the ledger may not be acted on.
    """
    # [ACT] An intent is durable, by the transaction of its decision, before anything of it is signed.
    check_ledger(connection)
    verdict = judge_intent(find_action(connection, action.action_id), action)
    if verdict is IntentVerdict.NEW:
        connection.execute(
            f"INSERT INTO actions ({_COLUMNS}, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (
                action.action_id,
                action.hook,
                action.target,
                action.arm_epoch,
                action.incident_id,
                action.decision_id,
                action.payload,
                action.created_ms,
                action.deadline_ms,
                action.ends_ms,
                action.state.value,
            ),
        )
        detail = {
            "decision": action.decision_id,
            "epoch": action.arm_epoch,
            "hook": action.hook,
            "state": str(action.state),
            "target": action.target,
        }
        append_audit(connection, now_ms, EntryKind.ACTION, action.action_id, detail)
    return verdict


def append_event(connection: sqlite3.Connection, action_id: bytes, event: Event, detail: Detail, now_ms: int) -> Action:
    """Apply one event to an action; raises ContainmentError when its life-cycle does not allow it, and LedgerError
    where the ledger may not be acted on.

    The first step towards an effect of a hook that was disarmed or armed anew meanwhile is a LAPSE instead: what the
    operator took back before that is never done. Whoever asked for the step sees it in the state returned.
    """
    action = find_action(connection, action_id)
    if action is None:
        raise ContainmentError(f"action {action_id.hex()} is not in the journal")
    # [ACT] The block of a lifted effect that is replaced raises an alarm: people look whether it is lifted still.
    if action.state is State.LIFTED and event is Event.REORG:
        why = "the block of a lifted effect was replaced: look whether it is lifted still"
        append_audit(connection, now_ms, EntryKind.ALARM, action_id, {"hook": action.hook, "why": why})
        return action
    # [ACT] The first signature or message of what was disarmed, or armed anew, meanwhile is a lapse.
    if action.is_unsigned and event in FIRST_STEPS:
        if why := _taken_back(connection, action):
            event, detail = Event.LAPSE, {"reason": why}
        else:
            check_ledger(connection)
            count_up(connection)
    after = apply_event(action, event, detail)
    connection.execute(
        "INSERT INTO action_events (action, at_ms, event, detail) VALUES (?, ?, ?, ?)",
        (action_id, now_ms, event.value, encode_canonical(dict(detail))),
    )
    connection.execute("UPDATE actions SET state = ? WHERE id = ?", (after.state.value, action_id))
    shown = {"event": event.value, "state": after.state.value} | {k: v for k, v in detail.items() if k != "raw"}
    append_audit(connection, now_ms, _entry_kind(after, event), action_id, shown)
    return after


def _entry_kind(after: Action, event: Event) -> EntryKind:
    if event is Event.EXPIRE:
        return EntryKind.ALARM
    return EntryKind.OUTCOME if after.is_settled else EntryKind.ACTION


def _taken_back(connection: sqlite3.Connection, action: Action) -> str:
    """Why the operator's arming no longer covers an action, or nothing."""
    arm = read_arms(connection).get(action.hook)
    if arm is None or not arm.armed:
        return "the hook was disarmed before anything was sent"
    if arm.epoch != action.arm_epoch:
        return f"the hook was armed anew (epoch {arm.epoch}) before anything was sent"
    return ""


def find_action(connection: sqlite3.Connection, action_id: bytes) -> Action | None:
    """An action in the state its events left it in."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM actions WHERE id = ?", (action_id,)).fetchone()  # noqa: S608
    if row is None:
        return None
    action = Action(*row)
    events = connection.execute("SELECT event, detail FROM action_events WHERE action = ? ORDER BY id", (action_id,))
    for event, detail in events:
        action = apply_event(action, Event(event), decode_canonical(detail, max_bytes=MAX_EVENT_BYTES))
    return action


def read_open_actions(connection: sqlite3.Connection) -> list[Action]:
    """Actions whose hook has something left to do, oldest first."""
    marks = ", ".join("?" * len(_SETTLED_STATES))
    rows = connection.execute(
        f"SELECT id FROM actions WHERE state NOT IN ({marks}) ORDER BY created_ms LIMIT ?",  # noqa: S608
        (*_SETTLED_STATES, MAX_OPEN_ACTIONS),
    ).fetchall()
    return [action for (action_id,) in rows if (action := find_action(connection, action_id)) is not None]


def read_signed(connection: sqlite3.Connection) -> list[Action]:
    """The newest actions of which something is signed, at most MAX_SIGNED_READ."""
    rows = connection.execute(
        "SELECT id FROM actions WHERE EXISTS (SELECT 1 FROM action_events WHERE action = actions.id AND event = ?)"
        " ORDER BY created_ms DESC LIMIT ?",
        (Event.SIGN.value, MAX_SIGNED_READ),
    ).fetchall()
    return [action for (action_id,) in rows if (action := find_action(connection, action_id)) is not None]


def read_in_block(connection: sqlite3.Connection, since_ms: int) -> list[Action]:
    """Actions intended since then that are settled in a block, which a reorg may still take back."""
    states = (State.EFFECTIVE, State.EXPIRING, State.REVERTED)
    rows = connection.execute(
        "SELECT id FROM actions WHERE state IN (?, ?, ?) AND created_ms >= ? ORDER BY created_ms LIMIT ?",
        (*(state.value for state in states), since_ms, MAX_OPEN_ACTIONS),
    ).fetchall()
    return [action for (action_id,) in rows if (action := find_action(connection, action_id)) is not None]


def read_due(connection: sqlite3.Connection, now_ms: int) -> list[Action]:
    """Actions in effect whose end is near or past, those first that nobody was told of."""
    effective = _read_ending(connection, State.EFFECTIVE, now_ms)
    return [*effective, *_read_ending(connection, State.EXPIRING, now_ms)]


def end_due(connection: sqlite3.Connection, over: Collection[bytes], now_ms: int) -> list[Action]:
    """Let the actions whose end is near be lifted where their effect is `over`, else expiring; returns them."""
    lift = {"reason": "the chain says that it is over"}
    expire = {"reason": "its end is near: hold it on purpose, or see to it that it is lifted"}
    ended = []
    for action in read_due(connection, now_ms):
        # [ACT] Near its end an effect that the chain says is over is lifted; any other raises an alarm.
        if action.action_id in over:
            ended.append(append_event(connection, action.action_id, Event.LIFT, lift, now_ms))
        elif action.state is State.EFFECTIVE:
            ended.append(append_event(connection, action.action_id, Event.EXPIRE, expire, now_ms))
    return ended


def lapse_unapproved(connection: sqlite3.Connection, now_ms: int) -> list[Action]:
    """Let the actions lapse that nobody has approved until they were too old to send; returns them."""
    rows = connection.execute(
        "SELECT id FROM actions WHERE state = ? AND deadline_ms < ? LIMIT ?",
        (State.AWAITING_APPROVAL.value, now_ms, MAX_OPEN_ACTIONS),
    ).fetchall()
    lapse = {"reason": "nobody approved it in time"}
    return [append_event(connection, action_id, Event.LAPSE, lapse, now_ms) for (action_id,) in rows]


def read_expiring(connection: sqlite3.Connection, now_ms: int) -> list[Action]:
    """Actions whose end is near or past and that nobody has lifted, oldest first."""
    return _read_ending(connection, State.EXPIRING, now_ms)


def _read_ending(connection: sqlite3.Connection, state: State, now_ms: int) -> list[Action]:
    rows = connection.execute(
        "SELECT id FROM actions WHERE state = ? AND ends_ms <= ? ORDER BY created_ms LIMIT ?",
        (state.value, now_ms + EXPIRY_NOTICE_MS, MAX_OPEN_ACTIONS),
    ).fetchall()
    actions = [action for (action_id,) in rows if (action := find_action(connection, action_id)) is not None]
    return [action for action in actions if action.expires_ms is not None and action.expires_ms <= now_ms]


def read_unknown(connection: sqlite3.Connection) -> list[Action]:
    """Actions of which nobody knows whether they had an effect, oldest first."""
    rows = connection.execute(
        "SELECT id FROM actions WHERE state = ? ORDER BY created_ms LIMIT ?", (State.UNKNOWN.value, MAX_OPEN_ACTIONS)
    ).fetchall()
    return [action for (action_id,) in rows if (action := find_action(connection, action_id)) is not None]


def count_actions_by_state(connection: sqlite3.Connection) -> dict[State, int]:
    """How many actions are in each state."""
    rows = connection.execute("SELECT state, COUNT(*) FROM actions GROUP BY state")
    return {State(state): count for state, count in rows}
