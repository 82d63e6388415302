"""Bounds on loss: published numbers, the edges, and input that is none."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_kit import FIXED
from tocsin_protocol.errors import ExposureError
from tocsin_protocol.loss import (
    HOUR_MS,
    MAX_FEASIBILITY,
    feasibility,
    inclusion_within,
    linear_loss,
    lost_by_then,
    per_block_cap,
    proportional_loss,
    required_mean_containment_ms,
    rolling_cap_worst,
    trigger_micro_usd,
)
from tocsin_protocol.quantities import MAX_MICRO_USD

USD = 1_000_000
MAL = 5_000_000 * USD
TVL = 100_000_000 * USD
MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("drain_usd_per_s", "trigger_usd", "ratio"), [(50_000, 2_600_000, 2.083333333), (200_000, 0, 0.5208333333)]
)
def test_the_trigger_leaves_room_for_what_drains_meanwhile(
    drain_usd_per_s: int, trigger_usd: int, ratio: float
) -> None:
    per_hour = drain_usd_per_s * 3_600 * USD
    assert trigger_micro_usd(MAL, per_hour, 48_000) == trigger_usd * USD
    assert feasibility(MAL, per_hour, 48_000) == pytest.approx(ratio, rel=1e-6)


def test_caps_keep_to_their_worst_case() -> None:
    assert per_block_cap(MAL, 4) == 1_000_000 * USD
    assert per_block_cap(MAL, 0) == MAL
    assert rolling_cap_worst(0.3, 3) == pytest.approx(0.657, rel=1e-6)
    assert (rolling_cap_worst(0.3, 0), rolling_cap_worst(1, 1), rolling_cap_worst(0, 9)) == (0, 1, 0)


def test_a_proportional_drain_loses_a_share() -> None:
    assert proportional_loss(10 * MINUTE_MS, 2 * MINUTE_MS) == pytest.approx(0.1217511437, rel=1e-6)
    assert proportional_loss(10 * MINUTE_MS, 0) == 0


def test_the_mean_time_that_a_loss_allows() -> None:
    needed = required_mean_containment_ms(TVL, MAL, 10 * MINUTE_MS)
    assert needed == pytest.approx(45_558.79076, rel=1e-6)
    assert proportional_loss(10 * MINUTE_MS, round(needed)) == pytest.approx(MAL / TVL, rel=1e-4)
    assert required_mean_containment_ms(TVL, 0, MINUTE_MS) == 0


@pytest.mark.parametrize(("mean_min", "loss_usd"), [(2, 19865241.06), (20, 78693868.06)])
def test_a_linear_drain_stops_at_all_there_is(mean_min: int, loss_usd: float) -> None:
    lost = linear_loss(TVL, 10_000_000 * 60 * USD, mean_min * MINUTE_MS)
    assert lost / USD == pytest.approx(loss_usd, rel=1e-6)


@pytest.mark.parametrize(("blocks", "chance"), [(0, 0), (1, 0.6), (2, 0.84), (3, 0.936), (5, 0.98976)])
def test_inclusion_grows_with_blocks(blocks: int, chance: float) -> None:
    assert inclusion_within(0.6, blocks) == pytest.approx(chance, rel=1e-6)


def test_nothing_drains_or_nothing_is_waited_for() -> None:
    assert feasibility(MAL, 0, 48_000) == MAX_FEASIBILITY
    assert feasibility(0, 0, 0) == MAX_FEASIBILITY
    assert feasibility(0, 1, 1) == 0
    assert trigger_micro_usd(MAL, 0, 48_000) == MAL
    assert linear_loss(TVL, 0, HOUR_MS) == linear_loss(0, TVL, HOUR_MS) == linear_loss(TVL, TVL, 0) == 0


def test_what_is_lost_is_rounded_up() -> None:
    assert lost_by_then(1, 1) == 1
    assert lost_by_then(0, HOUR_MS) == 0
    assert trigger_micro_usd(10, 1, 1) == 9


BAD: list[Callable[[], object]] = [
    lambda: trigger_micro_usd(-1, 1, 1),
    lambda: trigger_micro_usd(1, -1, 1),
    lambda: trigger_micro_usd(1, 1, -1),
    lambda: trigger_micro_usd(1, 1.5, 1),  # type: ignore[arg-type]
    lambda: trigger_micro_usd(True, 1, 1),
    lambda: trigger_micro_usd(MAX_MICRO_USD + 1, 1, 1),
    lambda: feasibility(1, math.nan, 1),  # type: ignore[arg-type]
    lambda: feasibility(1, 1, math.inf),  # type: ignore[arg-type]
    lambda: per_block_cap(1, -1),
    lambda: rolling_cap_worst(1.1, 1),
    lambda: rolling_cap_worst(math.nan, 1),
    lambda: rolling_cap_worst(0.5, -1),
    lambda: proportional_loss(0, 1),
    lambda: proportional_loss(1, -1),
    lambda: required_mean_containment_ms(0, 0, 1),
    lambda: required_mean_containment_ms(TVL, TVL, 1),
    lambda: required_mean_containment_ms(TVL, MAL, 0),
    lambda: linear_loss(-1, 1, 1),
    lambda: linear_loss(1, 1, -1),
    lambda: inclusion_within(-0.1, 1),
    lambda: inclusion_within(0.5, 10**9),
]


@pytest.mark.parametrize("call", BAD)
def test_input_that_is_none_is_refused_by_name(call: Callable[[], object]) -> None:
    with pytest.raises(ExposureError, match=" is "):
        call()


sums = st.one_of(st.integers(0, 10), st.integers(0, MAX_MICRO_USD))
times = st.one_of(st.integers(0, 10), st.integers(0, 2**53 - 1))


@FIXED
@given(sums, sums, times)
def test_no_number_leaks_that_is_none(tvl: int, rate: int, time_ms: int) -> None:
    assert 0 <= trigger_micro_usd(tvl, rate, time_ms) <= tvl
    assert 0 <= feasibility(tvl, rate, time_ms) <= MAX_FEASIBILITY
    assert 0 <= linear_loss(tvl, rate, time_ms) <= tvl
    assert 0 <= proportional_loss(max(1, time_ms), time_ms) <= 1
    assert math.isfinite(required_mean_containment_ms(tvl + 1 if tvl < MAX_MICRO_USD else tvl, 0, max(1, time_ms)))


@FIXED
@given(sums, sums, times, times)
def test_the_trigger_keeps_its_promise_wherever_it_can(mal: int, rate: int, one: int, other: int) -> None:
    quick, slow = sorted((one, other))
    assert trigger_micro_usd(mal, rate, slow) <= trigger_micro_usd(mal, rate, quick)
    assert linear_loss(mal, rate, quick) <= linear_loss(mal, rate, slow) + mal // 10**12 + 1
    if trigger_micro_usd(mal, rate, quick):
        assert trigger_micro_usd(mal, rate, quick) + lost_by_then(rate, quick) <= mal
        assert feasibility(mal, rate, quick) >= 1


@FIXED
@given(st.floats(0, 1), st.integers(0, 50))
def test_tries_add_up(chance: float, tries: int) -> None:
    value = inclusion_within(chance, tries)
    assert value == pytest.approx(1 - (1 - chance) ** tries, abs=1e-12)
    assert 0 <= value <= inclusion_within(chance, tries + 1) <= 1
