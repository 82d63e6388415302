"""When a detector's running score is enough: the threshold that costs least, and what it brings (specs/belief.md).

CUSUM: Page, "Continuous inspection schemes", Biometrika 41 (1954). Delay and mean time between false alarms by
Wald's approximation for a threshold h in nats: e^h steps and h/I steps (Lorden, Ann. Math. Statist. 42, 1971).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import BeliefError

SECONDS_PER_YEAR = 31_557_600
MAX_SCORE = 100.0


@dataclass(frozen=True, slots=True)
class CusumParams:
    """What a detector is up against. Money in micro-USD, information in nats a step gives once it has begun."""

    false_alarm_micro_usd: int
    drain_micro_usd_per_s: int
    attacks_per_year: float
    information: float
    step_s: float

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise BeliefError(f"cusum: {name} is {value}, where more than 0 and less than infinity is wanted")


@dataclass(frozen=True, slots=True)
class CusumDesign:
    """A threshold in nats, the mean time between false alarms, and the mean delay of a detection."""

    threshold: float
    mean_s_between_false_alarms: float
    delay_s: float


def design_cusum(params: CusumParams) -> CusumDesign:
    """The threshold that costs least: false alarms against what drains before detection.

    The cost of a step is C·e^-h + a·D·h/I, for C the cost of a false alarm, a the attacks and D the drain of a step;
    it is least at h = ln(C·I / (a·D)). When that is below 0, waiting never pays, and the threshold is 0. Raises
    BeliefError when it is above MAX_SCORE, or the delay is not finite.
    """
    attacks = math.log(params.attacks_per_year) - math.log(SECONDS_PER_YEAR) + math.log(params.step_s)
    drain = math.log(params.drain_micro_usd_per_s) + math.log(params.step_s)
    threshold = max(0.0, math.log(params.false_alarm_micro_usd) + math.log(params.information) - attacks - drain)
    delay_s = threshold / params.information * params.step_s
    if threshold > MAX_SCORE or not math.isfinite(delay_s):
        raise BeliefError(f"cusum: no score within {MAX_SCORE} is worth an alarm")
    return CusumDesign(threshold, math.exp(threshold) * params.step_s, delay_s)


def step_cusum(score: float, llr: float) -> float:
    """The score after one more step: it never falls below 0, and stops at MAX_SCORE. Raises BeliefError for NaN."""
    if not (0 <= score <= MAX_SCORE) or math.isnan(llr):
        raise BeliefError(f"cusum: a score of {score} and a step of {llr}")
    return min(max(0.0, score + llr), MAX_SCORE)
