"""What came of a publisher's words in a category, counted so that it fades (specs/belief.md)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from ..errors import BeliefError
from ..taxonomy import Severity

OUTCOME_HALF_LIFE_MS = 90 * 24 * 3600 * 1000
FALSE_CRITICAL_WEIGHT = 5.0
SELF_RETRACTED_FACTOR = 0.5

_MS_PER_HOUR = 3600 * 1000


class Verdict(StrEnum):
    """What adjudication said of a publisher and one incident of its category."""

    HIT = "hit"
    MISS = "miss"
    FALSE_ALARM = "false-alarm"
    SELF_RETRACTED = "self-retracted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One adjudicated outcome: a miss is a real incident that the publisher covered and was silent about."""

    at_ms: int
    verdict: Verdict
    severity: Severity


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which the publisher covered the category and was heard, from (inclusive) until (exclusive), ms."""

    from_ms: int
    until_ms: int

    def __post_init__(self) -> None:
        if self.until_ms < self.from_ms:
            raise BeliefError(f"span: it ends at {self.until_ms} ms, before it begins at {self.from_ms} ms")


@dataclass(frozen=True, slots=True)
class Tally:
    """Faded counts of one publisher in one category: hits, misses, false alarms, and hours watched."""

    hits: float = 0.0
    misses: float = 0.0
    false_alarms: float = 0.0
    hours: float = 0.0


def tally_outcomes(outcomes: Iterable[Outcome], watched: Iterable[Span], now_ms: int) -> Tally:
    """Count outcomes and hours as they weigh at `now_ms`; what is dated later than now weighs as of now."""
    counts = dict.fromkeys(Verdict, 0.0)
    for outcome in outcomes:
        counts[outcome.verdict] += _fading(now_ms - outcome.at_ms) * _harm(outcome)
    return Tally(
        hits=counts[Verdict.HIT],
        misses=counts[Verdict.MISS],
        false_alarms=counts[Verdict.FALSE_ALARM] + counts[Verdict.SELF_RETRACTED],
        hours=_faded_hours(watched, now_ms),
    )


def _harm(outcome: Outcome) -> float:
    """How much an outcome counts on the day it is adjudicated."""
    if outcome.verdict in (Verdict.HIT, Verdict.MISS):
        return 1.0
    # [BELIEF] A false alarm of severity critical weighs FALSE_CRITICAL_WEIGHT, every other 1.
    weight = FALSE_CRITICAL_WEIGHT if outcome.severity is Severity.CRITICAL else 1.0
    # [BELIEF] A false alarm that its publisher took back unasked weighs SELF_RETRACTED_FACTOR of that.
    return weight * SELF_RETRACTED_FACTOR if outcome.verdict is Verdict.SELF_RETRACTED else weight


def _fading(age_ms: int) -> float:
    # [BELIEF] Outcomes, and the hours in which there were none, count half after OUTCOME_HALF_LIFE_MS.
    return float(2.0 ** (-max(0, age_ms) / OUTCOME_HALF_LIFE_MS))


def _faded_hours(watched: Iterable[Span], now_ms: int) -> float:
    """The integral of the fading over the union of the spans, up to now."""
    # [BELIEF] An hour counts once, however many spans hold it.
    edges = sorted(
        (min(edge, now_ms), change) for span in watched for edge, change in ((span.from_ms, 1), (span.until_ms, -1))
    )
    depth, units = 0, 0.0
    for (start_ms, change), (end_ms, _) in pairwise(edges):
        depth += change
        if depth:
            units += _fading(now_ms - end_ms) - _fading(now_ms - start_ms)
    return units * OUTCOME_HALF_LIFE_MS / math.log(2) / _MS_PER_HOUR
