"""Freshness: the vectors show the bounds, these what holds for every signal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import DAY_MS, NOW_MS, make_signal
from strategies_kit import FIXED, signals
from tocsin_protocol.admission import Reason
from tocsin_protocol.freshness import (
    DEFAULT_FRESHNESS_MS,
    MAX_CLOCK_SKEW_MS,
    actionable_until_ms,
    check_actionable,
    freshness_bound_ms,
)
from tocsin_protocol.model import Signal
from tocsin_protocol.taxonomy import Category

STANDINGS = {Reason.ADMITTED, Reason.DRILL, Reason.FROM_FUTURE, Reason.EXPIRED, Reason.STALE}


@FIXED
@given(signals(), st.integers(0, 2 * NOW_MS), st.integers(0, 2 * NOW_MS))
def test_what_may_actuate_is_fresh_unexpired_and_no_drill(signal: Signal, now_ms: int, received_ms: int) -> None:
    standing = check_actionable(signal, now_ms, received_ms)
    assert standing in STANDINGS
    if standing is Reason.ADMITTED:
        assert not signal.drill
        assert signal.category is not Category.META_DRILL
        assert now_ms < signal.expires_ms
        assert now_ms - signal.issued_ms <= freshness_bound_ms(signal.category) <= DAY_MS
        assert signal.issued_ms <= received_ms + MAX_CLOCK_SKEW_MS


@FIXED
@given(signals(), st.integers(0, 2 * DAY_MS))
def test_the_end_is_the_first_moment_it_may_not(signal: Signal, after_ms: int) -> None:
    end_ms = actionable_until_ms(signal)
    assert check_actionable(signal, end_ms + after_ms, signal.issued_ms) is not Reason.ADMITTED
    if check_actionable(signal, signal.issued_ms) is Reason.ADMITTED:
        assert check_actionable(signal, end_ms - 1, signal.issued_ms) is Reason.ADMITTED


@FIXED
@given(signals(), st.integers(0, 2 * DAY_MS), st.integers(0, 2 * DAY_MS))
def test_what_came_from_the_future_never_ripens(signal: Signal, early_ms: int, later_ms: int) -> None:
    received_ms = signal.issued_ms - MAX_CLOCK_SKEW_MS - 1 - early_ms
    assert check_actionable(signal, received_ms + later_ms, received_ms) is not Reason.ADMITTED


def test_categories_without_a_bound_have_the_default() -> None:
    assert freshness_bound_ms(Category.INFRA_OUTAGE) == DEFAULT_FRESHNESS_MS
    assert freshness_bound_ms(make_signal().category) < DEFAULT_FRESHNESS_MS
