from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tocsin_protocol.outflow import (
    MAX_REORG_BLOCKS,
    MAX_TICKS,
    Limiter,
    LimiterParams,
    OutflowError,
    Reading,
    add_block,
    outflow_limit,
    roll_back,
    start_limiter,
)

HOUR = LimiterParams(window_s=3_600, tick_s=60, max_outflow_bps=1_000, min_outflow=0)


def feed(
    limiter: Limiter, *blocks: tuple[int, int, int, int], params: LimiterParams = HOUR
) -> tuple[Limiter, list[Reading]]:
    """Add (number, timestamp, inflow, outflow) after one another."""
    readings = []
    for number, timestamp_s, inflow, outflow in blocks:
        limiter, reading = add_block(
            limiter, params, number=number, timestamp_s=timestamp_s, inflow=inflow, outflow=outflow
        )
        readings.append(reading)
    return limiter, readings


def test_the_limit_itself_is_allowed_and_one_unit_more_is_not() -> None:
    _, readings = feed(start_limiter(1_000, 0), (1, 60, 0, 100), (2, 72, 0, 1))
    assert [item.is_crossing for item in readings] == [False, True]
    assert (readings[1].net_outflow, readings[1].limit, readings[1].settled) == (101, 100, 1_000)


def test_a_crossing_is_told_once_until_the_flow_returns_below() -> None:
    _, readings = feed(start_limiter(1_000, 0), (1, 60, 0, 150), (2, 72, 0, 50), (3, 84, 150, 0), (4, 96, 0, 60))
    assert [item.is_crossing for item in readings] == [True, False, False, True]


def test_inflow_counts_against_outflow() -> None:
    limiter, readings = feed(start_limiter(1_000, 0), (1, 60, 500, 550))
    assert not readings[0].is_crossing
    assert limiter.balance == 950


def test_the_minimum_holds_for_small_balances() -> None:
    params = replace(HOUR, min_outflow=80)
    assert outflow_limit(params, 100) == 80
    assert outflow_limit(params, 10_000) == 1_000


def test_what_left_before_the_window_joins_the_yardstick() -> None:
    limiter, _ = feed(start_limiter(1_000, 0), (1, 60, 0, 90), (2, 3_720, 0, 80))
    assert limiter.settled == 910
    assert limiter.net == -80
    _, readings = feed(limiter, (3, 3_732, 0, 12))
    assert readings[0].is_crossing
    assert readings[0].limit == 91


def test_a_block_that_does_not_follow_is_refused() -> None:
    limiter, _ = feed(start_limiter(1_000, 5), (6, 60, 0, 1))
    for number in (4, 5, 6):
        with pytest.raises(OutflowError, match=f"block {number} follows block 6"):
            feed(limiter, (number, 72, 0, 1))


def test_negative_flows_and_balances_are_refused() -> None:
    with pytest.raises(OutflowError, match="negative"):
        start_limiter(-1, 0)
    with pytest.raises(OutflowError, match="negative"):
        feed(start_limiter(0, 0), (1, 1, -1, 0))


def test_a_rollback_deeper_than_what_is_kept_is_refused() -> None:
    blocks = [(number, number * 12, 0, 1) for number in range(1, MAX_REORG_BLOCKS + 11)]
    limiter, _ = feed(start_limiter(10_000, 0), *blocks)
    assert len(limiter.recent) == MAX_REORG_BLOCKS
    roll_back(limiter, HOUR, 10)
    with pytest.raises(OutflowError, match="below block 10"):
        roll_back(limiter, HOUR, 9)


def test_a_rollback_below_the_limit_arms_the_limiter_again() -> None:
    limiter, readings = feed(start_limiter(1_000, 0), (1, 60, 0, 50), (2, 72, 0, 60))
    assert readings[-1].is_crossing
    _, readings = feed(roll_back(limiter, HOUR, 1), (2, 75, 0, 60))
    assert readings[-1].is_crossing


def test_a_replacing_block_may_be_dated_earlier() -> None:
    limiter, _ = feed(start_limiter(1_000, 0), (1, 60, 0, 10), (2, 130, 0, 10))
    limiter, _ = feed(roll_back(limiter, HOUR, 1), (2, 110, 0, 30))
    assert limiter.balance == 960
    assert [tick.start_s for tick in limiter.ticks] == sorted(tick.start_s for tick in limiter.ticks)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"tick_s": 0}, "tick_s"),
        ({"tick_s": 3_601}, "tick_s"),
        ({"window_s": 60 * MAX_TICKS + 1}, "window_s"),
        ({"max_outflow_bps": 0}, "max_outflow_bps"),
        ({"max_outflow_bps": 10_001}, "max_outflow_bps"),
        ({"min_outflow": -1}, "min_outflow"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(changes: dict[str, int], key: str) -> None:
    with pytest.raises(OutflowError, match=key):
        replace(HOUR, **changes)


flows = st.lists(st.tuples(st.integers(0, 600), st.integers(0, 10**24), st.integers(0, 10**24)), max_size=60)


def dated(steps: list[tuple[int, int, int]]) -> list[tuple[int, int, int, int]]:
    blocks, now = [], 1_000_000
    for number, (gap, inflow, outflow) in enumerate(steps, 1):
        now += gap
        blocks.append((number, now, inflow, outflow))
    return blocks


@given(flows)
def test_the_balance_is_what_flowed_and_memory_is_bounded(steps: list[tuple[int, int, int]]) -> None:
    limiter, readings = feed(start_limiter(10**25, 0), *dated(steps))
    assert limiter.balance == 10**25 + sum(inflow - outflow for _, inflow, outflow in steps)
    assert len(limiter.ticks) <= HOUR.window_s // HOUR.tick_s + 1
    assert len(limiter.recent) <= MAX_REORG_BLOCKS
    for reading in readings:
        assert not reading.is_crossing or reading.net_outflow > reading.limit


@given(flows, st.integers(0, 60))
def test_a_rollback_is_as_if_the_blocks_had_never_been(steps: list[tuple[int, int, int]], keep: int) -> None:
    blocks = dated(steps)
    keep = min(keep, len(blocks))
    whole, _ = feed(start_limiter(10**25, 0), *blocks)
    rolled = roll_back(whole, HOUR, keep)
    kept, _ = feed(start_limiter(10**25, 0), *blocks[:keep])
    assert rolled.balance == kept.balance
    assert rolled.recent == kept.recent
    # One more block brings both to the same window.
    after = (len(blocks) + 1, (blocks[-1][1] if blocks else 0) + 1, 0, 0)
    again, reading = feed(rolled, after)
    other, reading_of_kept = feed(kept, after)
    assert (again.settled, again.net) == (other.settled, other.net)
    assert reading[0].net_outflow == reading_of_kept[0].net_outflow
    assert reading[0].limit == reading_of_kept[0].limit
