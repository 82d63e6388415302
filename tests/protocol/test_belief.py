"""Belief: the arithmetic, who counts in it, and what nobody can do to it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import NOW_MS, bytes_of_label, make_signal
from strategies_kit import FIXED, signals
from tocsin_protocol.belief.belief import MAX_LOGIT, MIN_VOICE, assess_belief
from tocsin_protocol.belief.independence import SharedLabel
from tocsin_protocol.belief.priors import MAX_HALF_LIFE_MS, half_life_ms, prior_of
from tocsin_protocol.belief.reputation import MAX_LLR, Standing, log_likelihood_ratio
from tocsin_protocol.belief.silence import MAX_HEARTBEAT_AGE_MS, silence_weight
from tocsin_protocol.belief.statements import Stance, Statement, current_word, read_statement
from tocsin_protocol.belief.terms import OWN, Answer, Belief, OwnFinding, Source, Speaker, Term, Witness
from tocsin_protocol.errors import BeliefError
from tocsin_protocol.model import Reference, Signal
from tocsin_protocol.taxonomy import Category, Relation

PRIOR = 1e-4
HALF_LIFE_MS = 600_000
LLR = log_likelihood_ratio(0.9, 0.01, math.inf)
STANDING = Standing(0.9, 0.01, LLR)


def publisher(name: str) -> bytes:
    return bytes_of_label("publisher", name)[:20]


def speaker(name: str, labels: str | None = None, standing: Standing = STANDING) -> Speaker:
    """Of its own member and labels, unless they are named, separated by spaces."""
    return Speaker(publisher(name), name, frozenset((labels or f"member-{name}").split()), standing)


def says(name: str, stance: Stance = Stance.REPORT, age_ms: int = 0, **changes: Any) -> Statement:
    digest = bytes_of_label(name, stance, str(age_ms), repr(sorted(changes.items())))
    statement = Statement(publisher(name), digest, stance, 100, NOW_MS - age_ms, NOW_MS - age_ms)
    return replace(statement, **changes)


def assess(statements: Iterable[Statement], speakers: Iterable[Speaker], **options: Any) -> Belief:
    known = {speaker.publisher: speaker for speaker in speakers}
    settings: dict[str, Any] = {"prior": PRIOR, "half_life_ms": HALF_LIFE_MS, "now_ms": NOW_MS}
    return assess_belief(statements, known, **(settings | options))


def witness(name: str) -> Witness:
    """One that should have spoken by now."""
    return Witness(publisher(name), 60_000, NOW_MS)


def term_of(belief: Belief, name: str) -> Term:
    return next(term for term in belief.terms if term.publisher == publisher(name))


SILENCE: dict[str, Any] = {"since_ms": NOW_MS - 120_000}
ABC = [speaker(name) for name in "ABC"]
REPORTS = [says(name) for name in "ABC"]
CLIPPED = [speaker(name, standing=Standing(0.9, 0.01, MAX_LLR)) for name in "ABC"]
ONE_GROUP = [speaker(str(n), "one") for n in range(10)]
X1_Y2_X2 = [speaker("A", "vendor-X rpc-1"), speaker("B", "vendor-Y rpc-2"), speaker("C", "vendor-X rpc-2")]


@pytest.mark.parametrize(
    ("statements", "speakers", "options", "probability"),
    [
        pytest.param(REPORTS[:1], ABC, {}, 0.008920606601, id="one group"),
        pytest.param(REPORTS[:2], ABC, {}, 0.447538538, id="two groups"),
        pytest.param(REPORTS, ABC, {}, 0.9864695351, id="three groups"),
        pytest.param([says(str(n)) for n in range(3)], ONE_GROUP, {}, 0.008920606601, id="three in one group"),
        pytest.param([says(str(n)) for n in range(10)], ONE_GROUP, {}, 0.008920606601, id="ten sybils"),
        pytest.param(
            REPORTS,
            [*ABC, speaker("D"), speaker("E")],
            SILENCE | {"witnesses": [witness("D"), witness("E")]},
            0.4475385379,
            id="two silent, capped at one",
        ),
        pytest.param(
            REPORTS, [*ABC, speaker("D")], SILENCE | {"witnesses": [witness("D")]}, 0.8804453096, id="one silent"
        ),
        pytest.param([says(n, age_ms=300_000) for n in "ABC"], ABC, {}, 0.5830477619, id="half a half-life old"),
        pytest.param([says(n, age_ms=1_200_000) for n in "ABC"], ABC, {}, 0.002913788495, id="two half-lives old"),
        pytest.param(REPORTS, CLIPPED, {}, 0.9259327847, id="clipped at ln 50"),
        pytest.param(
            [*REPORTS, says("D", Stance.ALL_CLEAR)], [*ABC, speaker("D")], {}, 0.447538538, id="a fourth says all clear"
        ),
        pytest.param(REPORTS, X1_Y2_X2, {}, 0.4475385379, id="a third shares a label with each of two"),
    ],
)
def test_the_arithmetic_is_that_of_the_spec(
    statements: list[Statement], speakers: list[Speaker], options: dict[str, Any], probability: float
) -> None:
    assert assess(statements, speakers, **options).probability == pytest.approx(probability, rel=1e-6)


# Many speakers, few labels: everything that can be in one another's way is.
NAMES = "ABCDEFGH"
standings = st.builds(
    lambda r, f, llr: Standing(r, f, llr), st.floats(0.01, 0.99), st.floats(0.001, 0.9), st.floats(0, MAX_LLR)
)
crowds = st.lists(
    st.tuples(st.frozensets(st.sampled_from("uvwxyz"), max_size=3), standings), min_size=len(NAMES), max_size=len(NAMES)
).map(lambda rows: [Speaker(publisher(n), n, labels, s) for n, (labels, s) in zip(NAMES, rows, strict=True)])
stances = st.sampled_from((Stance.REPORT, Stance.REPORT, Stance.REPORT, Stance.DISPUTE, Stance.ALL_CLEAR))
talk = st.lists(
    st.builds(says, st.sampled_from(NAMES), stances, st.integers(0, 2_000_000), confidence=st.integers(0, 100)),
    max_size=14,
)
own_findings = st.none() | st.builds(
    OwnFinding,
    st.frozensets(st.sampled_from("uvwxyz"), max_size=2),
    st.floats(0, 4),
    st.integers(0, 100),
    st.integers(NOW_MS - 1_000_000, NOW_MS + 1_000),
)
watch = st.lists(
    st.builds(
        Witness, st.sampled_from(NAMES).map(publisher), st.integers(0, 200_000), st.integers(NOW_MS - 90_000, NOW_MS)
    ),
    max_size=5,
    unique_by=lambda w: w.publisher,
).map(lambda witnesses: {"witnesses": witnesses, "since_ms": NOW_MS - 100_000})


@FIXED
@given(crowds, talk, own_findings, watch, st.randoms(use_true_random=False))
def test_order_and_replays_do_not_matter(
    crowd: list[Speaker],
    said: list[Statement],
    own: OwnFinding | None,
    watched: dict[str, Any],
    shuffler: random.Random,
) -> None:
    again = said + said[::2]
    shuffler.shuffle(again)
    shuffled = watched | {"witnesses": watched["witnesses"][::-1]}
    assert assess(again, crowd[::-1], own=own, **shuffled) == assess(said, crowd, own=own, **watched)


@FIXED
@given(crowds, talk, own_findings, watch, st.integers(0, 100))
def test_a_new_reporter_never_lowers_belief_nor_quorum(
    crowd: list[Speaker], said: list[Statement], own: OwnFinding | None, watched: dict[str, Any], confidence: int
) -> None:
    before = [statement for statement in said if statement.publisher != publisher("A")]
    after = [*before, says("A", confidence=confidence)]
    less, more = (assess(them, crowd, own=own, **watched) for them in (before, after))
    assert more.logit >= less.logit - 1e-9
    assert more.groups >= less.groups
    assert more.groups_beside_own >= less.groups_beside_own


@FIXED
@given(crowds, talk, own_findings)
def test_our_own_detector_and_confidence_never_lower_belief(
    crowd: list[Speaker], said: list[Statement], own: OwnFinding | None
) -> None:
    assert assess(said, crowd, own=own).logit >= assess(said, crowd).logit - 1e-9
    reports = [statement for statement in said if statement.stance is Stance.REPORT]
    sure = [replace(statement, confidence=100) for statement in reports]
    assert assess(sure, crowd, own=own).logit >= assess(reports, crowd, own=own).logit - 1e-9


@FIXED
@given(crowds, talk, st.integers(1, 30))
def test_sybils_of_one_who_reports_add_nothing(crowd: list[Speaker], said: list[Statement], count: int) -> None:
    labels = crowd[0].labels | {"member-A"}
    crowd = [replace(crowd[0], labels=labels), *crowd[1:]]
    said = [statement for statement in said if statement.publisher != publisher("A")] + [says("A")]
    sybils = [replace(crowd[0], publisher=publisher(f"sybil {n}")) for n in range(count)]
    echoes = [says(f"sybil {n}") for n in range(count)]
    honest, attacked = assess(said, crowd), assess(said + echoes, crowd + sybils)
    assert attacked.logit == honest.logit
    assert attacked.groups == honest.groups


@FIXED
@given(crowds, talk, own_findings, watch, st.floats(1e-9, 0.5), st.integers(1, MAX_HALF_LIFE_MS), st.integers(0, 2**60))
def test_belief_is_a_probability_and_its_parts_add_up(
    crowd: list[Speaker],
    said: list[Statement],
    own: OwnFinding | None,
    watched: dict[str, Any],
    prior: float,
    half_life: int,
    now_ms: int,
) -> None:
    belief = assess(said, crowd, own=own, prior=prior, half_life_ms=half_life, now_ms=now_ms, **watched)
    assert 0 < belief.probability < 1
    parts = belief.prior_logit + belief.support + belief.own - belief.opposition - belief.silence
    assert belief.logit == pytest.approx(parts, abs=1e-8)
    counted = [term for term in belief.terms if term.answer is Answer.COUNTED]
    assert sum(t.weight for t in counted if t.source is Source.REPORT) == pytest.approx(belief.support, abs=1e-8)
    assert all(math.isfinite(term.weight) and 0 <= term.weight <= term.llr + 1e-9 for term in belief.terms)
    assert {term.publisher for term in belief.terms if term.source is not Source.OWN} <= {s.publisher for s in crowd}


@FIXED
@given(crowds, talk, own_findings)
def test_a_caller_may_keep_only_the_current_words(
    crowd: list[Speaker], said: list[Statement], own: OwnFinding | None
) -> None:
    words = (current_word([s for s in said if s.publisher == publisher(name)], HALF_LIFE_MS) for name in NAMES)
    assert assess([word for word in words if word], crowd, own=own) == assess(said, crowd, own=own)


def test_certainty_is_never_reached() -> None:
    crowd = [speaker(str(n)) for n in range(40)]
    sure = assess([says(str(n)) for n in range(40)], crowd)
    assert sure.logit > MAX_LOGIT
    assert sure.probability == pytest.approx(1 / (1 + math.exp(-MAX_LOGIT)))
    assert 0 < assess([says(str(n), Stance.DISPUTE) for n in range(40)], crowd).probability < 1e-12


def test_nobody_leaves_the_prior() -> None:
    belief = assess([], [])
    assert (belief.probability, belief.groups, belief.terms) == (pytest.approx(PRIOR), 0, ())


def test_strangers_and_the_unknown_weigh_nothing_and_are_no_group() -> None:
    stranger = speaker("A", standing=replace(STANDING, llr=0.0))
    belief = assess(REPORTS[:2], [stranger])
    assert belief.probability == pytest.approx(PRIOR)
    assert belief.groups == 0
    assert [term.answer for term in belief.terms] == [Answer.WORTHLESS] * 2


def test_a_faint_word_weighs_but_is_no_voice_in_the_quorum() -> None:
    faint = says("A", confidence=math.ceil(100 * MIN_VOICE / LLR) - 1)
    belief = assess([faint, says("B", confidence=math.ceil(100 * MIN_VOICE / LLR))], ABC)
    assert term_of(belief, "A").answer is Answer.COUNTED
    assert belief.quorum == (publisher("B"),)


def test_the_quorum_may_be_larger_than_the_heaviest_set() -> None:
    strong = Standing(0.9, 0.01, 3.9)
    weak = Standing(0.9, 0.01, 1.0)
    crowd = [speaker("A", "x y", strong), speaker("B", "x", weak), speaker("C", "y", weak)]
    belief = assess(REPORTS, crowd)
    assert belief.support == 3.9
    assert set(belief.quorum) == {publisher("B"), publisher("C")}


def test_each_term_says_why_it_does_not_count() -> None:
    belief = assess(REPORTS, X1_Y2_X2)
    left_out = term_of(belief, "C")
    assert left_out.answer is Answer.SHARES_LABEL
    assert left_out.shared in (SharedLabel("vendor-X", publisher("A")), SharedLabel("rpc-2", publisher("B")))
    assert (left_out.member, left_out.confidence, left_out.decay, left_out.llr) == ("C", 1.0, 1.0, LLR)


def test_our_own_detector_is_a_term_and_no_group() -> None:
    own = OwnFinding(frozenset({"member-us"}), 3.0, 50, NOW_MS - HALF_LIFE_MS)
    belief = assess(REPORTS[:1], ABC, own=own)
    assert belief.own == 0.75
    assert (belief.groups, belief.groups_beside_own) == (1, 1)
    assert [term.publisher for term in belief.terms] == [OWN, publisher("A")]


def test_one_vendors_misfire_at_ours_and_at_another_counts_once() -> None:
    own = OwnFinding(frozenset({"member-us", "vendor-X"}), LLR, 100, NOW_MS)
    belief = assess(REPORTS[:2], X1_Y2_X2, own=own)
    alone = assess(REPORTS[1:2], X1_Y2_X2, own=own)
    assert belief.logit == alone.logit
    assert term_of(belief, "A").shared == SharedLabel("vendor-X", OWN)
    assert (belief.groups, belief.groups_beside_own) == (2, 1)


@pytest.mark.parametrize("changes", [{"llr": math.nan}, {"llr": -1.0}, {"confidence": 101}])
def test_an_own_finding_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BeliefError, match="own finding"):
        replace(OwnFinding(frozenset(), 1.0, 50, NOW_MS), **changes)


@pytest.mark.parametrize(
    "options",
    [{"prior": 0.0}, {"prior": 0.6}, {"prior": math.nan}, {"half_life_ms": 0}, {"half_life_ms": MAX_HALF_LIFE_MS + 1}],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BeliefError, match=next(iter(options)).split("_")[0]):
        assess(REPORTS, ABC, **options)


@pytest.mark.parametrize(
    "changes", [{"confidence": -1}, {"confidence": 101}, {"issued_ms": -1}, {"received_ms": 2**53}]
)
def test_a_statement_out_of_range_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(BeliefError, match="statement"):
        says("A", **changes)


def test_a_publisher_counts_once_by_its_strongest_word_now() -> None:
    many = [says("A", age_ms=n, confidence=50) for n in range(1000)]
    assert assess(many, ABC).logit == assess([says("A", confidence=50)], ABC).logit
    old_and_sure = says("A", age_ms=HALF_LIFE_MS, confidence=100)
    for new, stronger in ((says("A", confidence=49), 0.5), (says("A", confidence=51), 0.51)):
        term = term_of(assess([old_and_sure, new], ABC), "A")
        assert term.weight == pytest.approx(LLR * stronger)


def test_an_update_takes_the_place_of_what_it_updates() -> None:
    first = says("A", age_ms=10)
    for stance in (Stance.REPORT, Stance.UPDATE):
        update = says("A", stance, confidence=10, replaces=(first.digest,))
        assert assess([first, update], ABC).support == pytest.approx(LLR * 0.1)


def test_an_update_keeps_the_side_of_a_chain_of_updates() -> None:
    dispute = says("A", Stance.DISPUTE, 30)
    second = says("A", Stance.UPDATE, 20, replaces=(dispute.digest,), confidence=90)
    third = says("A", Stance.UPDATE, 10, replaces=(second.digest,), confidence=80)
    belief = assess([third, dispute, second], ABC)
    assert (belief.support, belief.opposition) == (0, pytest.approx(LLR * 0.8, rel=1e-4))
    assert current_word([says("A", Stance.UPDATE, replaces=(b"?",))], HALF_LIFE_MS) is None


def test_nobody_replaces_the_words_of_another() -> None:
    report = says("A", age_ms=10)
    for stance in (Stance.UPDATE, Stance.RETRACTION, Stance.REPORT):
        foreign = says("B", stance, replaces=(report.digest,), confidence=1)
        assert term_of(assess([report, foreign], ABC), "A").answer is Answer.COUNTED


def test_a_retraction_leaves_nothing_and_speaks_for_no_side() -> None:
    report = says("A", age_ms=10)
    belief = assess([report, says("A", Stance.RETRACTION, replaces=(report.digest,))], ABC)
    assert (belief.terms, belief.probability) == ((), pytest.approx(PRIOR))


def test_a_publisher_is_on_the_side_it_took_last() -> None:
    report, dispute = says("A", age_ms=10), says("A", Stance.DISPUTE, 5)
    assert assess([report, dispute], ABC).opposition == pytest.approx(LLR, rel=1e-4)
    assert assess([report, dispute, says("A")], ABC).support == pytest.approx(LLR, rel=1e-4)
    at_once = assess([says("A"), says("A", Stance.ALL_CLEAR)], ABC)
    assert (at_once.support, at_once.opposition) == (0, pytest.approx(LLR))


def test_disputes_count_by_their_own_independent_set() -> None:
    crowd = [*ABC, *ONE_GROUP]
    disputes = [says(str(n), Stance.DISPUTE) for n in range(10)]
    assert assess(REPORTS + disputes, crowd).probability == pytest.approx(0.447538538, rel=1e-6)


def test_a_post_dated_word_fades_from_its_arrival() -> None:
    dated = says("A", issued_ms=NOW_MS + 10 * HALF_LIFE_MS, received_ms=NOW_MS - HALF_LIFE_MS)
    assert assess([dated], ABC).support == pytest.approx(LLR / 2)


def test_a_clock_that_stepped_back_makes_nothing_stronger_than_fresh() -> None:
    assert assess([says("A", age_ms=-5_000)], ABC).support == pytest.approx(LLR)


def test_silence_waits_for_the_delay_and_needs_a_heartbeat() -> None:
    crowd = [*ABC, speaker("D")]
    ripe = witness("D")
    for who, answer in (
        (replace(ripe, delay_ms=120_000), Answer.NOT_DUE),
        (replace(ripe, delay_ms=119_999), Answer.COUNTED),
        (replace(ripe, heartbeat_ms=NOW_MS - MAX_HEARTBEAT_AGE_MS - 1), Answer.NO_HEARTBEAT),
        (replace(ripe, heartbeat_ms=NOW_MS - MAX_HEARTBEAT_AGE_MS), Answer.COUNTED),
    ):
        belief = assess(REPORTS, crowd, witnesses=[who], **SILENCE)
        assert term_of(belief, "D").answer is answer
        assert (belief.silence > 0) is (answer is Answer.COUNTED)


def test_silence_is_asked_of_nobody_before_the_first_report_and_of_no_unknown() -> None:
    crowd = [*ABC, speaker("D")]
    assert assess(REPORTS, crowd, witnesses=[witness("D")]).silence == 0
    assert assess(REPORTS, ABC, witnesses=[witness("D")], **SILENCE).silence == 0


def test_who_spoke_or_shares_a_label_with_who_spoke_is_not_silent() -> None:
    crowd = [*ABC, speaker("D", "member-D member-A")]
    belief = assess(REPORTS, crowd, witnesses=[witness("A"), witness("D")], **SILENCE)
    assert belief.silence == 0
    assert term_of(belief, "D").shared == SharedLabel("member-A", publisher("A"))
    assert term_of(belief, "A").source is Source.REPORT


def test_many_silent_of_one_label_weigh_as_one_and_all_as_the_strongest() -> None:
    crowd = [*ABC, *ONE_GROUP, speaker("D"), speaker("E")]
    one = [witness(str(n)) for n in range(10)]
    assert assess(REPORTS, crowd, witnesses=one, **SILENCE).silence == pytest.approx(silence_weight(STANDING))
    everyone = [*one, witness("D"), witness("E")]
    assert assess(REPORTS, crowd, witnesses=everyone, **SILENCE).silence == pytest.approx(LLR)


def test_the_silence_of_a_stranger_or_of_who_is_pinned_without_a_record_weighs_nothing() -> None:
    assert silence_weight(Standing(0.9, 0.01, 0.0)) == 0
    assert silence_weight(Standing(0.05, 0.077, 3.9)) == 0
    assert silence_weight(Standing(0.99, 0.01, 2.0)) == 2


def read(signal: Signal) -> Statement | None:
    return read_statement(signal, publisher("A"), bytes_of_label("digest"), NOW_MS)


def test_signals_are_read_by_category_and_relation() -> None:
    disputes = (Reference(Relation.DISPUTES, b"d" * 32),)
    for signal, stance in (
        (make_signal(), Stance.REPORT),
        (make_signal(references=disputes), Stance.DISPUTE),
        (make_signal(category=Category.META_ALL_CLEAR), Stance.ALL_CLEAR),
        (make_signal(category=Category.META_ALL_CLEAR, references=disputes), Stance.ALL_CLEAR),
        (make_signal(category=Category.META_UPDATE), Stance.UPDATE),
        (make_signal(category=Category.META_RETRACTION), Stance.RETRACTION),
    ):
        statement = read(signal)
        assert statement is not None
        assert statement.stance is stance


def test_a_drill_says_nothing() -> None:
    assert read(make_signal(drill=True)) is None
    assert read(make_signal(category=Category.META_DRILL)) is None


def test_only_updates_and_retractions_replace() -> None:
    references = tuple(Reference(relation, bytes_of_label(relation)) for relation in Relation)
    statement = read(make_signal(references=references))
    assert statement is not None
    assert set(statement.replaces) == {bytes_of_label(Relation.UPDATES), bytes_of_label(Relation.RETRACTS)}


@FIXED
@given(signals())
def test_every_signal_can_be_read(signal: Signal) -> None:
    statement = read(signal)
    assert (statement is None) is (signal.drill or signal.category is Category.META_DRILL)


def flood(count: int) -> Sequence[Statement]:
    draw = random.Random(1)
    stances = (Stance.REPORT, Stance.REPORT, Stance.DISPUTE, Stance.UPDATE)
    said: list[Statement] = []
    for n in range(count):
        before = tuple(s.digest for s in said[-3:])
        name = draw.choice(NAMES)
        said.append(says(name, draw.choice(stances), count - n, confidence=draw.randrange(101), replaces=before))
    return said


def test_ten_thousand_signals_on_one_incident_come_down_to_one_word_each() -> None:
    crowd = [speaker(name) for name in NAMES]
    belief = assess(flood(10_000), crowd)
    assert len(belief.terms) <= len(NAMES)
    assert {term.source for term in belief.terms} <= {Source.REPORT, Source.DISPUTE}


def test_priors_and_half_lives_may_be_overridden_within_bounds() -> None:
    drain = Category.ASSET_DRAIN
    assert prior_of(drain, {drain: 0.01}) == 0.01
    assert prior_of(drain, {Category.PRICE_DEPEG: 0.01}) == prior_of(drain) == PRIOR
    assert half_life_ms(drain, {drain: 5}) == 5
    assert half_life_ms(drain) == HALF_LIFE_MS
    for prior in (0, 1, math.nan):
        with pytest.raises(BeliefError, match="prior"):
            prior_of(drain, {drain: prior})
    with pytest.raises(BeliefError, match="half-life"):
        half_life_ms(drain, {drain: 0})
