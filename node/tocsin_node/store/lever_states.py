"""What the levers have done so far: armed, used, in effect; and whom that was charged to."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import WITHOUT_EFFECT, State
from tocsin_protocol.decision.budget import GROUP_BUDGET_MS, Charge
from tocsin_protocol.decision.decide import Choice, LeverState
from tocsin_protocol.decision.levers import MAX_BUCKET, Lever
from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.decision.tiers import Tier

from .actions import Arm, read_arms

# Bounds the read; a month of what one node could charge at most stays far below.
MAX_CHARGES = 10_000
_MINUTE_MS = 60_000
_INCIDENT_CHARS = 12
# Nothing is held by these: it never was, is not yet, or is no more.
_NOT_IN_EFFECT = WITHOUT_EFFECT | {State.AWAITING_APPROVAL, State.LIFTED}


def read_lever_states(
    connection: sqlite3.Connection, policy: Policy, incident: bytes, now_ms: int
) -> dict[str, LeverState]:
    """The state of every lever of the policy, by hook, for a decision about an incident."""
    arms = read_arms(connection)
    return {
        lever.hook: state_of(lever, arms.get(lever.hook), _read_uses(connection, lever.hook), incident, now_ms)
        for lever in policy.levers
    }


def action_target(lever: Lever, target: str, incident: bytes) -> str:
    """What an action is on. A notice is on its incident as well: one page in each, not one in each arm epoch."""
    return f"{target} {incident.hex()[:_INCIDENT_CHARS]}" if lever.tier is Tier.NOTIFY else target


@dataclass(frozen=True, slots=True)
class Use:
    """A use of a lever: in which arm epoch, when it was decided (UTC ms), what became of it, and on what."""

    arm_epoch: int
    created_ms: int
    state: State
    target: str


def state_of(lever: Lever, arm: Arm | None, uses: Sequence[Use], incident: bytes, now_ms: int) -> LeverState:
    """What a lever's uses, latest first, come to for a decision about an incident."""
    uses = uses[:MAX_BUCKET]
    suffix = action_target(lever, "", incident)
    return LeverState(
        is_armed=arm is not None and arm.armed,
        is_spent=arm is not None and any(use.arm_epoch == arm.epoch and use.target.endswith(suffix) for use in uses),
        is_in_effect=any(
            use.state not in _NOT_IN_EFFECT and now_ms - use.created_ms < lever.minutes * _MINUTE_MS
            # Who arms it anew says that it may be used again.
            for use in uses
            if arm is not None and use.arm_epoch == arm.epoch
        ),
        uses_ms=tuple(use.created_ms for use in uses if use.state not in WITHOUT_EFFECT),
    )


def _read_uses(connection: sqlite3.Connection, hook: str) -> list[Use]:
    rows = connection.execute(
        "SELECT arm_epoch, created_ms, state, target FROM actions WHERE hook = ? ORDER BY created_ms DESC LIMIT ?",
        (hook, MAX_BUCKET),
    )
    return [Use(epoch, created_ms, State(state), target) for epoch, created_ms, state, target in rows]


def read_charges(connection: sqlite3.Connection, now_ms: int) -> list[Charge]:
    """What foreign members stand charged with, as far back as it counts."""
    rows = connection.execute(
        "SELECT member, incident, minutes, at_ms, refunded FROM charges WHERE at_ms > ? ORDER BY at_ms DESC LIMIT ?",
        (now_ms - GROUP_BUDGET_MS, MAX_CHARGES),
    )
    return [
        Charge(member, incident, minutes, at_ms, bool(refunded)) for member, incident, minutes, at_ms, refunded in rows
    ]


def insert_charges(connection: sqlite3.Connection, action: Action, choice: Choice, now_ms: int) -> None:
    """Charge the members whose groups the use of a lever counted on."""
    connection.executemany(
        "INSERT INTO charges (action, member, incident, minutes, at_ms, refunded) VALUES (?, ?, ?, ?, ?, 0)",
        [(action.action_id, member, action.incident_id, choice.lever.minutes, now_ms) for member in choice.charged],
    )


def refund_charges(connection: sqlite3.Connection, incident: bytes) -> int:
    """Give back what was charged for a confirmed incident; returns how many charges that were."""
    row = connection.execute("UPDATE charges SET refunded = 1 WHERE incident = ? AND refunded = 0", (incident,))
    return row.rowcount
