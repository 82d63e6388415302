"""What is lost over time, and what of it a lever in effect averts. Times in UTC ms, money in micro-USD."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..policy_file import MICRO
from .scenario import Loss


@dataclass(frozen=True, slots=True)
class Hold:
    """A lever in effect from one moment (inclusive) until another (exclusive): the share 0…1 that it averts."""

    begins_ms: int
    ends_ms: int
    effectiveness: float


@dataclass(frozen=True, slots=True)
class Drain:
    """What leaves at `begins_ms`, or evenly until `ends_ms` where that is later."""

    begins_ms: int
    ends_ms: int
    micro_usd: int


def drains_of(losses: Iterable[Loss], starts_ms: int) -> tuple[Drain, ...]:
    """A scenario's losses on the clock."""
    return tuple(
        Drain(starts_ms + loss.at_s * 1000, starts_ms + loss.ends_s * 1000, loss.usd * MICRO) for loss in losses
    )


def lost_micro_usd(drains: Iterable[Drain], holds: Sequence[Hold], until_ms: int) -> int:
    """What is gone by then. Of several levers in effect the one that averts most counts; what is averted stays."""
    return round(sum(_lost(drain, holds, until_ms) for drain in drains))


def crossing_ms(drains: Sequence[Drain], micro_usd: int) -> int | None:
    """When as much as that has left, nothing being held; None if it never does."""
    moments = sorted({moment for drain in drains for moment in (drain.begins_ms, drain.ends_ms)})
    for before_ms, at_ms in pairwise([moments[0] - 1, *moments] if moments else []):
        gone, gone_before = (lost_micro_usd(drains, (), moment + 1) for moment in (at_ms, before_ms))
        if gone >= micro_usd:
            steady = lost_micro_usd(drains, (), at_ms) - gone_before
            missing = micro_usd - gone_before
            if steady <= 0 or missing > steady:
                return at_ms
            return before_ms + max(0, round((at_ms - before_ms) * missing / steady))
    return None


def _lost(drain: Drain, holds: Sequence[Hold], until_ms: int) -> float:
    if drain.begins_ms >= drain.ends_ms:
        return drain.micro_usd * _share(holds, drain.begins_ms) if drain.begins_ms < until_ms else 0.0
    ends_ms = min(drain.ends_ms, until_ms)
    if ends_ms <= drain.begins_ms:
        return 0.0
    edges = {drain.begins_ms, ends_ms}
    edges |= {e for h in holds for e in (h.begins_ms, h.ends_ms) if drain.begins_ms < e < ends_ms}
    passed = sum((after - before) * _share(holds, before) for before, after in pairwise(sorted(edges)))
    return drain.micro_usd * passed / (drain.ends_ms - drain.begins_ms)


def _share(holds: Iterable[Hold], at_ms: int) -> float:
    """The share that still leaves at a moment."""
    return 1 - max((hold.effectiveness for hold in holds if hold.begins_ms <= at_ms < hold.ends_ms), default=0.0)
