"""Distress and clearing: published numbers, and what must hold for any of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_kit import FIXED
from tocsin_protocol.errors import ExposureError
from tocsin_protocol.exposure.circle import Sweeps, find_circle_distress, prepare_circle
from tocsin_protocol.exposure.clearing import clear_debts
from tocsin_protocol.exposure.components import find_components
from tocsin_protocol.exposure.contagion import (
    MAX_MATRIX_NODES,
    DebtRank,
    find_distress,
    prepare_debtrank,
)

CYCLE = [[0, 0.5, 0.2], [0, 0, 0.4], [0.3, 0, 0]]
USD = 1_000_000


@pytest.mark.parametrize(
    ("shock", "distress"),
    [
        ([1, 0, 0], [1.0, 0.5, 0.4]),
        ([0.4, 0, 0], [0.4545454545, 0.2272727273, 0.1818181818]),
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_distress_goes_around_a_cycle_and_stops_at_one(shock: list[float], distress: list[float]) -> None:
    assert find_distress(prepare_debtrank(CYCLE), shock) == pytest.approx(distress, rel=1e-6)


def test_an_empty_graph_has_no_distress() -> None:
    assert find_distress(prepare_debtrank(np.zeros((0, 0))), []).tolist() == []


def test_a_cycle_that_damps_nothing_brings_any_shock_to_the_top() -> None:
    ready = prepare_debtrank([[0, 1, 0], [1, 0, 0.25], [0, 0, 0]])
    assert ready.resolvent is None
    assert find_distress(ready, [1e-9, 0, 0]).tolist() == [1, 1, 0.25]
    assert find_distress(ready, [0, 0, 0.5]).tolist() == [0, 0, 0.5]


def test_a_cycle_that_grows_stops_at_one() -> None:
    ready = prepare_debtrank([[0, 1, 1], [1, 0, 1], [0.2, 0.2, 0]])
    assert ready.resolvent is None
    assert find_distress(ready, [0.01, 0, 0]).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "weights",
    [
        [[0, 1.1], [0, 0]],
        [[0, -0.1], [0, 0]],
        [[0, math.nan], [0, 0]],
        [[0, math.inf], [0, 0]],
        [[0, 1]],
        [[0, 1], [0]],
    ],
)
def test_weights_that_are_none_are_refused(weights: Any) -> None:
    with pytest.raises(ExposureError, match="weights"):
        prepare_debtrank(weights)


def test_a_matrix_that_is_too_large_is_refused() -> None:
    with pytest.raises(ExposureError, match="1025 nodes where at most 1024"):
        prepare_debtrank(np.zeros((MAX_MATRIX_NODES + 1, MAX_MATRIX_NODES + 1)))


@st.composite
def circles(draw: st.DrawFn) -> tuple[list[dict[int, float]], list[float]]:
    """A ring with chords: each node's successors, and a shock."""
    size = draw(st.integers(2, 6))
    weights = st.one_of(st.sampled_from([1.0, 0.999999]), st.floats(0.001, 1))
    successors = [
        {(node + 1) % size: draw(weights), **draw(st.dictionaries(st.integers(0, size - 1), weights, max_size=2))}
        for node in range(size)
    ]
    return successors, draw(st.lists(shares, min_size=size, max_size=size))


@FIXED
@given(circles())
def test_sweeps_end_where_the_matrix_does_or_above(circle: tuple[list[dict[int, float]], list[float]]) -> None:
    successors, shock = circle
    exact = prepare_circle(range(len(shock)), successors)
    assert isinstance(exact, DebtRank)
    edges = [(node, target, weight) for node, of in enumerate(successors) for target, weight in of.items()]
    sources, targets = (np.array([edge[end] for edge in edges]) for end in (0, 1))
    swept = find_circle_distress(Sweeps(sources, targets, np.array([edge[2] for edge in edges])), np.array(shock))
    distress = find_circle_distress(exact, np.array(shock))
    assert (swept >= distress - 1e-9).all()
    assert (swept <= 1).all()
    if np.abs(np.linalg.eigvals(exact.transfer)).max() < 0.85:
        assert swept == pytest.approx(distress, abs=1e-9)


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_a_circle_too_large_for_a_matrix_is_swept(weight: float) -> None:
    size = MAX_MATRIX_NODES + 1
    circle = prepare_circle(range(size), [{(node + 1) % size: weight} for node in range(size)])
    assert isinstance(circle, Sweeps)
    shock = np.zeros(size)
    shock[0] = 0.5
    expected = [0.5 * weight**n for n in range(size)] if weight < 1 else [1.0] * size
    assert find_circle_distress(circle, shock) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shock", [[1, 0], [2, 0, 0], [-0.1, 0, 0], [math.nan, 0, 0], [math.inf, 0, 0], ["x", 0, 0]])
