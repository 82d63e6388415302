"""What a publisher's word is worth in a category, by its tally of outcomes and the operator's pin (specs/belief.md).

Bounds rather than means, so that little evidence is worth little: quantiles of the conjugate posteriors Beta
(hits and misses) and Gamma (false alarms in time); Gelman et al., "Bayesian Data Analysis" (2013), chapter 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from ..errors import BeliefError
from .independence import MAX_WEIGHT
from .outcomes import Tally

PRIOR_HITS = 1.0
PRIOR_MISSES = 1.0
PRIOR_FALSE_ALARMS = 0.5
PRIOR_HOURS = 24.0
HIT_RATE_QUANTILE = 0.05
FALSE_ALARM_QUANTILE = 0.95
WINDOW_HOURS = 1.0
EARNED_HITS = 1.0
MAX_LLR = math.log(50)
MAX_COUNT = 1e9
MIN_PROBABILITY = 1e-9
DEFAULT_VOUCH_CAP = 0.0
MAX_VOUCH_CAP = math.log(2)


class Basis(StrEnum):
    """Where a standing comes from."""

    STRANGER = "stranger"
    EARNED = "earned"
    VOUCHED = "vouched"
    PINNED = "pinned"


@dataclass(frozen=True, slots=True)
class Standing:
    """Hit rate r and false-alarm probability f per WINDOW_HOURS, as bounds, and the weight in nats they earn."""

    hit_rate: float
    false_alarm: float
    llr: float
    basis: Basis = Basis.EARNED

    def __post_init__(self) -> None:
        for name, value in (("hit_rate", self.hit_rate), ("false_alarm", self.false_alarm)):
            if not MIN_PROBABILITY <= value <= 1 - MIN_PROBABILITY:
                raise BeliefError(f"standing: {name} is {value}, not {MIN_PROBABILITY}…1-{MIN_PROBABILITY}")
        if not 0 <= self.llr <= MAX_WEIGHT:
            raise BeliefError(f"standing: llr is {self.llr}, not 0…{MAX_WEIGHT}")


@dataclass(frozen=True, slots=True)
class Pin:
    """The operator's own word on a publisher's weight, in nats. Raises BeliefError."""

    min_llr: float = 0.0
    max_llr: float = MAX_LLR

    def __post_init__(self) -> None:
        if not 0 <= self.min_llr <= self.max_llr <= MAX_WEIGHT:
            raise BeliefError(f"pin: {self.min_llr}…{self.max_llr} is no range within 0…{MAX_WEIGHT}")


@dataclass(frozen=True, slots=True)
class Vouch:
    """A member's word for a publisher: what he says it is worth, and what we find his own word worth, in nats."""

    member: str
    claimed_llr: float
    voucher_llr: float

    def __post_init__(self) -> None:
        if not (0 <= self.claimed_llr <= MAX_WEIGHT and 0 <= self.voucher_llr <= MAX_WEIGHT):
            raise BeliefError(f"vouch of {self.member!r}: a weight is not 0…{MAX_WEIGHT}")


def hit_rate_bound(hits: float, misses: float) -> float:
    """The HIT_RATE_QUANTILE of Beta(hits + PRIOR_HITS, misses + PRIOR_MISSES). Raises BeliefError."""
    _check_count("hits", hits)
    _check_count("misses", misses)
    # A third of a second and 40 MB to import: for whoever weighs words, and not for every command that reads a record.
    from scipy.special import betaincinv  # type: ignore[import-untyped]

    return _probability(betaincinv(hits + PRIOR_HITS, misses + PRIOR_MISSES, HIT_RATE_QUANTILE))


def mean_false_alarms_per_hour(false_alarms: float, hours: float) -> float:
    """The mean of the rate's Gamma distribution: prior and counts over prior and hours. Raises BeliefError."""
    _check_count("false alarms", false_alarms)
    _check_count("hours", hours)
    return (false_alarms + PRIOR_FALSE_ALARMS) / (hours + PRIOR_HOURS)


