"""The cheapest lever: published thresholds, brute force, and what cannot be a lever."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_kit import FIXED
from tocsin_protocol.errors import ExposureError, PolicyError
from tocsin_protocol.ladder import (
    MAX_LEVERS,
    OBSERVE,
    Lever,
    build_ladder,
    choose_lever,
    expected_cost,
    find_thresholds,
    single_pause_threshold,
)

USD = 1_000_000
LOSS = 8_000_000 * USD
CAPS = Lever("tighten_caps", 0.35, 4_000 * USD)
BORROW = Lever("pause_borrow", 0.6, 20_000 * USD)
FULL = Lever("full_pause", 0.98, 150_000 * USD)
LADDER = build_ladder((CAPS, BORROW, FULL))


def test_thresholds_are_where_one_lever_begins_to_beat_the_one_below() -> None:
    assert find_thresholds(LADDER, LOSS) == pytest.approx((0.001426533524, 0.007936507937, 0.04100946372), rel=1e-6)
    assert single_pause_threshold(150_000 * USD, LOSS) == pytest.approx(0.01840490798, rel=1e-6)


@pytest.mark.parametrize(
    ("belief", "name"), [(0.0001, "observe"), (0.002, "tighten_caps"), (0.02, "pause_borrow"), (0.2, "full_pause")]
)
def test_the_cheapest_lever_is_chosen(belief: float, name: str) -> None:
    assert choose_lever(LADDER, belief, LOSS).lever.name == name


def test_a_choice_says_what_it_costs_and_what_would_take_the_next_rung() -> None:
    choice = choose_lever(LADDER, 0.02, LOSS)
    assert choice.expected_cost_micro_usd == pytest.approx((0.02 * 0.4 * 8e6 + 0.98 * 20_000) * USD)
    assert (choice.threshold, choice.following_threshold) == find_thresholds(LADDER, LOSS)[1:]
    assert choice.following == FULL
    last = choose_lever(LADDER, 1, LOSS)
    assert (last.lever, last.following, last.following_threshold) == (FULL, None, None)


def test_at_a_threshold_the_lower_rung_is_chosen() -> None:
    even = build_ladder((Lever("pause", 1.0, LOSS),))
    assert find_thresholds(even, LOSS) == (0.5,)
    assert choose_lever(even, 0.5, LOSS).lever == OBSERVE
    assert choose_lever(even, math.nextafter(0.5, 1), LOSS).lever.name == "pause"


def test_with_nothing_to_lose_nothing_is_done_whatever_is_believed() -> None:
    assert find_thresholds(LADDER, 0) == (1.0, 1.0, 1.0)
    assert choose_lever(LADDER, 1, 0).lever == OBSERVE
    assert single_pause_threshold(0, 0) == 1


def test_without_levers_one_observes() -> None:
    empty = build_ladder(())
    assert empty.rungs == (OBSERVE,)
    assert choose_lever(empty, 1, LOSS).lever == OBSERVE


def test_dominated_levers_are_left_out_with_the_reason() -> None:
    dearer = Lever("dearer", 0.5, 30_000 * USD)
    between = Lever("between", 0.47, 12_500 * USD)
    same = Lever("same", 0.6, 20_000 * USD)
    ladder = build_ladder((dearer, CAPS, BORROW, same, FULL, between))
    assert ladder.rungs == LADDER.rungs
    assert {out.lever.name: tuple(b.name for b in out.better) for out in ladder.left_out} == {
        "dearer": ("pause_borrow",),
        "same": ("pause_borrow",),
        "between": ("tighten_caps", "pause_borrow"),
    }


def test_a_lever_on_the_line_between_two_is_left_out() -> None:
    ladder = build_ladder((Lever("half", 0.25, 10), Lever("whole", 0.5, 20)))
    assert [rung.name for rung in ladder.rungs] == ["observe", "whole"]


def test_of_equal_levers_the_first_listed_stays() -> None:
    one, two = Lever("one", 0.5, 10), Lever("two", 0.5, 10)
    assert build_ladder((two, one)).rungs == (OBSERVE, two)


@pytest.mark.parametrize(
    ("lever", "message"),
    [
        (Lever("free", 0.5, 0), "lever 'free': cost is 0"),
        (Lever("negative", 0.5, -1), "cost is -1"),
        (Lever("float", 0.5, 1.0), "cost is 1.0"),  # type: ignore[arg-type]
        (Lever("useless", 0, 1), "effectiveness is 0"),
        (Lever("more", 1.01, 1), "effectiveness is 1.01"),
        (Lever("nan", math.nan, 1), "effectiveness is nan"),
        (Lever("endless", math.inf, 1), "effectiveness is inf"),
        (Lever("truth", True, 1), "effectiveness is True"),
        (Lever("observe", 0.5, 1), "always there"),
    ],
)
def test_a_lever_that_is_none_is_refused(lever: Lever, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        build_ladder((lever,))


def test_too_many_levers_and_two_of_a_name_are_refused() -> None:
    levers = [Lever(f"l{n}", (n + 1) / 100, n + 1) for n in range(MAX_LEVERS)]
    build_ladder(levers)
    with pytest.raises(PolicyError, match="at most 64"):
        build_ladder([*levers, CAPS])
    with pytest.raises(PolicyError, match="same name"):
        build_ladder((CAPS, CAPS))


@pytest.mark.parametrize(("belief", "loss"), [(math.nan, 1), (-0.1, 1), (1.1, 1), (0.5, -1), (0.5, 1.5), (0.5, 10**19)])
def test_beliefs_and_losses_that_are_none_are_refused(belief: float, loss: int) -> None:
    with pytest.raises(ExposureError):
        choose_lever(LADDER, belief, loss)
    with pytest.raises(ExposureError):
        expected_cost(CAPS, belief, loss)


levers = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0.1, 0.2, 0.3, 1.0]), st.floats(1e-6, 1)),
        st.one_of(st.integers(1, 5), st.integers(1, 10**15)),
    ),
    max_size=8,
).map(lambda rows: [Lever(f"l{n}", e, c) for n, (e, c) in enumerate(rows)])
beliefs = st.floats(0, 1)
losses = st.one_of(st.just(0), st.integers(1, 10), st.integers(0, 10**18))


@FIXED
@given(levers, beliefs, losses)
def test_no_lever_is_cheaper_than_the_choice(known: list[Lever], belief: float, loss: int) -> None:
    ladder = build_ladder(known)
    choice = choose_lever(ladder, belief, loss)
    least = min(expected_cost(lever, belief, loss) for lever in (OBSERVE, *known))
    assert math.isfinite(choice.expected_cost_micro_usd)
    assert choice.expected_cost_micro_usd <= least * (1 + 1e-9) + 1e-6
    assert {*ladder.rungs, *(out.lever for out in ladder.left_out)} == {OBSERVE, *known}


@FIXED
@given(levers, losses)
def test_rungs_and_thresholds_rise(known: list[Lever], loss: int) -> None:
    ladder = build_ladder(known)
    for below, above in pairwise(ladder.rungs):
        assert below.effectiveness < above.effectiveness
        assert below.cost_micro_usd < above.cost_micro_usd
    thresholds = find_thresholds(ladder, loss)
    assert all(0 < threshold <= 1 for threshold in thresholds)
    assert all(below <= above * (1 + 1e-9) for below, above in pairwise(thresholds))


@FIXED
@given(levers, beliefs, beliefs, losses, losses)
def test_more_belief_or_loss_never_takes_a_lower_rung(
    known: list[Lever], belief: float, other: float, loss: int, more: int
) -> None:
    ladder = build_ladder(known)
    low, high = sorted((belief, other))
    small, large = sorted((loss, more))
    rung = ladder.rungs.index(choose_lever(ladder, low, small).lever)
    assert ladder.rungs.index(choose_lever(ladder, high, small).lever) >= rung
    assert ladder.rungs.index(choose_lever(ladder, low, large).lever) >= rung


@FIXED
@given(levers, beliefs, losses)
def test_the_order_of_different_levers_does_not_matter(known: list[Lever], belief: float, loss: int) -> None:
    forward, backward = build_ladder(known), build_ladder(known[::-1])
    shape = [(rung.effectiveness, rung.cost_micro_usd) for rung in forward.rungs]
    assert shape == [(rung.effectiveness, rung.cost_micro_usd) for rung in backward.rungs]
