"""From what a node sees of a subject to the numbers of its report: hazard, loss, premium, capacity (specs/risk.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..encoding import encode_canonical
from ..errors import RiskError
from ..loss import HOUR_MS, linear_loss
from ..quantities import duration_ms, money, number_in
from ..signing import keccak256
from ..underwriting import MAX_HAZARD_PER_YEAR, price_premium
from .report import BPS, MAX_HAZARD_PPM, MAX_MULTIPLIER_BPS
from .severity import Severity
from .states import CONFIRMED_PPM, PPM, RiskState

MODEL_VERSION = 1
TERM_DAYS = 30
DAY_MS = 86_400_000
MILLION = 1_000_000
_SCALE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Model:
    """The numbers that reports are worked out with; `source` says where they are from. Raises ExposureError.

    A protocol is hit `base_hazard` times a year. After an incident it is hit again with the probability
    `again_share` in all, half of that within `again_half_life_ms`. Containment takes `containment_ms` on average, and
    what is contained still loses `residual_share` of what it might have lost.
    """

    base_hazard: float
    again_share: float
    again_half_life_ms: int
    severity: Severity
    containment_ms: int
    residual_share: float
    source: str

    def __post_init__(self) -> None:
        number_in("base hazard", self.base_hazard, 1e-6, MAX_HAZARD_PER_YEAR)
        number_in("again share", self.again_share, 0, 1)
        number_in("residual share", self.residual_share, 0, 1)
        duration_ms("again half-life", self.again_half_life_ms, DAY_MS)
        duration_ms("mean containment", self.containment_ms, 1)

    @property
    def hash(self) -> bytes:
        """What stands in reports as `modelHash`: of every number of the model, to nine places."""
        severity = self.severity
        numbers = [
            *(MODEL_VERSION, _fixed(self.base_hazard), _fixed(self.again_share), self.again_half_life_ms),
            *(severity.median_micro_usd, _fixed(severity.sigma), severity.splice_micro_usd),
            *(_fixed(severity.tail_index), self.containment_ms, _fixed(self.residual_share), TERM_DAYS),
        ]
        return keccak256(encode_canonical([str(number) for number in numbers]))


DEFAULT_MODEL = Model(
    base_hazard=0.05,
    again_share=0.08,
    again_half_life_ms=17 * DAY_MS,
    severity=Severity(180_000 * MILLION, 3.0, 9_000_000 * MILLION, 0.7),
    containment_ms=2_700_000,
    residual_share=0.1,
    source="judgement: rounded from public lists of incidents, calibrated on nothing",
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a model is asked about: money in micro-USD, the drain per hour; `over_ms` since the last incident ended."""

    state: RiskState
    belief_ppm: int
    tvl: int
    lost: int
    drain_rate: int
    over_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """The numbers of a report, as its fields have them."""

    posterior_ppm: int
    tvl_at_risk: int
    loss_observed: int
    loss_p50: int
    loss_p90: int
    loss_p99: int
    drain_rate: int
    hazard_rate: int
    multiplier_bps: int
    capacity_bps: int


def assess(model: Model, subject: Subject) -> Assessment:
    """The numbers of one subject's report; raises ExposureError or RiskError."""
    if subject.state is RiskState.UNKNOWN:
        raise RiskError("a subject's state is unknown")
    # What is said to be lost was there: it counts as value at risk, whatever is there now.
    tvl = money("TVL", subject.tvl)
    lost = min(tvl, money("loss", subject.lost))
    posterior = _posterior_ppm(subject)
    p50, p90, p99 = (_quantile(model, subject, tvl, lost, tail) for tail in (0.5, 0.1, 0.01))
    hazard = _hazard(model, subject, posterior)
    premium = price_premium(
        model.base_hazard, TERM_DAYS, _lgd(model, tvl), posterior / PPM, _lgd_now(model, subject, tvl, lost)
    )
    return Assessment(
        posterior_ppm=posterior,
        tvl_at_risk=tvl,
        loss_observed=lost,
        loss_p50=p50,
        loss_p90=p90,
        loss_p99=p99,
        drain_rate=money("drain", subject.drain_rate),
        hazard_rate=min(MAX_HAZARD_PPM, round(hazard * PPM)),
        # Compared before it is rounded: hazard that is left from before never makes cover cheaper than in quiet times.
        multiplier_bps=_multiplier(premium.multiplier, hazard / model.base_hazard, subject.state),
        capacity_bps=_capacity(subject.state, posterior),
    )


