"""Conditions in CEL: what is refused when they are loaded, and that none of them ever fails at a decision."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tocsin_node.conditions import MAX_TRIALS, VARIABLES, Value, can_hold, holds, try_condition
from tocsin_protocol.errors import PolicyError

SITUATION: dict[str, Value] = {name: values[-1] for name, values in VARIABLES.items()}
BOTH = frozenset((True, False))


@pytest.mark.parametrize(
    ("condition", "answers"),
    [
        ("", {True}),
        ("true", {True}),
        ("belief > 0.2", BOTH),
        ("belief > 1.0", {False}),
        ("groups >= 0", {True}),
        ('category == "asset.drain"', BOTH),
        ('category == "asset-drain"', {False}),
        ('severity == "CRITICAL"', {False}),
        ('category in ["infra.outage", "price.depeg"] && stake_usd > 1000000', BOTH),
        ("own_detector || (confirmed && !contradicted)", BOTH),
        ("groups == 0 || 8 / groups > 2", BOTH),
    ],
)
def test_answers_over_what_may_be_asked(condition: str, answers: set[bool]) -> None:
    assert try_condition(condition) == answers


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("belief >", "is no CEL expression: "),
        ("(((", "is no CEL expression: "),
        ("believe > 0.2", "speaks of believe, where it may of belief, groups, "),
        ("now() > 1", "cannot be worked out"),
        ("groups", "answers 0 where groups is 0, where true or false is wanted"),
        ("8 / groups > 2", "cannot be worked out where groups is 0: division by zero"),
        ("category > 3", "cannot be worked out where category is 'asset.drain'"),
        ('groups > 4 ? "yes" : "no"', "answers 'no' where groups is 0"),
        ("groups > 4 ? 1 : true", "answers 1 where groups is "),
        ("null", "answers None, where true or false is wanted"),
    ],
)
def test_condition_that_could_fail_is_refused(condition: str, wanted: str) -> None:
    with pytest.raises(PolicyError) as caught:
        try_condition(condition)
    assert str(caught.value).startswith(wanted)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "condition",
    ["1 / groups == 1", "groups % 0 == 1", "[1][8] == 1", "belief >", "nobody", "groups", "{}[1] == 1"],
)
def test_what_cannot_be_worked_out_does_not_hold(condition: str) -> None:
    assert holds(condition, {**SITUATION, "groups": 0}) is False


def test_empty_condition_holds() -> None:
    assert holds("", {})
    assert can_hold("", category="asset.drain")


def test_condition_is_asked_of_what_it_speaks_of() -> None:
    assert holds("belief > 0.5 && groups >= 2", {**SITUATION, "belief": 0.6, "groups": 2})
    assert not holds("belief > 0.5 && groups >= 2", {**SITUATION, "belief": 0.6, "groups": 1})


def test_category_that_the_condition_leaves_out_can_never_hold() -> None:
    condition = 'category != "infra.outage" && belief > 0.9'
    assert can_hold(condition, category="asset.drain")
    assert not can_hold(condition, category="infra.outage")


def test_condition_on_everything_is_tried_with_a_part_of_it() -> None:
    everything = " && ".join(f"{name} == {name}" for name in VARIABLES)
    assert try_condition(everything) == {True}
    assert MAX_TRIALS < 10**5


_ATOMS = [
    "belief",
    "groups",
    "category",
    "own_detector",
    "stake_usd",
    "0",
    "1",
    "-1",
    '"a"',
    "[1]",
    "{}",
    "null",
    "1e308",
]
_EXPRESSIONS = st.recursive(
    st.sampled_from(_ATOMS),
    lambda inner: st.builds(
        lambda a, operator, b: f"({a} {operator} {b})",
        inner,
        st.sampled_from(["+", "-", "*", "/", "%", "==", "<", "&&", "||", "in"]),
        inner,
    ),
    max_leaves=6,
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(_EXPRESSIONS | st.text(max_size=20))
def test_any_condition_is_refused_or_answers(condition: str) -> None:
    with suppress(PolicyError):
        assert try_condition(condition) <= BOTH
    assert isinstance(holds(condition, SITUATION), bool)
