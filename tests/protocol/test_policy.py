"""The policy: a rule fires for as many organisations as it asks for, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import ATTACKER, VAULT, Feed, bytes_of_label, make_signal, make_standard
from strategies_kit import FIXED
from tocsin_protocol.admission import Reason
from tocsin_protocol.errors import PolicyError
from tocsin_protocol.freshness import actionable_until_ms
from tocsin_protocol.model import Reference, Signal, Subject
from tocsin_protocol.policy import MAX_RULES, Answer, Policy, Rule, Sighting, decide, is_about
from tocsin_protocol.taxonomy import Category, Relation, Role, Severity, SubjectKind

RULE = Rule(
    name="pause on a drain",
    categories=frozenset((Category.ASSET_DRAIN,)),
    min_severity=Severity.HIGH,
    min_confidence=70,
    subjects=frozenset((VAULT,)),
    organisations=2,
    hook="pause-vault",
)


def sighting(member: str, signal: Signal | None = None, standing: Reason = Reason.ADMITTED, node: str = "") -> Sighting:
    chosen = signal or make_signal()
    publisher = Feed(member + node).publisher
    return Sighting(bytes_of_label(member, node, chosen), publisher, member, chosen, standing)


def answer(*sightings: Sighting, **changes: Any) -> Answer:
    return decide(Policy((replace(RULE, **changes),)), sightings).answers[0].answer


def test_as_many_organisations_as_asked_for() -> None:
    assert answer(sighting("alba")) is Answer.QUORUM_SHORT
    assert answer(sighting("alba"), sighting("brook")) is Answer.MET
    assert answer(sighting("alba"), organisations=1) is Answer.MET


def test_a_member_counts_once() -> None:
    many = [sighting("alba", node=str(n)) for n in range(8)]
    assert answer(*many, *[sighting("alba", make_signal(text=f"again {n}")) for n in range(8)]) is Answer.QUORUM_SHORT


@pytest.mark.parametrize("standing", [r for r in Reason if r is not Reason.ADMITTED], ids=str)
def test_only_what_may_actuate_counts(standing: Reason) -> None:
    assert answer(sighting("alba"), sighting("brook", standing=standing)) is Answer.QUORUM_SHORT
    assert answer(sighting("alba", standing=standing), sighting("brook", standing=standing)) is Answer.NOT_ACTIONABLE


@pytest.mark.parametrize(
    "changes",
    [
        {"category": Category.ORACLE_STALE},
        {"severity": Severity.MEDIUM},
        {"confidence": 69},
        {"subjects": (Subject(Role.VICTIM, SubjectKind.ACCOUNT, ATTACKER),)},
        {"subjects": (Subject(Role.TOOL, SubjectKind.ACCOUNT, VAULT),)},
        {"subjects": (Subject(Role.RECIPIENT, SubjectKind.ACCOUNT, VAULT),)},
        {"subjects": (Subject(Role.ATTACKER, SubjectKind.ACCOUNT, VAULT),)},
        {"subjects": (Subject(Role.RELATED, SubjectKind.ACCOUNT, VAULT),)},
    ],
    ids=str,
)
def test_a_rule_is_about_its_own_kind(changes: dict[str, Any]) -> None:
    signal = make_signal(**changes)
    assert not is_about(RULE, signal)
    assert answer(sighting("alba", signal), sighting("brook", signal)) is Answer.NO_MATCH


def test_an_operator_may_ask_for_other_roles() -> None:
    signal = make_signal(subjects=(Subject(Role.TOOL, SubjectKind.ACCOUNT, VAULT),))
    assert is_about(replace(RULE, roles=frozenset((Role.TOOL,))), signal)
    assert is_about(RULE, make_signal(subjects=(Subject(Role.AT_RISK, SubjectKind.ACCOUNT, VAULT),)))


def retraction(of: Sighting) -> Signal:
    return make_standard(category=Category.META_RETRACTION, references=(Reference(Relation.RETRACTS, of.digest),))


def test_a_publisher_takes_back_its_own_word_and_nobody_elses() -> None:
    alba, brook = sighting("alba"), sighting("brook")
    assert answer(alba, brook, sighting("alba", retraction(alba))) is Answer.QUORUM_SHORT
    assert answer(alba, brook, sighting("cedar", retraction(alba))) is Answer.MET
    assert answer(alba, brook, sighting("alba", retraction(alba), Reason.STALE)) is Answer.QUORUM_SHORT


@pytest.mark.parametrize(
    "standing", [Reason.DRILL, Reason.KEY_NOT_VALID, Reason.WRONG_LANE, Reason.FROM_FUTURE], ids=str
)
def test_a_drill_or_a_key_out_of_force_takes_nothing_back(standing: Reason) -> None:
    alba, brook = sighting("alba"), sighting("brook")
    assert answer(alba, brook, sighting("alba", retraction(alba), standing)) is Answer.MET


def test_two_halves_do_not_make_a_whole() -> None:
    """Each rule counts its own: one voice for one rule and one for another is no quorum for either."""
    other = replace(RULE, name="other", categories=frozenset((Category.ORACLE_STALE,)), hook="freeze")
    stale = make_signal(category=Category.ORACLE_STALE)
    decision = decide(Policy((RULE, other)), [sighting("alba"), sighting("brook", stale)])
    assert decision.hooks == ()
    assert decision.sentence.startswith("Do not act")


def test_a_hook_is_named_once_and_in_the_operators_order() -> None:
    rules = (
        replace(RULE, name="b", hook="second"),
        replace(RULE, name="a", hook="first"),
        replace(RULE, name="c", hook="second"),
    )
    decision = decide(Policy(rules), [sighting("alba"), sighting("brook")])
    assert decision.hooks == ("second", "first")
    assert decision.sentence.startswith("Act: rule 'b'")


def test_no_rules_never_act() -> None:
    decision = decide(Policy(()), [sighting("alba"), sighting("brook")])
    assert (decision.hooks, decision.sentence) == ((), "Do not act: the policy has no rules.")


def test_no_sightings_never_act() -> None:
    assert answer() is Answer.NO_MATCH


def test_the_nearest_rule_explains_why_not() -> None:
    far = replace(RULE, name="far", subjects=frozenset((ATTACKER,)))
    assert "1 of 2 organisations (alba)" in decide(Policy((far, RULE)), [sighting("alba")]).sentence


def test_a_met_rule_says_until_when_it_stays_so() -> None:
    early, late = make_signal(), make_signal(issued_ms=make_signal().issued_ms + 60_000)
    sightings = [sighting("alba", early), sighting("alba", late, node="2"), sighting("brook", early)]
    met = decide(Policy((RULE,)), sightings).answers[0]
    assert met.until_ms == actionable_until_ms(early)
    alone = decide(Policy((replace(RULE, organisations=1),)), sightings).answers[0]
    assert alone.until_ms == actionable_until_ms(late)
    assert decide(Policy((RULE,)), sightings[:1]).answers[0].until_ms == 0


@FIXED
@given(st.permutations([sighting(m, node=n) for m in ("alba", "brook", "cedar") for n in ("", "2")]), st.integers(1, 4))
def test_order_never_matters(sightings: list[Sighting], organisations: int) -> None:
    policy = Policy((replace(RULE, organisations=organisations),))
    decision = decide(policy, sightings)
    assert bool(decision.hooks) == (organisations <= 3)
    assert decision.answers[0].members == ("alba", "brook", "cedar")


@FIXED
@given(st.lists(st.sampled_from([sighting(m) for m in ("alba", "brook", "cedar")]), max_size=5), st.integers(1, 4))
def test_one_more_voice_never_undoes_a_decision(sightings: list[Sighting], organisations: int) -> None:
    policy = Policy((replace(RULE, organisations=organisations),))
    before = decide(policy, sightings).hooks
    assert set(before) <= set(decide(policy, [*sightings, sighting("delta")]).hooks)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"organisations": 0}, "organisations"),
        ({"subjects": frozenset()}, "subjects"),
        ({"categories": frozenset()}, "categories"),
        ({"roles": frozenset()}, "roles"),
        ({"min_confidence": 101}, "min_confidence"),
        ({"min_confidence": -1}, "min_confidence"),
        ({"hook": ""}, "hook"),
    ],
)
def test_a_rule_that_could_not_be_meant_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(PolicyError, match=named):
        replace(RULE, **changes)


def test_policies_are_bounded_and_their_rules_have_names() -> None:
    with pytest.raises(PolicyError, match="same name"):
        Policy((RULE, RULE))
    with pytest.raises(PolicyError, match="at most"):
        Policy(tuple(replace(RULE, name=str(n)) for n in range(MAX_RULES + 1)))
