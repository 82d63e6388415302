"""The operator's policy as a value: what he lets the node do, at what odds, and what keeps it from being armed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..belief.priors import check_half_life, check_prior
from ..belief.reputation import DEFAULT_VOUCH_CAP, Pin
from ..errors import BeliefError, PolicyError
from ..loss import feasibility, trigger_micro_usd
from ..taxonomy import Category
from .budget import GROUP_BUDGET_MINUTES
from .levers import MAX_LEVERS, Lever
from .tiers import FREEZE_GROUPS, Quorum, Tier

MAX_BUDGET_MINUTES = 7 * 24 * 60
# A detector of our own that sees nine attacks in ten and errs once a week: 0.9 · 168 hours, some 150 to one.
DEFAULT_OWN_LLR = 5.0
# A thousand to one.
MAX_OWN_LLR = 6.9
MAX_CONDITION_CHARS = 1000


@dataclass(frozen=True, slots=True)
class LossLimit:
    """The most that may be lost of one scope before it is held still (MAL), and how fast it can drain.

    Money in micro-USD, `latency_ms` from crossing the trigger to the lever's effect. `is_acknowledged`: the operator
    knows that it cannot be kept. `opens_freeze`: an own measured outflow past the trigger may freeze this scope alone.
    """

    scope: str
    mal_micro_usd: int
    drain_micro_usd_per_hour: int
    latency_ms: int
    is_acknowledged: bool = False
    opens_freeze: bool = False

    @property
    def trigger_micro_usd(self) -> int:
        """The outflow at which to act so that no more than the limit is lost."""
        return trigger_micro_usd(self.mal_micro_usd, self.drain_micro_usd_per_hour, self.latency_ms)


@dataclass(frozen=True, slots=True, order=True)
class Word:
    """What one member told the operator that another's reports are worth, in nats."""

    by: str
    of: str
    llr: float


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything the operator decided beforehand. Raises PolicyError where its parts contradict each other.

    `pins` bound what a member's publishers weigh, `own_llr` is the weight of our own detectors, both in nats; `priors`
    and `half_lives_ms` stand in for those of specs/belief.md. By `words` those who have earned nothing here weigh up to
    `vouch_cap`. Where `condition` (CEL) is false, only notices go out.
    """

    levers: tuple[Lever, ...] = ()
    limits: tuple[LossLimit, ...] = ()
    quorum: Quorum = field(default_factory=Quorum)
    budget_minutes: int = GROUP_BUDGET_MINUTES
    pins: Mapping[str, Pin] = field(default_factory=dict)
    words: tuple[Word, ...] = ()
    vouch_cap: float = DEFAULT_VOUCH_CAP
    own_llr: float = DEFAULT_OWN_LLR
    priors: Mapping[Category, float] = field(default_factory=dict)
    half_lives_ms: Mapping[Category, int] = field(default_factory=dict)
    condition: str = ""

    def __post_init__(self) -> None:
        if len(self.levers) > MAX_LEVERS:
            raise PolicyError(f"{len(self.levers)} levers where at most {MAX_LEVERS} are allowed")
        for what, names in (
            ("lever", [lever.hook for lever in self.levers]),
            ("limit", [limit.scope for limit in self.limits]),
        ):
            if len(set(names)) != len(names):
                raise PolicyError(f"the same {what} stands twice")
        if not 0 <= self.budget_minutes <= MAX_BUDGET_MINUTES:
            raise PolicyError(f"budget_minutes is {self.budget_minutes}, not 0…{MAX_BUDGET_MINUTES}")
        if not 0 <= self.own_llr <= MAX_OWN_LLR:
            raise PolicyError(f"own_llr is {self.own_llr}, not 0…{MAX_OWN_LLR}")
        if len(self.condition) > MAX_CONDITION_CHARS:
            raise PolicyError(f"condition is longer than {MAX_CONDITION_CHARS} characters")
        for category, prior in self.priors.items():
            _check(f"prior of {category}", check_prior, prior)
        for category, half_life in self.half_lives_ms.items():
            _check(f"half-life of {category}", check_half_life, half_life)

    def faults(self) -> tuple[str, ...]:
        """Why it may not be armed, one sentence each; none when it may."""
        found = []
        # [ARM] One foreign group alone could open tier 2.
        if self.quorum.freeze < FREEZE_GROUPS:
            found.append(
                f"one foreign group alone could freeze: quorum.freeze is {self.quorum.freeze}, not {FREEZE_GROUPS}"
            )
        # [ARM] A loss limit cannot be kept, and the operator has not acknowledged it.
        for limit in self.limits:
            kept = feasibility(limit.mal_micro_usd, limit.drain_micro_usd_per_hour, limit.latency_ms)
            if kept < 1 and not limit.is_acknowledged:
                found.append(
                    f"the limit of {limit.scope} cannot be kept (feasibility {kept:.2f}):"
                    " cap it in the contract, or acknowledge it"
                )
        # [ARM] A lever of tier 1 and up has no end.
        found += [
            f"lever {lever.hook!r} has no end"
            for lever in self.levers
            if lever.tier > Tier.NOTIFY and not lever.minutes
        ]
        return tuple(found)


def _check(what: str, check: Callable[[Any], None], value: object) -> None:
    try:
        check(value)
    except BeliefError as exc:
        raise PolicyError(f"{what}: {exc}") from exc