def test_shocks_that_are_none_are_refused(shock: Any) -> None:
    with pytest.raises(ExposureError, match="shock"):
        find_distress(prepare_debtrank(CYCLE), shock)


shares = st.one_of(st.sampled_from([0.0, 0.0, 1.0, 0.5]), st.floats(0, 1))


@st.composite
def systems(draw: st.DrawFn) -> tuple[list[list[float]], list[float]]:
    """Weights and a shock: sparse or full, damped or growing."""
    size = draw(st.integers(1, 6))
    damping = draw(st.sampled_from([1.0, 0.3, 0.05]))
    rows = st.lists(shares.map(lambda share: share * damping), min_size=size, max_size=size)
    return draw(st.lists(rows, min_size=size, max_size=size)), draw(st.lists(shares, min_size=size, max_size=size))


def follow_increments(weights: list[list[float]], shock: list[float], rounds: int) -> Any:
    """Bardoscia et al. as printed: each round passes on what was added in the last one."""
    matrix, before, now = np.array(weights), np.zeros(len(shock)), np.array(shock)
    for _ in range(rounds):
        before, now = now, np.minimum(1, now + (now - before) @ matrix)
    return now


@FIXED
@given(systems())
def test_distress_is_the_limit_of_the_published_rounds(system: tuple[list[list[float]], list[float]]) -> None:
    weights, shock = system
    distress = find_distress(prepare_debtrank(weights), shock)
    rounds = follow_increments(weights, shock, 400)
    assert (distress >= rounds - 1e-9).all()  # the rounds come from below
    assert np.minimum(1, np.array(shock) + distress @ np.array(weights)) == pytest.approx(distress, abs=1e-9)
    if np.abs(np.linalg.eigvals(np.array(weights))).max() < 0.9:
        assert distress == pytest.approx(rounds, abs=1e-9)


@FIXED
@given(systems(), systems())
def test_distress_is_in_bounds_and_monotone(
    one: tuple[list[list[float]], list[float]], other: tuple[list[list[float]], list[float]]
) -> None:
    size = min(len(one[1]), len(other[1]))
    weights, shock = np.array(one[0])[:size, :size], np.array(one[1])[:size]
    more_weights = np.maximum(weights, np.array(other[0])[:size, :size])
    more_shock = np.maximum(shock, np.array(other[1])[:size])
    distress = find_distress(prepare_debtrank(weights), shock)
    assert np.isfinite(distress).all()
    assert ((distress >= shock) & (distress <= 1)).all()
    assert (find_distress(prepare_debtrank(weights), more_shock) >= distress - 1e-9).all()
    assert (find_distress(prepare_debtrank(more_weights), shock) >= distress - 1e-9).all()


@FIXED
@given(systems())
def test_with_and_without_the_inverse_is_the_same(system: tuple[list[list[float]], list[float]]) -> None:
    ready = prepare_debtrank(system[0])
    without = find_distress(DebtRank(ready.transfer, None), system[1])
    assert find_distress(ready, system[1]) == pytest.approx(without, abs=1e-9)


def test_many_that_fail_at_once_are_held_at_one() -> None:
    size = 200
    weights = np.full((size, size), 0.9 / size)
    shock = np.linspace(0, 1, size)
    distress = find_distress(prepare_debtrank(weights), shock)
    assert np.minimum(1, shock + weights.T @ distress) == pytest.approx(distress, abs=1e-12)
    assert 0 < (distress == 1).sum() < size


