"""A model from incidents that the operator imports: plain estimates, each with how well it is known (specs/risk.md)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, median

from ..errors import RiskError
from ..quantities import count, money
from .model import DAY_MS, DEFAULT_MODEL, Model
from .severity import MAX_SIGMA, MAX_TAIL_INDEX, MIN_TAIL_INDEX, Severity

# Of a tenth of them a tail is made: five points are few, but fewer are none.
MIN_INCIDENTS = 50
MAX_INCIDENTS = 100_000
MAX_PROTOCOLS = 10_000_000
TAIL_SHARE = 0.1
# As if half an incident had been seen in ten years of one protocol: no data gives no hazard of 0.
PRIOR_INCIDENTS = 0.5
PRIOR_YEARS = 10.0
_Z90 = NormalDist().inv_cdf(0.9)


@dataclass(frozen=True, slots=True)
class PastIncident:
    """One incident: when (UTC ms), what was lost in micro-USD (None: not known), and by whom, as far as known."""

    at_ms: int
    loss_micro_usd: int | None
    attackers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Calibration:
    """A model and what it stands on. Intervals of 95 %; `unpriced` incidents count for the hazard alone."""

    model: Model
    incidents: int
    unpriced: int
    protocols: int
    years: float
    hazard_low: float
    hazard_high: float
    tail_points: int
    tail_low: float
    tail_high: float
    again: int
    again_days: float | None
    largest_micro_usd: int


def calibrate(incidents: Iterable[PastIncident], protocols: int) -> Calibration:
    """Fit a model to what happened to `protocols` protocols; raises RiskError where that is too little."""
    past = sorted(incidents, key=lambda one: one.at_ms)
    if not MIN_INCIDENTS <= len(past) <= MAX_INCIDENTS:
        raise RiskError(f"{len(past)} incidents where {MIN_INCIDENTS}…{MAX_INCIDENTS} are wanted")
    count("protocols", protocols, 1, MAX_PROTOCOLS)
    losses = sorted(money("loss", one.loss_micro_usd) for one in past if one.loss_micro_usd)
    if len(losses) < MIN_INCIDENTS:
        raise RiskError(f"{len(losses)} incidents with a loss where {MIN_INCIDENTS} are wanted")
    years = (past[-1].at_ms - past[0].at_ms) / (365 * DAY_MS)
    if years < 1:
        raise RiskError(f"the incidents lie within {years:.2f} years where 1 is wanted")
    gaps = _gaps_to_the_next(past)
    again_days = median(gaps) / DAY_MS if gaps else None
    severity, tail_points = _fit_severity(losses)
    seen = protocols * years
    model = replace(
        DEFAULT_MODEL,
        # The mean of a Gamma posterior with a Poisson count (Gelman et al., "Bayesian Data Analysis", section 2.6).
        base_hazard=(len(past) + PRIOR_INCIDENTS) / (seen + PRIOR_YEARS),
        again_share=len(gaps) / len(past) if gaps else DEFAULT_MODEL.again_share,
        again_half_life_ms=max(DAY_MS, round(again_days * DAY_MS)) if again_days else DEFAULT_MODEL.again_half_life_ms,
        severity=severity,
        source=f"calibrated on {len(past)} incidents in {years:.1f} years; containment and residual are judgement",
    )
    hazard_spread = 1.96 * math.sqrt(len(past) + PRIOR_INCIDENTS) / (seen + PRIOR_YEARS)
    # The standard error of Hill's estimator is the estimate over the root of its points.
    tail_spread = 1.96 * severity.tail_index / math.sqrt(tail_points)
    return Calibration(
        model=model,
        incidents=len(past),
        unpriced=len(past) - len(losses),
        protocols=protocols,
        years=years,
        hazard_low=max(0.0, model.base_hazard - hazard_spread),
        hazard_high=model.base_hazard + hazard_spread,
        tail_points=tail_points,
        tail_low=max(0.0, severity.tail_index - tail_spread),
        tail_high=severity.tail_index + tail_spread,
        again=len(gaps),
        again_days=again_days,
        largest_micro_usd=losses[-1],
    )


def _fit_severity(losses: Sequence[int]) -> tuple[Severity, int]:
    """Median and 90th percentile for the body, Hill's estimator for the tail; how many points that tail has."""
    points = max(5, round(TAIL_SHARE * len(losses)))
    middle, splice = max(1, round(median(losses))), losses[-points - 1]
    splice = max(splice, middle + 1)
    # Hill, "A simple general approach to inference about the tail of a distribution", Ann. Statist. 3 (1975).
    logs = [math.log(max(loss, splice) / splice) for loss in losses[-points:]]
    mean = sum(logs) / points
    index = min(MAX_TAIL_INDEX, max(MIN_TAIL_INDEX, 1 / mean if mean else MAX_TAIL_INDEX))
    sigma = min(MAX_SIGMA, max(0.01, math.log(splice / middle) / _Z90))
    return Severity(middle, sigma, splice, index), points


def _gaps_to_the_next(past: Sequence[PastIncident]) -> list[int]:
    """For each incident by an attacker seen before, ms since the last one of his."""
    last: dict[str, int] = {}
    gaps = []
    for one in past:
        before = [last[name] for name in one.attackers if name in last]
        if before:
            gaps.append(one.at_ms - max(before))
        last |= dict.fromkeys(one.attackers, one.at_ms)
    return gaps
