"""Token buckets: a burst, then the rate, whatever the clock does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_kit import FIXED
from tocsin_protocol.rates import CRITICAL_RATES, DOUBTFUL_RATE, STANDARD_RATES, Rate, RateLimiter
from tocsin_protocol.roster_model import RateClass
from tocsin_protocol.taxonomy import CRITICAL, LANES, STANDARD

ALBA, BROOK = b"\x0a" * 20, b"\x0b" * 20


def rate_of(lane: int, rate_class: RateClass) -> Rate:
    return (CRITICAL_RATES if lane == CRITICAL else STANDARD_RATES)[rate_class]


def take_all(limiter: RateLimiter, lane: int, rate_class: RateClass, now_ms: int, publisher: bytes = ALBA) -> int:
    taken = 0
    while limiter.allow(publisher, lane, rate_class, now_ms):
        taken += 1
    return taken


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("rate_class", RateClass)
def test_a_burst_and_then_the_rate(lane: int, rate_class: RateClass) -> None:
    rate, limiter = rate_of(lane, rate_class), RateLimiter()
    assert take_all(limiter, lane, rate_class, 0) == rate.burst
    assert take_all(limiter, lane, rate_class, 1000) == rate.per_second
    assert take_all(limiter, lane, rate_class, 10**12) == rate.burst


def test_lanes_publishers_and_doubts_have_buckets_of_their_own() -> None:
    limiter = RateLimiter()
    take_all(limiter, STANDARD, RateClass.LOW, 0)
    assert take_all(limiter, CRITICAL, RateClass.LOW, 0) == CRITICAL_RATES[RateClass.LOW].burst
    assert take_all(limiter, STANDARD, RateClass.LOW, 0, BROOK) == STANDARD_RATES[RateClass.LOW].burst
    assert sum(limiter.allow_doubtful(ALBA, 0) for _ in range(DOUBTFUL_RATE.burst + 5)) == DOUBTFUL_RATE.burst


@FIXED
@given(st.lists(st.integers(0, 400), min_size=1, max_size=60))
def test_never_more_than_burst_and_rate_allow(pauses_ms: list[int]) -> None:
    rate, limiter = STANDARD_RATES[RateClass.LOW], RateLimiter()
    now, passed = 0, 0
    for pause in pauses_ms:
        now += pause
        passed += limiter.allow(ALBA, STANDARD, RateClass.LOW, now)
    assert passed <= rate.burst + now * rate.per_second // 1000 + 1


@FIXED
@given(st.lists(st.integers(-(10**12), 10**12), max_size=30))
def test_a_jumping_clock_never_overfills_a_bucket(times_ms: list[int]) -> None:
    limiter = RateLimiter()
    for now in times_ms:
        limiter.allow(ALBA, STANDARD, RateClass.LOW, now)
    assert take_all(limiter, STANDARD, RateClass.LOW, 0) <= STANDARD_RATES[RateClass.LOW].burst


def test_publishers_that_left_are_forgotten() -> None:
    limiter = RateLimiter()
    for publisher in (ALBA, BROOK):
        take_all(limiter, STANDARD, RateClass.LOW, 0, publisher)
    limiter.forget_except(frozenset((BROOK,)))
    assert limiter.allow(ALBA, STANDARD, RateClass.LOW, 0)
    assert not limiter.allow(BROOK, STANDARD, RateClass.LOW, 0)
