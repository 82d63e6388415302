"""The stages of reopening, one table of what moves between them, and what each lets people do (specs/recovery.md)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ..errors import RecoveryError


class Stage(StrEnum):
    """How far one scope is open, from closed to open."""

    HALTED = "halted"
    RESTRICTED = "restricted"
    EXIT_ONLY = "exit-only"
    CANARY_1 = "canary-1"
    CANARY_5 = "canary-5"
    CANARY_25 = "canary-25"
    NORMAL = "normal"

    @property
    def rank(self) -> int:
        """Its place in the order of opening, 0 for HALTED."""
        return _RANKS[self]


_RANKS = {stage: rank for rank, stage in enumerate(Stage)}


class Event(StrEnum):
    """What may move a scope: people open it, signals close it, its last lever ends."""

    OPEN = "open"
    ALARM = "alarm"
    HALT = "halt"
    LAPSE = "lapse"


TRANSITIONS: Mapping[tuple[Stage, Event], Stage] = {
    # People open one stage at a time, from RESTRICTED as from HALTED.
    (Stage.HALTED, Event.OPEN): Stage.EXIT_ONLY,
    (Stage.RESTRICTED, Event.OPEN): Stage.EXIT_ONLY,
    (Stage.EXIT_ONLY, Event.OPEN): Stage.CANARY_1,
    (Stage.CANARY_1, Event.OPEN): Stage.CANARY_5,
    (Stage.CANARY_5, Event.OPEN): Stage.CANARY_25,
    (Stage.CANARY_25, Event.OPEN): Stage.NORMAL,
    # A new signal takes away what is more than exits.
    (Stage.HALTED, Event.ALARM): Stage.HALTED,
    (Stage.RESTRICTED, Event.ALARM): Stage.RESTRICTED,
    (Stage.EXIT_ONLY, Event.ALARM): Stage.EXIT_ONLY,
    (Stage.CANARY_1, Event.ALARM): Stage.EXIT_ONLY,
    (Stage.CANARY_5, Event.ALARM): Stage.EXIT_ONLY,
    (Stage.CANARY_25, Event.ALARM): Stage.EXIT_ONLY,
    (Stage.NORMAL, Event.ALARM): Stage.EXIT_ONLY,
    # A lever of tier 2 or 3 closes everything.
    (Stage.HALTED, Event.HALT): Stage.HALTED,
    (Stage.RESTRICTED, Event.HALT): Stage.HALTED,
    (Stage.EXIT_ONLY, Event.HALT): Stage.HALTED,
    (Stage.CANARY_1, Event.HALT): Stage.HALTED,
    (Stage.CANARY_5, Event.HALT): Stage.HALTED,
    (Stage.CANARY_25, Event.HALT): Stage.HALTED,
    (Stage.NORMAL, Event.HALT): Stage.HALTED,
    # No lever holds it any more: to RESTRICTED and no further. What is opened already stays so.
    (Stage.HALTED, Event.LAPSE): Stage.RESTRICTED,
    (Stage.RESTRICTED, Event.LAPSE): Stage.RESTRICTED,
    (Stage.EXIT_ONLY, Event.LAPSE): Stage.EXIT_ONLY,
    (Stage.CANARY_1, Event.LAPSE): Stage.CANARY_1,
    (Stage.CANARY_5, Event.LAPSE): Stage.CANARY_5,
    (Stage.CANARY_25, Event.LAPSE): Stage.CANARY_25,
    (Stage.NORMAL, Event.LAPSE): Stage.NORMAL,
}


class Operation(StrEnum):
    """What people do in a market."""

    REPAY = "repay"
    TOP_UP = "top-up"
    WITHDRAW = "withdraw"
    DEPOSIT = "deposit"
    LIQUIDATE = "liquidate"
    BORROW = "borrow"


# Who owes may pay first, who is owed may leave next; new debt comes last.
OPENS: Mapping[Stage, tuple[Operation, ...]] = {
    Stage.HALTED: (),
    Stage.RESTRICTED: (Operation.REPAY, Operation.TOP_UP),
    Stage.EXIT_ONLY: (Operation.REPAY, Operation.TOP_UP, Operation.WITHDRAW),
    Stage.CANARY_1: (Operation.DEPOSIT, Operation.LIQUIDATE),
    Stage.CANARY_5: (Operation.BORROW,),
    Stage.CANARY_25: (),
    Stage.NORMAL: (),
}

LIMIT_PERCENT: Mapping[Stage, int] = {
    Stage.HALTED: 0,
    Stage.RESTRICTED: 0,
    Stage.EXIT_ONLY: 0,
    Stage.CANARY_1: 1,
    Stage.CANARY_5: 5,
    Stage.CANARY_25: 25,
    Stage.NORMAL: 100,
}


def next_stage(stage: Stage, event: Event) -> Stage:
    """The stage after `event`; raises RecoveryError for one that the table does not have."""
    after = TRANSITIONS.get((stage, event))
    if after is None:
        raise RecoveryError(f"recovery: event {event.value} is not possible in stage {stage.value}")
    return after


def operations_of(stage: Stage) -> tuple[Operation, ...]:
    """What a stage allows, in the order of Operation; liquidation only once its grace is over."""
    opened = {operation for at, opens in OPENS.items() if at.rank <= stage.rank for operation in opens}
    return tuple(operation for operation in Operation if operation in opened)