LIABILITIES = [[0, 6 * USD, 4 * USD], [3 * USD, 0, 2 * USD], [1 * USD, 2 * USD, 0]]


@pytest.mark.parametrize(
    ("external", "payments", "equity"),
    [([2, 1, 1], [6, 5, 3], [0, 1.6, 2.4]), ([0.5, 0.5, 0.5], [4.5, 5, 3], [0, 0.2, 1.3])],
)
def test_debts_are_cleared_in_proportion(external: list[float], payments: list[float], equity: list[float]) -> None:
    cleared = clear_debts(LIABILITIES, [round(amount * USD) for amount in external])
    assert [paid / USD for paid in cleared.payments_micro_usd] == pytest.approx(payments, rel=1e-6)
    assert [left / USD for left in cleared.equity_micro_usd] == pytest.approx(equity, rel=1e-6)


def test_a_ring_without_money_clears_in_full_and_nobody_clears_nothing() -> None:
    assert clear_debts([[0, 5], [5, 0]], [0, 0]).payments_micro_usd == (5, 5)
    assert clear_debts([[0, 5], [3, 0]], [0, 0]).payments_micro_usd == (3, 3)
    assert clear_debts([], []).payments_micro_usd == ()
    assert clear_debts([[7]], [1]).payments_micro_usd == (0,)


@pytest.mark.parametrize(
    ("liabilities", "external"),
    [([[0, -1], [0, 0]], [0, 0]), ([[0, 1]], [0, 0]), ([[0, 1.5], [0, 0]], [0, 0]), ([[0]], [-1]), ([[0]], [10**19])],
)
def test_debts_that_are_none_are_refused(liabilities: Any, external: Any) -> None:
    with pytest.raises(ExposureError):
        clear_debts(liabilities, external)


amounts = st.one_of(st.integers(0, 10), st.integers(0, 10**15), st.just(0))


@st.composite
def debts(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    size = draw(st.integers(1, 5))
    row = st.lists(amounts, min_size=size, max_size=size)
    return draw(st.lists(row, min_size=size, max_size=size)), draw(row)


@FIXED
@given(debts())
def test_nobody_pays_more_than_due_or_has_less_than_nothing(system: tuple[list[list[int]], list[int]]) -> None:
    liabilities, external = system
    cleared = clear_debts(liabilities, external)
    for node, (paid, left) in enumerate(zip(cleared.payments_micro_usd, cleared.equity_micro_usd, strict=True)):
        due = sum(owed for other, owed in enumerate(liabilities[node]) if other != node)
        assert 0 <= paid <= due + 1
        assert left >= 0
        assert left <= 10 + due * 1e-9 or paid >= due - 10 - due * 1e-9  # equity only after all debts
    total = sum(external)
    assert sum(cleared.equity_micro_usd) == pytest.approx(total, rel=1e-6, abs=20 + 1e-9 * 10**15 * len(external))


@FIXED
@given(st.integers(1, 12), st.data())
def test_components_are_what_leads_there_and_back_in_the_order_of_flow(size: int, data: st.DataObject) -> None:
    nodes = st.integers(0, size - 1)
    edges = data.draw(st.lists(st.tuples(nodes, nodes), max_size=25))
    successors = [[target for source, target in edges if source == node] for node in range(size)]
    reach = np.eye(size, dtype=bool)
    for source, target in edges:
        reach[source, target] = True
    for middle in range(size):
        reach |= reach[:, [middle]] & reach[[middle], :]
    components = find_components(successors)
    place = {node: at for at, component in enumerate(components) for node in component}
    assert sorted(place) == list(range(size))
    for one in range(size):
        for other in range(size):
            assert (place[one] == place[other]) == bool(reach[one, other] and reach[other, one])
            assert not reach[one, other] or place[one] <= place[other]


def test_a_long_chain_does_not_exhaust_the_stack() -> None:
    assert len(find_components([[n + 1] for n in range(20_000)] + [[]])) == 20_001
