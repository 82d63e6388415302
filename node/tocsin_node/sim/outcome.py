"""What came of one run. Times in UTC ms, money in micro-USD."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tocsin_protocol.decision.tiers import Tier


@dataclass(frozen=True, slots=True)
class Action:
    """One use of a lever of tier 1 or up: when it was decided, from when until when it held, and why."""

    hook: str
    tier: Tier
    scopes: tuple[str, ...]
    decided_ms: int
    begins_ms: int
    ends_ms: int
    false_ms: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Point:
    """The belief in an incident (by number, in the order in which they began) at one moment."""

    at_ms: int
    incident: int
    probability: float


class HappeningKind(StrEnum):
    """What it is that happened."""

    SAID = "said"
    FOUND = "found"
    CHECKED = "checked"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened, for people."""

    at_ms: int
    kind: HappeningKind
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """One run in detail. `nearest` says why more was not done when belief was highest.

    `thresholds`: by tier, the least belief above which one of its levers was worth its cost.
    """

    points: tuple[Point, ...]
    happenings: tuple[Happening, ...]
    thresholds: dict[Tier, float]
    nearest: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run. `ttc_ms`: from the first harm to the first lever of tier 2 and up in effect, None if there was none.

    Lost: `without_micro_usd` if nobody does anything, `people_micro_usd` until people contain it as they did (the same
    where none did), `with_micro_usd` with the levers, and the people when they came.
    """

    seed: int
    without_micro_usd: int
    people_micro_usd: int
    with_micro_usd: int
    ttc_ms: int | None
    false_pause_ms: int
    actions: tuple[Action, ...]
    notices: int
    signals: int
    refused: int
    trace: Trace | None = None

    @property
    def held(self) -> tuple[Action, ...]:
        """The actions of tier 2 and up."""
        return tuple(action for action in self.actions if action.tier >= Tier.FREEZE)
