"""What is lost over time, and what a lever in effect averts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tocsin_node.sim.losses import Drain, Hold, crossing_ms, lost_micro_usd

STEP = Drain(1_000, 1_000, 500)
STEADY = Drain(0, 10_000, 1_000)
NEVER = 10**9

times = st.integers(0, 10_000)
drains = st.builds(lambda a, length, usd: Drain(a, a + length, usd), times, times, st.integers(0, 10**9))
holds = st.builds(lambda a, length, share: Hold(a, a + length, share), times, times, st.floats(0, 1))


def test_without_a_hold_everything_leaves() -> None:
    assert lost_micro_usd([STEP, STEADY], [], NEVER) == 1_500
    assert lost_micro_usd([STEP, STEADY], [], 5_000) == 1_000
    assert lost_micro_usd([STEP], [], 1_000) == 0


def test_a_hold_averts_its_share_while_it_lasts() -> None:
    assert lost_micro_usd([STEADY], [Hold(2_000, 4_000, 0.5)], NEVER) == 900
    assert lost_micro_usd([STEP], [Hold(1_000, 1_001, 0.9)], NEVER) == 50
    assert lost_micro_usd([STEP], [Hold(900, 1_000, 0.9)], NEVER) == 500


def test_of_two_holds_the_better_counts() -> None:
    assert lost_micro_usd([STEADY], [Hold(0, 10_000, 0.5), Hold(0, 5_000, 0.9)], NEVER) == 300


def test_crossing_is_when_as_much_has_left() -> None:
    assert crossing_ms([STEADY], 250) == 2_500
    assert crossing_ms([STEADY, STEP], 300) == 1_000
    assert crossing_ms([STEADY], 1_001) is None
    assert crossing_ms([], 1) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(drains, max_size=4), st.lists(holds, max_size=3), st.integers(0, 25_000))
def test_holding_never_costs_and_losses_only_grow(some: list[Drain], held: list[Hold], until_ms: int) -> None:
    without, with_ = lost_micro_usd(some, [], until_ms), lost_micro_usd(some, held, until_ms)
    assert 0 <= with_ <= without
    assert with_ <= lost_micro_usd(some, held, until_ms + 1) + 1
