"""Premiums and medians: published numbers, and input that is none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_kit import FIXED
from tocsin_protocol.errors import ExposureError
from tocsin_protocol.underwriting import MAX_MULTIPLIER, MAX_REPORTS, median_of_reports, price_premium


def test_a_premium_before_and_during_an_incident() -> None:
    premium = price_premium(0.05, 30, 0.3, 0.2, 0.4)
    assert premium.base == pytest.approx(0.001230346871, rel=1e-6)
    assert premium.now == pytest.approx(0.0809842775, rel=1e-6)
    assert premium.multiplier == pytest.approx(65.82231355, rel=1e-6)


def test_without_hazard_a_multiple_is_the_largest_or_one() -> None:
    assert price_premium(0, 30, 0.3, 0.2, 0.4).multiplier == MAX_MULTIPLIER
    assert price_premium(0, 30, 0.3, 0, 0.4).multiplier == 1


@pytest.mark.parametrize(
    "numbers",
    [
        (-1, 30, 0.3, 0.2, 0.4),
        (math.nan, 30, 0.3, 0.2, 0.4),
        (math.inf, 30, 0.3, 0.2, 0.4),
        (0.05, 0, 0.3, 0.2, 0.4),
        (0.05, 1.5, 0.3, 0.2, 0.4),
        (0.05, 30, 1.3, 0.2, 0.4),
        (0.05, 30, 0.3, -0.2, 0.4),
        (0.05, 30, 0.3, 0.2, math.nan),
    ],
)
def test_numbers_that_are_none_are_refused(numbers: tuple[float, int, float, float, float]) -> None:
    with pytest.raises(ExposureError, match=" is "):
        price_premium(*numbers)


@FIXED
@given(st.floats(0, 365), st.integers(1, 3_650), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_premium_is_a_part_of_the_sum_and_rises_with_belief(
    hazard: float, days: int, lgd: float, belief: float, lgd_now: float
) -> None:
    premium = price_premium(hazard, days, lgd, belief, lgd_now)
    assert 0 <= premium.base <= lgd
    assert 0 <= premium.now <= max(lgd, lgd_now) * (1 + 1e-12)
    assert 0 <= premium.multiplier <= MAX_MULTIPLIER
    if lgd_now >= premium.base:
        assert price_premium(hazard, days, lgd, 1, lgd_now).now >= premium.now * (1 - 1e-12)


def test_two_liars_of_five_do_not_move_the_median() -> None:
    assert median_of_reports([0.9, 0.93, 0.95, 0, 1000000000.0]) == 0.93


def test_of_an_even_number_the_lower_middle_is_taken() -> None:
    assert median_of_reports([4, 1, 3, 2]) == 2
    assert median_of_reports([7]) == 7


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf, 1], [-math.inf], [True], [0.0] * (MAX_REPORTS + 1)])
def test_reports_that_are_none_are_refused(values: Sequence[float]) -> None:
    with pytest.raises(ExposureError, match="report"):
        median_of_reports(values)


@FIXED
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.data())
def test_fewer_than_half_cannot_move_it_beyond_the_honest(honest: list[float], data: st.DataObject) -> None:
    finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
    liars = data.draw(st.lists(finite, max_size=len(honest) - 1))
    assert min(honest) <= median_of_reports(data.draw(st.permutations(honest + liars))) <= max(honest)
