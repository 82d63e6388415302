"""Hazard, losses, premium and capacity: against numbers worked out otherwise, and over their whole range."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from risk_kit import USD
from strategies_kit import FIXED
from tocsin_protocol.errors import ExposureError, ProtocolError, RiskError
from tocsin_protocol.risk.calibration import MIN_INCIDENTS, PastIncident, calibrate
from tocsin_protocol.risk.model import DAY_MS, DEFAULT_MODEL, Model, Subject, assess
from tocsin_protocol.risk.severity import Severity
from tocsin_protocol.risk.states import CONFIRMED_PPM, PPM, RiskState

SEVERITY = DEFAULT_MODEL.severity
TVL = 200_000_000 * USD


def subject(state: RiskState = RiskState.NONE, belief_ppm: int = 100, **changes: int) -> Subject:
    return Subject(state, belief_ppm, **{"tvl": TVL, "lost": 0, "drain_rate": 0} | changes)


@pytest.mark.parametrize("chance", [0.9, 0.5, 0.2, 0.05, 0.01, 1e-6])
def test_a_quantile_is_exceeded_as_often_as_it_says(chance: float) -> None:
    assert SEVERITY.exceeds(SEVERITY.quantile(chance)) == pytest.approx(chance, rel=1e-9)


def test_the_median_and_the_tail_are_those_of_the_model() -> None:
    assert SEVERITY.quantile(0.5) == pytest.approx(SEVERITY.median_micro_usd)
    splice = SEVERITY.splice_micro_usd
    assert SEVERITY.exceeds(2 * splice) / SEVERITY.exceeds(splice) == pytest.approx(2**-SEVERITY.tail_index)
    assert SEVERITY.exceeds(0) == 1


@pytest.mark.parametrize("severity", [SEVERITY, replace(SEVERITY, tail_index=1.0), replace(SEVERITY, tail_index=2.5)])
@pytest.mark.parametrize("cap_usd", [1, 50_000, 9_000_000, 30_000_000, 2_000_000_000])
def test_limited_expected_values_agree_with_sums_over_the_curve(severity: Severity, cap_usd: int) -> None:
    cap, steps = cap_usd * USD, 4_000
    # On a logarithmic grid, the trapezium rule of P(X > x) dx.
    grid = [0.0, *(cap * 1e-9 ** (1 - n / steps) for n in range(steps + 1))]
    area = sum((b - a) * (severity.exceeds(a) + severity.exceeds(b)) / 2 for a, b in pairwise(grid))
    assert severity.expected_between(0, cap) == pytest.approx(area, rel=1e-3)
    half = severity.expected_between(0, cap / 2) + severity.expected_between(cap / 2, cap)
    assert half == pytest.approx(severity.expected_between(0, cap), rel=1e-9)
    assert severity.expected_between(cap, cap) == 0


def test_in_quiet_times_cover_costs_about_what_it_costs_and_capacity_is_open() -> None:
    quiet = assess(DEFAULT_MODEL, subject())
    assert (quiet.posterior_ppm, quiet.capacity_bps) == (100, 9_998)
    assert 10_000 <= quiet.multiplier_bps <= 10_500
    assert quiet.loss_p50 == pytest.approx(180_000 * USD, rel=1e-6)
    assert quiet.loss_p99 == TVL


def test_a_confirmed_incident_has_its_floor_no_capacity_and_no_less_than_was_lost() -> None:
    lost = 27_000_000 * USD
    now = assess(DEFAULT_MODEL, subject(RiskState.CONFIRMED, 300_000, lost=lost, drain_rate=100_000_000 * USD))
    assert (now.posterior_ppm, now.capacity_bps, now.loss_observed) == (CONFIRMED_PPM, 0, lost)
    # The drain alone takes r·μ·ln 2 by the median time to containment.
    drained = lost + 100_000_000 * USD * 0.75 * math.log(2)
    assert now.loss_p50 == pytest.approx(drained, rel=1e-3)
    held = assess(DEFAULT_MODEL, subject(RiskState.CONTAINED, 300_000, lost=lost))
    assert lost < held.loss_p99 == lost + (TVL - lost) // 10
    assert held.multiplier_bps < now.multiplier_bps


def test_after_an_incident_the_hazard_is_raised_and_halves() -> None:
    once = [assess(DEFAULT_MODEL, subject(RiskState.RESOLVED, 0, over_ms=days * DAY_MS)) for days in (0, 17, 3_650)]
    base = round(DEFAULT_MODEL.base_hazard * PPM)
    raised = [one.hazard_rate - base for one in once]
    assert raised[0] == pytest.approx(0.08 * math.log(2) / (17 / 365) * PPM, rel=1e-4)
    assert raised[1] == pytest.approx(raised[0] / 2, rel=1e-4)
    assert (raised[2], once[2].multiplier_bps) == (0, 10_000)
    assert once[0].multiplier_bps > once[1].multiplier_bps > 10_000


def test_a_false_alarm_is_quiet_again() -> None:
    found = assess(DEFAULT_MODEL, subject(RiskState.FALSE_ALARM, 800_000))
    assert (found.posterior_ppm, found.multiplier_bps, found.capacity_bps) == (0, 10_000, 10_000)


@FIXED
@given(
    st.sampled_from([state for state in RiskState if state is not RiskState.UNKNOWN]),
    st.integers(0, PPM),
    st.integers(0, 10**18),
    st.integers(0, 10**18),
    st.integers(0, 10**18),
    st.one_of(st.none(), st.integers(0, 10**12)),
)
def test_whatever_is_seen_the_numbers_of_a_report_fit(
    state: RiskState, belief: int, tvl: int, lost: int, drain: int, over: int | None
) -> None:
    from risk_kit import risk_report

    found = assess(DEFAULT_MODEL, Subject(state, belief, tvl, lost, drain, over))
    numbers = {name: getattr(found, name) for name in found.__slots__}
    report = risk_report(state, **numbers)
    assert found.loss_observed <= found.loss_p50 <= report.tvl_at_risk


@FIXED
@given(st.integers(0, CONFIRMED_PPM - 1), st.integers(0, CONFIRMED_PPM - 1))
def test_more_belief_never_means_more_capacity_or_cheaper_cover(one: int, other: int) -> None:
    low, high = (assess(DEFAULT_MODEL, subject(RiskState.SUSPECTED, ppm)) for ppm in sorted((one, other)))
    assert low.capacity_bps >= high.capacity_bps
    assert low.multiplier_bps <= high.multiplier_bps


def test_the_hash_tells_models_apart() -> None:
    models = [
        DEFAULT_MODEL,
        replace(DEFAULT_MODEL, base_hazard=0.06),
        replace(DEFAULT_MODEL, residual_share=0.2),
        replace(DEFAULT_MODEL, severity=replace(SEVERITY, tail_index=0.71)),
    ]
    assert len({model.hash for model in models}) == len(models)
    assert replace(DEFAULT_MODEL, source="elsewhere").hash == DEFAULT_MODEL.hash


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_hazard": 0}, {"base_hazard": math.nan}, {"again_share": 1.1}, {"residual_share": -0.1},
        {"containment_ms": 0}, {"again_half_life_ms": DAY_MS - 1},
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ExposureError):
        replace(DEFAULT_MODEL, **wrong)  # type: ignore[arg-type]
    for severity in ((0, 3.0, 9, 0.7), (9, 3.0, 8, 0.7), (9, 0.0, 9, 0.7), (9, 3.0, 9, 0.0), (9, math.inf, 9, 1.0)):
        with pytest.raises(ExposureError):
            Severity(*severity)
    with pytest.raises(RiskError, match="unknown"):
        assess(DEFAULT_MODEL, subject(RiskState.UNKNOWN))


def incidents(count: int, model: Model = DEFAULT_MODEL, years: int = 8) -> list[PastIncident]:
    """As a model would have them: its quantiles, evenly spread over the years, some by an attacker seen before."""
    step = years * 365 * DAY_MS // count
    return [
        PastIncident(
            at_ms=n * step,
            loss_micro_usd=round(model.severity.quantile(((n * 7_919) % count + 0.5) / count)),
            attackers=frozenset({f"0x{n // 2 if n % 5 < 2 else count + n}"}),
        )
        for n in range(count)
    ]


def test_calibration_finds_the_model_that_the_incidents_are_from() -> None:
    found = calibrate(incidents(2_000), protocols=4_000)
    severity = found.model.severity
    assert severity.median_micro_usd == pytest.approx(SEVERITY.median_micro_usd, rel=0.02)
    assert severity.splice_micro_usd == pytest.approx(SEVERITY.splice_micro_usd, rel=0.1)
    assert severity.sigma == pytest.approx(SEVERITY.sigma, rel=0.05)
    assert found.tail_low < SEVERITY.tail_index < found.tail_high
    assert found.model.base_hazard == pytest.approx(2_000 / (4_000 * 8), rel=0.01)
    assert found.hazard_low < found.model.base_hazard < found.hazard_high
    assert "judgement" in found.model.source


def test_calibration_counts_what_follows_by_attackers_seen_before() -> None:
    past = [PastIncident(n * 30 * DAY_MS, 10**12 + n, frozenset({str(n // 2)})) for n in range(MIN_INCIDENTS)]
    found = calibrate(past, 10)
    assert (found.again, found.again_days, found.model.again_share) == (25, 30, 0.5)
    alone = calibrate([replace(one, attackers=frozenset()) for one in past], 10)
    assert (alone.again, alone.model.again_share) == (0, DEFAULT_MODEL.again_share)


def test_incidents_without_a_loss_count_for_the_hazard_alone() -> None:
    past = incidents(100)
    mixed = past + [replace(one, at_ms=one.at_ms + 1, loss_micro_usd=None) for one in past[:50]]
    found = calibrate(mixed, 100)
    assert (found.incidents, found.unpriced) == (150, 50)
    assert found.model.severity == calibrate(past, 100).model.severity


def test_too_little_to_calibrate_on_says_so() -> None:
    with pytest.raises(RiskError, match="49 incidents where"):
        calibrate(incidents(49), 100)
    with pytest.raises(RiskError, match="with a loss"):
        calibrate([replace(one, loss_micro_usd=0) for one in incidents(60)], 100)
    with pytest.raises(RiskError, match="years where 1"):
        calibrate([replace(one, at_ms=one.at_ms // 100) for one in incidents(60)], 100)
    with pytest.raises(ExposureError, match="protocols"):
        calibrate(incidents(60), 0)
    same = [replace(one, loss_micro_usd=5) for one in incidents(60)]
    assert calibrate(same, 100).model.severity.median_micro_usd == 5
    with pytest.raises(ProtocolError):
        calibrate([replace(one, loss_micro_usd=-5) for one in incidents(60)], 100)
