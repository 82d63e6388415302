"""Quorums by chance, and the running score of a detector: the numbers, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_kit import FIXED
from tocsin_protocol.belief.quorum import MAX_GROUPS, probability_of_quorum
from tocsin_protocol.cusum import MAX_SCORE, CusumDesign, CusumParams, design_cusum, step_cusum
from tocsin_protocol.errors import BeliefError

USD = 1_000_000
FULL_PAUSE = CusumParams(150_000 * USD, 10_000 * USD, attacks_per_year=0.1, information=0.5, step_s=12)


def test_three_of_seven_by_chance_and_when_it_is_real() -> None:
    assert probability_of_quorum(3, 7, 0.01) == pytest.approx(3.396253015e-05, rel=1e-6)
    assert probability_of_quorum(3, 7, 0.6) == pytest.approx(0.903744, rel=1e-6)


@FIXED
@given(st.integers(1, 40), st.floats(0, 1), st.data())
def test_a_quorum_is_the_rarer_the_larger(groups: int, probability: float, data: st.DataObject) -> None:
    wanted = data.draw(st.integers(1, groups))
    chance = probability_of_quorum(wanted, groups, probability)
    terms = (
        math.comb(groups, k) * probability**k * (1 - probability) ** (groups - k) for k in range(wanted, groups + 1)
    )
    assert chance == pytest.approx(math.fsum(terms), rel=1e-9, abs=1e-300)
    assert 0 <= chance <= probability_of_quorum(wanted - 1, groups, probability) <= 1


@pytest.mark.parametrize(
    ("wanted", "groups", "probability"),
    [(-1, 3, 0.5), (4, 3, 0.5), (0, 0, 0.5), (1, MAX_GROUPS + 1, 0.5), (1, 3, math.nan), (1, 3, -0.1), (1, 3, 1.1)],
)
def test_a_quorum_that_makes_no_sense_is_refused(wanted: int, groups: int, probability: float) -> None:
    with pytest.raises(BeliefError, match="quorum"):
        probability_of_quorum(wanted, groups, probability)


@pytest.mark.parametrize(
    ("cost_usd", "design"),
    [
        (150_000, CusumDesign(16.61499982, 197235000.0, 398.7599957)),
        (4_000, CusumDesign(12.99065889, 5259600.0, 311.7758133)),
    ],
)
def test_the_threshold_and_what_it_brings(cost_usd: int, design: CusumDesign) -> None:
    found = design_cusum(replace(FULL_PAUSE, false_alarm_micro_usd=cost_usd * USD))
    assert found.threshold == pytest.approx(design.threshold, rel=1e-6)
    assert found.mean_s_between_false_alarms == pytest.approx(design.mean_s_between_false_alarms, rel=1e-6)
    assert found.delay_s == pytest.approx(design.delay_s, rel=1e-6)


@FIXED
@given(st.floats(-3, 3))
def test_no_other_threshold_costs_less(shift: float) -> None:
    def cost(threshold: float) -> float:
        steps_per_year = 31_557_600 / 12
        false_alarms = 150_000 * math.exp(-threshold) * steps_per_year
        return false_alarms + 0.1 * 10_000 * 12 * threshold / 0.5

    best = design_cusum(FULL_PAUSE).threshold
    assert cost(best) <= cost(best + shift) * (1 + 1e-12)


def test_waiting_never_pays_when_a_false_alarm_is_cheap() -> None:
    assert design_cusum(replace(FULL_PAUSE, false_alarm_micro_usd=1, attacks_per_year=1e6)) == CusumDesign(0, 12, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"false_alarm_micro_usd": 0},
        {"drain_micro_usd_per_s": -1},
        {"attacks_per_year": math.nan},
        {"information": 0.0},
        {"step_s": math.inf},
    ],
)
def test_parameters_that_make_no_sense_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(BeliefError, match=next(iter(changes))):
        replace(FULL_PAUSE, **changes)


@pytest.mark.parametrize(
    "changes", [{"false_alarm_micro_usd": 10**60}, {"information": 1e-320, "attacks_per_year": 1e-320}]
)
def test_a_score_that_no_attack_reaches_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(BeliefError, match="no score"):
        design_cusum(replace(FULL_PAUSE, **changes))


@FIXED
@given(st.lists(st.floats(allow_nan=False), max_size=20))
def test_the_score_stays_within_its_bounds(steps: list[float]) -> None:
    score = 0.0
    for llr in steps:
        score = step_cusum(score, llr)
        assert 0 <= score <= MAX_SCORE


def test_a_score_or_step_that_is_no_number_is_refused() -> None:
    for score, llr in ((math.nan, 1.0), (-1.0, 1.0), (0.0, math.nan), (MAX_SCORE + 1, 0.0)):
        with pytest.raises(BeliefError, match="cusum"):
            step_cusum(score, llr)
