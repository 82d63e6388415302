"""Independence: the heaviest set is exact, the same in any order, never hurt by one more, and bounded in cost."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import bytes_of_label
from strategies_kit import FIXED
from tocsin_protocol.belief import search
from tocsin_protocol.belief.independence import (
    MAX_SEARCH_STEPS,
    MAX_WEIGHT,
    IndependentSet,
    Reporter,
    heaviest_independent,
    labels_of,
    largest_independent,
    shared_labels,
    to_whole_units,
)
from tocsin_protocol.errors import BeliefError
from tocsin_protocol.roster_model import Capability, DetectorEntry, Member, Publisher, RateClass


def reporter(number: int, labels: str, weight: float = 1.0) -> Reporter:
    """`labels` are separated by spaces."""
    return Reporter(number.to_bytes(20, "big"), frozenset(labels.split()), weight)


def numbers(found: IndependentSet) -> list[int]:
    return [int.from_bytes(publisher, "big") for publisher in found.publishers]


def crowd(kind: str, count: int, seed: int = 1) -> list[Reporter]:
    """Many reporters: of real-looking labels, or of labels made to be hard."""
    draw = random.Random(seed)

    def popular(most: int) -> int:
        return draw.choices(range(most), [1 / (rank + 1) for rank in range(most)])[0]

    def labels(number: int) -> str:
        match kind:
            case "bought detectors":
                return f"m{number // 2} v{popular(15)} r{popular(8)}"
            case "own detectors":
                return f"m{number // 2} v{number // 2 if draw.random() < 0.6 else 1000 + popular(12)} r{popular(12)}"
            case _:
                return " ".join(f"x{draw.randrange(150)}" for _ in range(4))

    return [
        reporter(number, labels(number), MAX_LLR * draw.choice((0.5, 0.8, 0.9, 1)) * 2 ** (-2 * draw.random()))
        for number in range(count)
    ]


MAX_LLR = math.log(50)
few_labels = st.frozensets(st.sampled_from("abcdefgh"), max_size=4)
weights = st.one_of(st.just(1.0), st.floats(0, 5), st.sampled_from((0.0, 0.5, 2.0)))
reporters = st.lists(st.tuples(few_labels, weights), max_size=9).map(
    lambda rows: [Reporter(n.to_bytes(20, "big"), labels, weight) for n, (labels, weight) in enumerate(rows)]
)


def is_independent(chosen: Sequence[Reporter]) -> bool:
    return all(one.labels.isdisjoint(other.labels) for one, other in combinations(chosen, 2))


def brute_force(many: Sequence[Reporter]) -> float:
    """The heaviest independent subset, by looking at all."""
    subsets = (subset for size in range(len(many) + 1) for subset in combinations(many, size))
    return max(sum(to_whole_units(r.weight) for r in subset) for subset in subsets if is_independent(subset))


@FIXED
@given(reporters)
def test_the_set_found_is_the_heaviest_there_is(many: list[Reporter]) -> None:
    found = heaviest_independent(many)
    assert found.is_exact
    assert found.weight == pytest.approx(brute_force(many), abs=1e-12)
    chosen = [r for r in many if r.publisher in found.publishers]
    assert is_independent(chosen)
    assert found.weight == pytest.approx(sum(to_whole_units(r.weight) for r in chosen), abs=1e-12)


@FIXED
@given(reporters)
def test_it_is_so_as_well_when_the_bound_has_to_be_bettered(many: list[Reporter]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "CHEAP_SEARCH_STEPS", 0)
        found = heaviest_independent(many)
    assert found.is_exact
    assert found.weight == heaviest_independent(many).weight


@FIXED
@given(reporters)
def test_the_largest_set_does_not_look_at_weights(many: list[Reporter]) -> None:
    ones = [Reporter(r.publisher, r.labels) for r in many]
    assert largest_independent(many) == heaviest_independent(ones)
    assert len(largest_independent(many).publishers) == brute_force(ones)


@FIXED
@given(reporters, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(many: list[Reporter], shuffler: random.Random) -> None:
    again = [*many, *many[::2]]
    shuffler.shuffle(again)
    assert heaviest_independent(again) == heaviest_independent(many)


@FIXED
@given(reporters, few_labels, weights)
def test_one_more_never_makes_the_set_lighter(many: list[Reporter], labels: frozenset[str], weight: float) -> None:
    more = [*many, Reporter(b"\xff" * 20, labels, weight)]
    assert heaviest_independent(more).weight >= heaviest_independent(many).weight
    assert largest_independent(more).weight >= largest_independent(many).weight


@FIXED
@given(reporters.filter(bool), st.integers(1, 20))
def test_sybils_with_the_labels_of_another_add_nothing(many: list[Reporter], count: int) -> None:
    victim = next((r for r in many if r.labels), None)
    if victim is None:
        return
    sybils = [Reporter(bytes([n]) * 20, victim.labels, victim.weight) for n in range(100, 100 + count)]
    assert heaviest_independent(many + sybils).weight == heaviest_independent(many).weight


@FIXED
@given(reporters)
def test_whoever_is_left_out_has_no_weight_or_shares_a_label_with_one_who_is_in(many: list[Reporter]) -> None:
    found = heaviest_independent(many)
    shared = shared_labels(many, found)
    by_id = {r.publisher: r for r in many}
    for one in many:
        if one.publisher in found.publishers:
            assert one.publisher not in shared
        elif to_whole_units(one.weight):
            why = shared[one.publisher]
            assert why.publisher in found.publishers
            assert why.label in one.labels & by_id[why.publisher].labels


def test_a_third_who_shares_one_label_with_each_of_two_puts_neither_out() -> None:
    pair = [reporter(1, "X r1"), reporter(2, "Y r2")]
    assert numbers(heaviest_independent([*pair, reporter(3, "X r2")])) == [1, 2]
    assert numbers(heaviest_independent([*pair, reporter(3, "X r2", 2.5)])) == [3]


def test_of_equals_the_lower_id_is_chosen() -> None:
    assert numbers(heaviest_independent([reporter(9, "a"), reporter(4, "a"), reporter(7, "a")])) == [4]
    assert numbers(heaviest_independent([reporter(9, "a b"), reporter(4, "a c"), reporter(7, "b c")])) == [4]


def test_nobody_makes_an_empty_set() -> None:
    for nobody in ([], [reporter(1, "a", 0.0)]):
        assert heaviest_independent(nobody) == IndependentSet((), 0.0, 0, True)


def test_a_reporter_without_labels_is_independent_of_all() -> None:
    assert numbers(heaviest_independent([reporter(n, "") for n in range(5)])) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf, MAX_WEIGHT + 1])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(BeliefError, match="weight"):
        reporter(1, "a", weight)


@pytest.mark.parametrize("kind", ["bought detectors", "own detectors"])
@pytest.mark.parametrize("seed", range(3))
def test_five_hundred_reporters_are_decided_exactly(kind: str, seed: int) -> None:
    many = crowd(kind, 500, seed)
    for find in (heaviest_independent, largest_independent):
        found = find(many)
        assert found.is_exact
        assert is_independent([r for r in many if r.publisher in found.publishers])


def test_labels_made_to_be_hard_are_cut_short_with_a_good_set_that_says_so() -> None:
    many = crowd("adversarial", 500)
    found = heaviest_independent(many)
    assert not found.is_exact
    assert found.steps <= MAX_SEARCH_STEPS
    chosen = [r for r in many if r.publisher in found.publishers]
    assert is_independent(chosen)
    assert all(any(not r.labels.isdisjoint(c.labels) for c in chosen) for r in many)
    taken: set[str] = set()
    greedy = 0.0
    for one in sorted(many, key=lambda r: -r.weight):
        if taken.isdisjoint(one.labels):
            taken |= one.labels
            greedy += one.weight
    assert found.weight >= greedy - 1e-6


def test_steps_that_run_out_at_once_still_give_a_set() -> None:
    many = crowd("bought detectors", 60)
    found = heaviest_independent(many, max_steps=0)
    assert (found.is_exact, found.steps) == (False, 0)
    assert found.publishers
    assert found.weight <= heaviest_independent(many).weight


def test_a_hard_group_does_not_starve_an_easy_one() -> None:
    easy = [
        reporter(5000, "p q", 3.0),
        reporter(5001, "q s", 3.1),
        reporter(5002, "s p2", 3.0),
        reporter(5003, "p2", 1),
    ]
    found = heaviest_independent([*crowd("adversarial", 500), *easy])
    assert not found.is_exact
    assert {5000, 5002} < set(numbers(found))


def test_a_long_chain_of_shared_labels_is_no_deep_recursion() -> None:
    chain = [reporter(n, f"l{n} l{n + 1}") for n in range(2000)]
    assert len(largest_independent(chain).publishers) >= 900


def test_labels_are_all_that_the_roster_says() -> None:
    key = bytes_of_label("key")
    entry = DetectorEntry("drain-watch", "acme", bytes_of_label("code"))
    publisher = Publisher(key, "", (), 0, 1, (Capability.PUBLISH,), RateClass.LOW, (entry,), ("rpc-a", "rpc-b"), ())
    labels = labels_of(Member("aave", "Aave DAO", key, (publisher,)), publisher)
    code = f"code {bytes_of_label('code').hex()}"
    assert labels == {"member aave", "vendor acme", code, "rpc rpc-a", "rpc rpc-b"}
