"""Drills on disk: the action that each set off here, and the signed record of how long it took."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.action import Action, new_action
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.drill import MAX_REPORTED, DrillRecord, DrillStage, sign_record
from tocsin_protocol.freshness import actionable_until_ms
from tocsin_protocol.model import Signal

from ..hooks.hook import Hook, Occasion
from .actions import find_action, insert_intent, read_arms, set_arm
from .audit import append_audit
from .ledger import read_mark

_NO_DECISION = bytes(8)
# The first event of a kind is when the stage was reached; what came again is a repetition.
_STAGE_OF = {
    Event.SIGN: DrillStage.SIGNED,
    Event.SEND: DrillStage.BROADCAST,
    Event.INCLUDE: DrillStage.INCLUDED,
    Event.CONFIRM: DrillStage.EFFECTIVE,
}


@dataclass(frozen=True, slots=True)
class DrillOrder:
    """A drill to be done here: the stored signal, when it came, and how long ago the last one of its kind may be."""

    digest: bytes
    publisher: bytes
    signal: Signal
    gap_ms: int


def begin_drill(
    connection: sqlite3.Connection, order: DrillOrder, hooks: Mapping[str, Hook], now_ms: int
) -> list[Action]:
    """Make the intents of a drill durable; none where it was done already, or one was done a short while ago."""
    seen = connection.execute(
        "SELECT 1 FROM drills WHERE drill = ? OR (publisher = ? AND at_ms > ?) LIMIT 1",
        (order.digest, order.publisher, now_ms - order.gap_ms),
    ).fetchone()
    row = connection.execute("SELECT incident FROM signals WHERE digest = ?", (order.digest,)).fetchone()
    # [DRILL] A drill is done once, and one of a peer's at most once in PEER_GAP_MS.
    if seen or row is None:
        return []
    occasion = Occasion(
        incident_id=row[0],
        decision_id=_NO_DECISION,
        category=str(order.signal.category),
        severity=str(order.signal.severity),
        subjects=tuple(sorted(subject.value for subject in order.signal.subjects)),
        summary="A drill: nothing is to be done.",
        decided_ms=now_ms,
    )
    return [_intend(connection, order, hook, occasion, now_ms) for _, hook in sorted(hooks.items())]


def _intend(connection: sqlite3.Connection, order: DrillOrder, hook: Hook, occasion: Occasion, now_ms: int) -> Action:
    # [DRILL] A drill hook is armed by a drill, for that drill alone; nothing else can set it off.
    epoch = set_arm(connection, hook.name, armed=True, now_ms=now_ms, by="drill").epoch
    action = new_action(
        ledger=read_mark(connection).ledger,
        hook=hook.name,
        target=hook.target,
        arm_epoch=epoch,
        incident_id=occasion.incident_id,
        decision_id=occasion.decision_id,
        payload=hook.payload(occasion),
        created_ms=now_ms,
        deadline_ms=actionable_until_ms(order.signal),
    )
    insert_intent(connection, action, now_ms)
    connection.execute(
        "INSERT INTO drills (action, drill, publisher, issued_ms, at_ms) VALUES (?, ?, ?, ?, ?)",
        (action.action_id, order.digest, order.publisher, order.signal.issued_ms, now_ms),
    )
    return action


def end_drill(connection: sqlite3.Connection, secret: bytes, node: bytes, action_id: bytes, now_ms: int) -> None:
    """Sign and keep what was measured of a settled action, and disarm its hook; once."""
    action = find_action(connection, action_id)
    row = connection.execute("SELECT drill, publisher, body FROM drills WHERE action = ?", (action_id,)).fetchone()
    if action is None or row is None or row[2] is not None:
        return
    drill, publisher, _ = row
    record = DrillRecord(
        drill, publisher, node, action.hook, str(action.state), _read_stages(connection, action, drill)
    )
    body, signature = sign_record(secret, record)
    values = (body, signature, action_id)
    connection.execute("UPDATE drills SET body = ?, signature = ? WHERE action = ?", values)
    if (arm := read_arms(connection).get(action.hook)) is not None and arm.armed and arm.epoch == action.arm_epoch:
        set_arm(connection, action.hook, armed=False, now_ms=now_ms, by="drill")
    # [DRILL] What was measured is audited, signed.
    append_audit(connection, now_ms, EntryKind.NODE, drill, {"slo": body, "signature": signature})


def _read_stages(connection: sqlite3.Connection, action: Action, drill: bytes) -> tuple[tuple[DrillStage, int], ...]:
    at: dict[DrillStage, int] = {DrillStage.DECIDED: action.created_ms}
    row = connection.execute(
        "SELECT signals.received_ms, drills.issued_ms FROM signals, drills WHERE digest = ? AND action = ?",
        (drill, action.action_id),
    ).fetchone()
    at[DrillStage.HEARD], at[DrillStage.PUBLISHED] = row
    events = connection.execute(
        "SELECT event, at_ms FROM action_events WHERE action = ? ORDER BY id", (action.action_id,)
    )
    for event, at_ms in events:
        stage = _STAGE_OF.get(Event(event))
        if stage is not None:
            # A webhook may be tried again: the first try is when it went out.
            at.setdefault(stage, at_ms)
    return tuple((stage, at[stage]) for stage in DrillStage if stage in at)


def open_drills(connection: sqlite3.Connection) -> list[bytes]:
    """Actions of drills that were not measured to their end yet."""
    rows = connection.execute("SELECT action FROM drills WHERE body IS NULL ORDER BY at_ms LIMIT ?", (MAX_REPORTED,))
    return [action for (action,) in rows]


def read_records(connection: sqlite3.Connection, limit: int) -> Sequence[tuple[bytes, bytes]]:
    """Body and signature of the newest records, newest first."""
    return connection.execute(
        "SELECT body, signature FROM drills WHERE body IS NOT NULL ORDER BY at_ms DESC LIMIT ?", (limit,)
    ).fetchall()