def _posterior_ppm(subject: Subject) -> int:
    # [RISK] The posterior of a false alarm is 0, of what is confirmed, contained or recovering at least CONFIRMED_PPM.
    if subject.state is RiskState.FALSE_ALARM:
        return 0
    # [RISK] What is over is as likely as it was in quiet times: not at all.
    if subject.state is RiskState.RESOLVED:
        return 0
    least = CONFIRMED_PPM if subject.state >= RiskState.RECOVERING else 0
    return max(least, min(PPM, subject.belief_ppm))


def _hazard(model: Model, subject: Subject, posterior_ppm: int) -> float:
    """Hits per year. E[rate] over the two answers to whether an incident is on: then it is hit, as often as may be."""
    hazard = model.base_hazard
    # [RISK] After an incident the hazard is raised, and that halves with its half-life.
    if subject.state is RiskState.RESOLVED and subject.over_ms is not None:
        per_year = math.log(2) / (model.again_half_life_ms / (365 * DAY_MS))
        hazard += model.again_share * per_year * 2.0 ** (-max(0, subject.over_ms) / model.again_half_life_ms)
    belief = posterior_ppm / PPM
    return min(MAX_HAZARD_PER_YEAR, (1 - belief) * hazard + belief * MAX_HAZARD_PER_YEAR)


def _quantile(model: Model, subject: Subject, tvl: int, lost: int, tail: float) -> int:
    """The loss of the incident, if it is real, that is exceeded with the probability `tail`."""
    # [RISK] Losses are those of the heavy-tailed model given what is lost already, or of the drain, whichever is more.
    severity = model.severity
    jump = severity.quantile(tail * severity.exceeds(lost))
    drained = lost + subject.drain_rate * model.containment_ms * -math.log(tail) / HOUR_MS
    whole = max(float(lost), jump, drained)
    # [RISK] Of what may yet be lost, the residual share is left once it is contained.
    share = model.residual_share if subject.state in (RiskState.CONTAINED, RiskState.RECOVERING) else 1.0
    # [RISK] No loss is more than the value at risk.
    # Added as integers: as a float a large sum is rounded, below what is lost as well.
    return min(tvl, lost + max(0, math.ceil(share * (min(whole, float(tvl)) - lost))))


def _lgd(model: Model, tvl: int) -> float:
    """The share of the value at risk that an incident takes in quiet times: E[min(X, V)]/V."""
    return min(1.0, model.severity.expected_between(0, tvl) / tvl) if tvl else 1.0


def _lgd_now(model: Model, subject: Subject, tvl: int, lost: int) -> float:
    """The same given what is lost and drains: (ℓ + max(E[min(X, V) − ℓ | X > ℓ], E[min(rT, V − ℓ)]))/V."""
    if not tvl:
        return 1.0
    exceeded = model.severity.exceeds(lost)
    jump = model.severity.expected_between(lost, tvl) / exceeded if exceeded else float(tvl - lost)
    more = max(jump, float(linear_loss(tvl - lost, subject.drain_rate, model.containment_ms)))
    share = model.residual_share if subject.state in (RiskState.CONTAINED, RiskState.RECOVERING) else 1.0
    return max(_lgd(model, tvl), min(1.0, (lost + share * more) / tvl))


def _multiplier(by_belief: float, by_hazard: float, state: RiskState) -> int:
    # [RISK] The multiplier is of the premium at this belief over that in quiet times; after an incident, of the hazard.
    times = max(1.0, by_belief, by_hazard if state is RiskState.RESOLVED else 1.0)
    return min(MAX_MULTIPLIER_BPS, math.ceil(times * BPS))


def _capacity(state: RiskState, posterior_ppm: int) -> int:
    if state >= RiskState.RECOVERING:
        return 0
    # [RISK] Capacity falls in a straight line with the posterior, to nothing at CONFIRMED_PPM.
    return max(0, BPS * (CONFIRMED_PPM - posterior_ppm) // CONFIRMED_PPM)


def _fixed(value: float) -> int:
    return round(value * _SCALE)
