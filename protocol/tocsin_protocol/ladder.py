"""The cheapest lever, given how likely the incident is and what it would cost (specs/exposure.md).

Of levers with effectiveness e and cost c the best has the least p(1−e)L + (1−p)c: the cost-loss rule of A. Murphy,
"Decision-making models in the cost-loss ratio situation", Mon. Weather Rev. 113 (1985), with more than one lever.
Whatever p and L are, the best lies on the lower hull of the points (e, c), so that is worked out once for a policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from .errors import ExposureError, PolicyError
from .quantities import money, probability

MAX_LEVERS = 64


@dataclass(frozen=True, slots=True)
class Lever:
    """Something to do: the part 0…1 of the loss it averts, and what it costs (micro-USD) if it was for nothing."""

    name: str
    effectiveness: float
    cost_micro_usd: int


OBSERVE = Lever("observe", 0.0, 0)


@dataclass(frozen=True, slots=True)
class Ladder:
    """The levers that can be cheapest, OBSERVE first, cost and effectiveness rising; and why the others cannot."""

    rungs: tuple[Lever, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A lever that is never cheapest, and the rungs that do better: one, or two between which it lies."""

    lever: Lever
    better: tuple[Lever, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The cheapest lever, its expected cost (micro-USD), and above which belief it, or the next rung, is cheapest."""

    lever: Lever
    expected_cost_micro_usd: float
    threshold: float
    following: Lever | None
    following_threshold: float | None


def build_ladder(levers: Iterable[Lever]) -> Ladder:
    """Put the levers that can be cheapest in order; raises PolicyError naming the lever that cannot be used.

    OBSERVE is always there and not listed.
    """
    known = (OBSERVE, *levers)
    if len(known) - 1 > MAX_LEVERS:
        raise PolicyError(f"{len(known) - 1} levers where at most {MAX_LEVERS} are allowed")
    for lever in known[1:]:
        _check(lever)
    if len({lever.name for lever in known}) != len(known):
        raise PolicyError(f"two levers have the same name, or one is called {OBSERVE.name!r}, which is always there")
    rungs: list[Lever] = []
    # [LADDER] Of levers with equal effectiveness the cheapest stays, of equal ones the first that the operator lists.
    for lever in sorted(known, key=lambda lever: (lever.effectiveness, lever.cost_micro_usd)):
        if rungs and lever.effectiveness == rungs[-1].effectiveness:
            continue
        # [LADDER] A lever stays only while each step up costs more, for what it averts, than the step before it.
        while rungs and (
            lever.cost_micro_usd <= rungs[-1].cost_micro_usd
            or (len(rungs) > 1 and _is_below(rungs[-2], rungs[-1], lever))
        ):
            rungs.pop()
        rungs.append(lever)
    left_out = [LeftOut(lever, _better(rungs, lever)) for lever in known if lever not in rungs]
    return Ladder(tuple(rungs), tuple(left_out))


def find_thresholds(ladder: Ladder, loss_micro_usd: int) -> tuple[float, ...]:
    """The beliefs 0…1 above which each rung beats the one below it, rising; raises ExposureError for bad money."""
    return tuple(_threshold(below, above, loss_micro_usd) for below, above in pairwise(ladder.rungs))


def choose_lever(ladder: Ladder, belief: float, loss_micro_usd: int) -> Choice:
    """The cheapest rung for a belief 0…1 and the loss (micro-USD) if the incident is real; raises ExposureError."""
    belief = probability("belief", belief)
    thresholds = (0.0, *find_thresholds(ladder, loss_micro_usd))
    # [LADDER] A rung is chosen above its threshold; at it, the one below.
    at = max(n for n, threshold in enumerate(thresholds) if n == 0 or belief > threshold)
    is_last = at + 1 == len(thresholds)
    return Choice(
        lever=ladder.rungs[at],
        expected_cost_micro_usd=expected_cost(ladder.rungs[at], belief, loss_micro_usd),
        threshold=thresholds[at],
        following=None if is_last else ladder.rungs[at + 1],
        following_threshold=None if is_last else thresholds[at + 1],
    )


def expected_cost(lever: Lever, belief: float, loss_micro_usd: int) -> float:
    """p(1−e)L + (1−p)c in micro-USD; raises ExposureError."""
    belief, loss = probability("belief", belief), money("loss", loss_micro_usd)
    return belief * (1 - lever.effectiveness) * loss + (1 - belief) * lever.cost_micro_usd


def single_pause_threshold(cost_micro_usd: int, loss_micro_usd: int) -> float:
    """The belief above which one pause that averts everything pays: c/(c+L), 1 with nothing to lose."""
    return _threshold(OBSERVE, Lever("pause", 1.0, money("cost", cost_micro_usd)), loss_micro_usd)


def _threshold(below: Lever, above: Lever, loss_micro_usd: int) -> float:
    """Where p·Δe·L = (1−p)·Δc. With nothing to lose it is 1, and no belief is above it."""
    extra = above.cost_micro_usd - below.cost_micro_usd
    averted = (above.effectiveness - below.effectiveness) * money("loss", loss_micro_usd)
    return extra / (extra + averted) if averted else 1.0


def _check(lever: Lever) -> None:
    try:
        # [LADDER] A lever averts something and costs something.
        if not probability("effectiveness", lever.effectiveness):
            raise ExposureError("effectiveness is 0, so it could never be worth anything")
        money("cost", lever.cost_micro_usd, 1)
    except ExposureError as exc:
        raise PolicyError(f"lever {lever.name!r}: {exc}") from exc


def _is_below(first: Lever, middle: Lever, last: Lever) -> bool:
    """Whether the line from first to last passes at or below the middle. Exact: one lever must not win by rounding."""
    to_middle = Fraction(middle.effectiveness) - Fraction(first.effectiveness)
    to_last = Fraction(last.effectiveness) - Fraction(first.effectiveness)
    rise = last.cost_micro_usd - first.cost_micro_usd
    return (middle.cost_micro_usd - first.cost_micro_usd) * to_last >= rise * to_middle


def _better(rungs: Sequence[Lever], lever: Lever) -> tuple[Lever, ...]:
    """The rung that averts as much for no more, or else the two rungs around it."""
    above = next(rung for rung in rungs if rung.effectiveness >= lever.effectiveness)
    if above.cost_micro_usd <= lever.cost_micro_usd:
        return (above,)
    return (rungs[rungs.index(above) - 1], above)
