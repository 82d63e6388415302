"""One incident from what was said of it to what is done about it: who counts, what it costs, and what changes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_kit import ASSET, NOW_MS, VAULT, bytes_of_label, make_signal, make_standard
from tocsin_protocol.admission import Reason
from tocsin_protocol.belief.reputation import Basis, Pin, Standing
from tocsin_protocol.belief.terms import Speaker
from tocsin_protocol.decision.decide import LeverState, Verdict
from tocsin_protocol.decision.judge import Judgement, Sighting, World, category_of, explain_judgement, weigh_incident
from tocsin_protocol.decision.levers import Lever
from tocsin_protocol.decision.policy import LossLimit, Policy
from tocsin_protocol.decision.sentence import NOTHING_OF_OURS, NOTHING_STANDS
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.evidence.answers import Answer, Checked
from tocsin_protocol.evidence.predicates import TxIncluded
from tocsin_protocol.evidence.weighing import Exhibit
from tocsin_protocol.exposure.graph_building import build_graph
from tocsin_protocol.exposure.manifest import Amount, AmountSource, Holding, HoldingKind, Manifest, SubjectId
from tocsin_protocol.exposure.spread import prepare_spread
from tocsin_protocol.model import Reference, Subject
from tocsin_protocol.taxonomy import Category, Relation, Role, SubjectKind

USD = 1_000_000
ARMED = LeverState(is_armed=True)
OWN = b"\xee" * 20
BROOK, CEDAR, DELTA, NOBODY = (bytes([n]) * 20 for n in range(1, 5))
ELSEWHERE = "eip155:1:0x" + "6b" * 20
CLAIM = TxIncluded("eip155:1", 7, "0x" + "c3" * 32, "", VAULT)
MANIFEST = Manifest(
    "ours",
    (
        Holding(
            "vault",
            HoldingKind.MARKET,
            (SubjectId(SubjectKind.ACCOUNT, VAULT),),
            Amount(8_000_000 * USD, NOW_MS, AmountSource.CHAIN),
        ),
    ),
    (),
    (),
)
FREEZE = Lever("freeze", Tier.FREEZE, frozenset({"vault"}), 90, 20_000 * USD, 60, 0, 2, 60)


def speaker(publisher: bytes, member: str, *labels: str, llr: float = 3.9) -> Speaker:
    standing = Standing(0.9, 0.01, llr, Basis.PINNED if llr else Basis.STRANGER)
    return Speaker(publisher, member, frozenset({f"member {member}", *labels}), standing)


def make_world(*speakers: Speaker, **changes: Any) -> World:
    known = speakers or (speaker(BROOK, "brook"), speaker(CEDAR, "cedar"), speaker(DELTA, "delta"))
    world = World(
        policy=Policy(levers=(FREEZE,)),
        own=frozenset({OWN}),
        own_labels=frozenset({"vendor ours"}),
        members=4,
        exposure=prepare_spread(build_graph(MANIFEST)),
        speakers_of=lambda category: {s.publisher: s for s in known},
        witnesses_of=lambda category: (),
        holds=lambda values: True,
    )
    return replace(world, **changes)


def sighting(publisher: bytes, number: int = 0, *, standing: Reason = Reason.ADMITTED, **changes: Any) -> Sighting:
    signal = make_signal(**changes)
    return Sighting(bytes_of_label(f"{publisher.hex()} {number}"), publisher, signal, standing, NOW_MS)


def exhibit(seen: Sighting, answer: Answer = Answer.CONFIRMED, member: str = "") -> Exhibit:
    return Exhibit(seen.digest, member or seen.publisher.hex(), (Checked(CLAIM, answer, None, False, ()),))


def judge(
    *sightings: Sighting,
    world: World | None = None,
    exhibits: tuple[Exhibit, ...] = (),
    now_ms: int = NOW_MS,
    state: LeverState = ARMED,
) -> Judgement:
    world, states = world or make_world(), {"freeze": state}
    weighed = weigh_incident(world, b"incident", sightings, exhibits, states, (), now_ms)
    return explain_judgement(world, weighed, states, (), now_ms)


def fires(judgement: Judgement) -> bool:
    return [choice.verdict for choice in judgement.decision.choices] == [Verdict.FIRES]


TWO = (sighting(BROOK), sighting(CEDAR))
PROVEN = (exhibit(TWO[0]),)


def test_two_groups_with_evidence_freeze_and_the_sentence_says_so() -> None:
    judgement = judge(*TWO, exhibits=PROVEN)
    assert fires(judgement)
    assert judgement.sentence.startswith("Freeze with freeze for 60 min: expected to cost ")
    assert "by 2 other members, evidence confirmed on our own endpoints" in judgement.sentence
    assert [stake.loss_micro_usd for stake in judgement.situation.stakes] == [8_000_000 * USD]


def test_while_a_lever_is_in_effect_nothing_more_is_done() -> None:
    judgement = judge(*TWO, exhibits=PROVEN, state=LeverState(is_armed=True, is_in_effect=True))
    assert judgement.sentence.startswith("No further action: freeze is in effect. Belief ")


def test_without_evidence_or_with_one_group_nothing_is_frozen() -> None:
    assert not fires(judge(*TWO))
    assert "lacks evidence confirmed on our own endpoints" in judge(*TWO).sentence
    alone = judge(TWO[0], exhibits=PROVEN)
    assert not fires(alone)
    assert "Freeze still lacks one more independent group." in alone.sentence


def test_our_own_detector_and_one_group_freeze_unless_they_share_a_label() -> None:
    seen = (sighting(OWN), sighting(BROOK))
    assert fires(judge(*seen, exhibits=(exhibit(seen[1]),)))
    same = make_world(speaker(BROOK, "brook", "vendor ours"))
    assert not fires(judge(*seen, world=same, exhibits=(exhibit(seen[1]),)))


def test_contradicted_evidence_takes_the_liars_voice_and_nobody_elses() -> None:
    liar = sighting(DELTA)
    judgement = judge(*TWO, liar, exhibits=(*PROVEN, exhibit(liar, Answer.CONTRADICTED)))
    assert fires(judgement)
    assert judgement.reports == {seen.digest for seen in TWO}
    vetoed = judge(*TWO, liar, exhibits=(exhibit(liar, Answer.CONTRADICTED),))
    assert [choice.verdict for choice in vetoed.decision.choices] != [Verdict.FIRES]
    assert vetoed.situation.is_contradicted


def test_a_stranger_neither_counts_nor_says_what_is_at_stake() -> None:
    world = make_world(speaker(BROOK, "brook"), speaker(NOBODY, "stranger", llr=0.0))
    judgement = judge(sighting(NOBODY), world=world)
    assert judgement.situation.reporters == ()
    assert judgement.situation.stakes == ()
    assert not fires(judge(TWO[0], sighting(NOBODY), world=world, exhibits=PROVEN))


@pytest.mark.parametrize("standing", [Reason.DRILL, Reason.EXPIRED, Reason.STALE, Reason.KEY_REVOKED])
def test_what_may_not_act_does_not_count(standing: Reason) -> None:
    judgement = judge(*(replace(seen, standing=standing) for seen in TWO), exhibits=PROVEN)
    assert not fires(judgement)
    assert judgement.sentence == NOTHING_STANDS


def test_a_report_about_something_else_does_not_count() -> None:
    other = {"subjects": (Subject(Role.VICTIM, SubjectKind.ACCOUNT, ELSEWHERE),)}
    assert judge(sighting(BROOK, **other)).sentence == NOTHING_OF_OURS
    assert not fires(judge(TWO[0], sighting(CEDAR, **other), exhibits=PROVEN))


def test_to_be_named_as_tool_is_no_threat() -> None:
    tool = {
        "subjects": tuple(
            sorted(
                (
                    Subject(Role.TOOL, SubjectKind.ACCOUNT, VAULT),
                    Subject(Role.VICTIM, SubjectKind.ASSET, ASSET),
                )
            )
        )
    }
    assert not fires(judge(sighting(BROOK, **tool), sighting(CEDAR, **tool), exhibits=PROVEN))


@pytest.mark.parametrize("standing", [Reason.ADMITTED, Reason.EXPIRED])
def test_what_its_publisher_took_back_counts_no_more(standing: Reason) -> None:
    back = Sighting(
        b"back",
        BROOK,
        make_standard(category=Category.META_RETRACTION, references=(Reference(Relation.RETRACTS, TWO[0].digest),)),
        standing,
        NOW_MS,
    )
    judgement = judge(*TWO, back, exhibits=PROVEN)
    assert not fires(judgement)
    assert judgement.reports == {TWO[1].digest}
    foreign = replace(back, publisher=DELTA)
    assert fires(judge(*TWO, foreign, exhibits=PROVEN))


def test_our_own_measured_outflow_freezes_its_scope_where_the_operator_opted_in() -> None:
    own = sighting(OWN)
    limit = LossLimit("vault", 5_000_000 * USD, 0, 0, opens_freeze=True)
    world = make_world(policy=Policy(levers=(FREEZE,), limits=(limit,)))
    assert fires(judge(own, world=world, exhibits=(exhibit(own),)))
    unconfirmed = judge(own, world=world)
    assert not fires(unconfirmed)
    assert "Freeze still lacks evidence confirmed on our own endpoints." in unconfirmed.sentence
    closed = make_world(policy=Policy(levers=(FREEZE,), limits=(replace(limit, opens_freeze=False),)))
    assert not fires(judge(own, world=closed, exhibits=(exhibit(own),)))
    below = make_world(policy=Policy(levers=(FREEZE,), limits=(replace(limit, mal_micro_usd=9_000_000 * USD),)))
    assert not fires(judge(own, world=below, exhibits=(exhibit(own),)))


def test_a_condition_that_does_not_hold_stops_all_but_notices() -> None:
    asked: list[dict[str, Any]] = []
    world = make_world(holds=lambda values: bool(asked.append(dict(values))))
    judgement = judge(*TWO, world=world, exhibits=PROVEN)
    assert [choice.verdict for choice in judgement.decision.choices] == [Verdict.CONDITION_NOT_MET]
    assert asked[0]["category"] == "asset.drain"
    assert (asked[0]["groups"], asked[0]["confirmed"], asked[0]["stake_usd"]) == (2, True, 8_000_000)


def test_a_pin_that_weighs_makes_a_group_count() -> None:
    world = make_world(policy=Policy(levers=(replace(FREEZE, tier=Tier.TIGHTEN),), pins={"brook": Pin(2.0, 3.9)}))
    assert fires(judge(TWO[0], world=world))
    assert not fires(judge(TWO[1], world=world))


def test_an_incident_is_of_the_category_most_publishers_report() -> None:
    stale = {"category": Category.ORACLE_STALE}
    assert category_of([sighting(BROOK, **stale), *TWO]) is Category.ASSET_DRAIN
    assert category_of([sighting(BROOK, n, **stale) for n in range(5)] + [*TWO]) is Category.ASSET_DRAIN
    # of as many the one that is least likely by itself: nobody raises the odds by calling it an outage
    assert category_of([sighting(DELTA, **stale), TWO[0]]) is Category.ASSET_DRAIN


@given(st.permutations(range(5)), st.integers(0, 600_000))
@settings(deadline=None, max_examples=40)
def test_the_order_of_what_was_said_changes_nothing(order: list[int], later_ms: int) -> None:
    seen = [*TWO, sighting(DELTA, confidence=40), sighting(OWN), sighting(BROOK, 1, confidence=60)]
    one = judge(*seen, exhibits=PROVEN, now_ms=NOW_MS + later_ms)
    assert judge(*(seen[n] for n in order), exhibits=PROVEN, now_ms=NOW_MS + later_ms) == one


def test_ten_thousand_signals_of_one_publisher_are_one_voice() -> None:
    flood = [sighting(BROOK, n) for n in range(10_000)]
    judgement = judge(*flood, exhibits=(exhibit(flood[0]),))
    assert not fires(judgement)
    assert judgement.belief.groups == 1