def max_false_alarms_per_hour(false_alarms: float, hours: float) -> float:
    """The FALSE_ALARM_QUANTILE of the rate's Gamma distribution. Raises BeliefError."""
    _check_count("false alarms", false_alarms)
    _check_count("hours", hours)
    from scipy.special import gammaincinv

    shape = false_alarms + PRIOR_FALSE_ALARMS
    return float(gammaincinv(shape, FALSE_ALARM_QUANTILE)) / (hours + PRIOR_HOURS)


def false_alarm_bound(false_alarms: float, hours: float) -> float:
    """The chance of a false alarm within WINDOW_HOURS at the highest rate to be feared (Poisson)."""
    return _probability(-math.expm1(-max_false_alarms_per_hour(false_alarms, hours) * WINDOW_HOURS))


def log_likelihood_ratio(hit_rate: float, false_alarm: float, max_llr: float = MAX_LLR) -> float:
    """ln(r/f), in nats, within 0…`max_llr`: how much one report of this publisher multiplies the odds."""
    return min(max(0.0, math.log(hit_rate / false_alarm)), max_llr)


def assess_standing(
    tally: Tally,
    pin: Pin | None = None,
    *,
    max_llr: float = MAX_LLR,
    vouches: Iterable[Vouch] = (),
    vouch_cap: float = DEFAULT_VOUCH_CAP,
) -> Standing:
    """What a publisher's word is worth now, by its outcomes, else by those who vouch, within the operator's pin."""
    # [BELIEF] r is the lower bound of the hit rate, f the upper bound of the chance of a false alarm.
    hit_rate = hit_rate_bound(tally.hits, tally.misses)
    false_alarm = false_alarm_bound(tally.false_alarms, tally.hours)
    # [BELIEF] A publisher weighs ln(r/f) within 0 and MAX_LLR; hits faded below EARNED_HITS leave it that share.
    earned = log_likelihood_ratio(hit_rate, false_alarm, max_llr) * min(1.0, tally.hits / EARNED_HITS)
    standing = Standing(hit_rate, false_alarm, earned, Basis.EARNED if earned else Basis.STRANGER)
    # [BELIEF] Who has no outcomes may be vouched for, up to a cap that is 0 unless the operator raises it.
    if not (tally.hits or tally.misses or tally.false_alarms):
        vouched = vouched_llr(vouches, vouch_cap)
        standing = replace(standing, llr=vouched, basis=Basis.VOUCHED) if vouched else standing
    # [BELIEF] The operator's pin bounds the weight from both sides, and comes last.
    return standing if pin is None else _pinned(standing, pin)


def vouched_llr(vouches: Iterable[Vouch], cap: float) -> float:
    """The second-highest vouch of distinct members, no more than the voucher's own weight or `cap`, in nats."""
    if not 0 <= cap <= MAX_VOUCH_CAP:
        raise BeliefError(f"vouch cap is {cap}, not 0…{MAX_VOUCH_CAP}")
    best: dict[str, float] = {}
    for vouch in vouches:
        best[vouch.member] = max(best.get(vouch.member, 0.0), min(vouch.claimed_llr, vouch.voucher_llr))
    ranked = sorted(best.values(), reverse=True)
    return min(cap, ranked[1]) if len(ranked) > 1 else 0.0


def _pinned(standing: Standing, pin: Pin) -> Standing:
    llr = min(max(standing.llr, pin.min_llr), pin.max_llr)
    return standing if llr == standing.llr else replace(standing, llr=llr, basis=Basis.PINNED)


def _check_count(name: str, count: float) -> None:
    if not 0 <= count <= MAX_COUNT:
        raise BeliefError(f"{name}: {count} where 0…{MAX_COUNT} is wanted")


def _probability(value: float) -> float:
    """Away from 0 and 1, so that every logarithm of it is finite."""
    return min(max(float(value), MIN_PROBABILITY), 1 - MIN_PROBABILITY)
