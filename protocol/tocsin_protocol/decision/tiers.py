"""What opens a tier: one table (specs/decision.md)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum, StrEnum

from ..errors import PolicyError

TIGHTEN_GROUPS = 2
FREEZE_GROUPS = 2
GROUPS_BESIDE_OWN = 1
PAUSE_GROUPS = 3


class Tier(IntEnum):
    """How far a lever reaches. Tier 4 (upgrade, move funds) is never automatic, so no lever has it."""

    NOTIFY = 0
    TIGHTEN = 1
    FREEZE = 2
    PAUSE = 3


class Condition(StrEnum):
    """What a tier may ask for."""

    SIGNAL = "signal"
    OWN_DETECTOR = "own-detector"
    PINNED = "pinned"
    TIGHTEN_GROUPS = "tighten-groups"
    FREEZE_GROUPS = "freeze-groups"
    GROUPS_BESIDE_OWN = "groups-beside-own"
    PAUSE_GROUPS = "pause-groups"
    LOCAL_EVIDENCE = "local-evidence"
    OWN_OUTFLOW = "own-outflow"
    OWN_APPROVAL = "own-approval"


NEEDS: Mapping[Tier, tuple[frozenset[Condition], ...]] = {
    Tier.NOTIFY: (frozenset({Condition.SIGNAL}),),
    Tier.TIGHTEN: (
        frozenset({Condition.OWN_DETECTOR}),
        frozenset({Condition.PINNED}),
        frozenset({Condition.TIGHTEN_GROUPS}),
    ),
    Tier.FREEZE: (
        frozenset({Condition.LOCAL_EVIDENCE, Condition.FREEZE_GROUPS}),
        frozenset({Condition.LOCAL_EVIDENCE, Condition.OWN_DETECTOR, Condition.GROUPS_BESIDE_OWN}),
        frozenset({Condition.OWN_OUTFLOW}),
    ),
    Tier.PAUSE: (
        frozenset({Condition.LOCAL_EVIDENCE, Condition.PAUSE_GROUPS}),
        frozenset({Condition.OWN_APPROVAL}),
    ),
}


@dataclass(frozen=True, slots=True)
class Quorum:
    """How many independent foreign groups the operator wants. Raises PolicyError for a number below one."""

    tighten: int = TIGHTEN_GROUPS
    freeze: int = FREEZE_GROUPS
    freeze_beside_own: int = GROUPS_BESIDE_OWN
    pause: int = PAUSE_GROUPS

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise PolicyError(f"quorum: {field.name} is {getattr(self, field.name)} where 1 or more is wanted")

    def conditions(self, groups: int, beside_own: int, members: int) -> frozenset[Condition]:
        """What so many groups fulfil, of whom `beside_own` share no label with our own detector, among n members."""
        fulfilled = {
            Condition.TIGHTEN_GROUPS: groups >= self.tighten,
            Condition.FREEZE_GROUPS: groups >= self.freeze,
            Condition.GROUPS_BESIDE_OWN: beside_own >= self.freeze_beside_own,
            # More than can lie among n members, and never below what the operator wants.
            Condition.PAUSE_GROUPS: groups >= max(self.pause, (members - 1) // 3 + 1),
        }
        return frozenset(condition for condition, holds in fulfilled.items() if holds)


def is_open(tier: Tier, held: Collection[Condition]) -> bool:
    """Whether all conditions of one of the tier's rows hold."""
    return any(row <= frozenset(held) for row in NEEDS[tier])


def missing(tier: Tier, held: Collection[Condition]) -> tuple[frozenset[Condition], ...]:
    """For each row of the tier, what of it does not hold; an open tier has an empty one."""
    return tuple(row - frozenset(held) for row in NEEDS[tier])
