from __future__ import annotations

from dataclasses import replace

import pytest
from evidence_kit import (
    ASSET,
    BLOCK,
    CHAIN,
    CLAIMS,
    COIN,
    FEED,
    HASH,
    ORACLE,
    PREDICATES,
    SELECTOR,
    TOKEN,
    TX,
    VICTIM,
    account,
    address,
    checked,
    claim,
    exhibit,
    predicates,
    said,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_kit import make_signal
from strategies_kit import FIXED
from test_specs import page, table
from tocsin_protocol.body import decode_body, encode_body
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.evidence.answers import MIN_ENDPOINTS, SETTLED_DEPTH, Answer, Doubt, WitnessAnswer, combine
from tocsin_protocol.evidence.grammar import decode_predicate, encode_predicate
from tocsin_protocol.evidence.predicates import (
    MAX_CALLDATA_BYTES,
    MAX_RETURN_BYTES,
    MAX_SPAN_BLOCKS,
    TRANSFER_TOPIC,
    BalanceDelta,
    CallResult,
    CodeHash,
    Comparison,
    Execution,
    Log,
    LogEmitted,
    Predicate,
    PriceGap,
    Read,
    TxIncluded,
    topic_of,
)
from tocsin_protocol.evidence.relevance import (
    ANY_ROLE,
    LOCAL_EVIDENCE,
    MAX_CHECKED_CLAIMS,
    Vantage,
    is_qualifying,
    predicates_of,
    qualifying_predicates,
    shown_by,
    sources_of,
)
from tocsin_protocol.evidence.weighing import Exhibit, weigh_evidence
from tocsin_protocol.model import Evidence, Subject
from tocsin_protocol.signing import keccak256
from tocsin_protocol.taxonomy import Category, EvidenceKind, Role, SubjectKind

YES, NO, DUNNO = Answer.CONFIRMED, Answer.CONTRADICTED, Answer.UNKNOWN
QUICK = settings(FIXED, max_examples=80)
OTHER = account("b")
VICTIM_SUBJECT = Subject(Role.VICTIM, SubjectKind.ACCOUNT, VICTIM)
TRUSTING = Vantage(own=frozenset(), trusted=frozenset((ASSET, ORACLE, FEED)))
EMPTY_CALL = PREDICATES["call"]
WORD = (7).to_bytes(32)


# The grammar


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_claim_is_its_predicate_and_back(kind: str) -> None:
    assert decode_predicate(claim(kind)) == PREDICATES[kind]
    assert encode_predicate(PREDICATES[kind]) == claim(kind)


@pytest.mark.parametrize(
    ("detail", "asset", "named"),
    [("", "", ""), (ASSET, ASSET, ""), (VICTIM, "", VICTIM), (f"{ASSET} {VICTIM}", ASSET, VICTIM)],
)
def test_a_transaction_names_an_asset_an_account_both_or_none(detail: str, asset: str, named: str) -> None:
    assert decode_predicate(claim("transaction", detail=detail)) == TxIncluded(CHAIN, BLOCK, TX, asset, named)


UPPER = "0x" + "A" * 40
LONG_CALL = "0x" + "ab" * (MAX_CALLDATA_BYTES + 1)


@pytest.mark.parametrize(
    ("kind", "reference", "detail", "message"),
    [
        ("transaction", TX[:-1], None, "lower-case hex digits"),
        ("transaction", TX.upper(), None, "lower-case hex digits"),
        ("transaction", None, "first drain", "not a CAIP-10 account"),
        ("transaction", None, f"{VICTIM} {ASSET}", "not an asset, an account, or an asset and an account"),
        ("transaction", None, f"{ASSET}  {VICTIM}", "not text of 1"),
        ("transaction", None, f"{ASSET} ", "not text of 1"),
        ("transaction", None, COIN, "not of erc20"),
        ("transaction", None, f"{CHAIN}/erc721:{address('c')}", "not of erc20"),
        ("transaction", None, f"{ASSET}/1", "not of erc20"),
        ("transaction", None, ASSET.replace("eip155:1", "eip155:10"), "is not on eip155:1"),
        ("transaction", None, VICTIM.replace("eip155:1", "eip155:10"), "is not on eip155:1"),
        ("log", TX, None, "1 words where 2 are wanted"),
        ("log", f"{address('c')} *", None, "topic"),
        ("log", f"{UPPER} {TX}", None, "lower-case hex digits"),
        ("log", f"{VICTIM} {TX}", None, "evidence address"),
        ("log", None, "*", "ends with"),
        ("log", None, f"{TX} *", "ends with"),
        ("log", None, f"* * * {TX}", "4 topics"),
        ("log", None, f"* {TX} ", "topic"),
        ("call", f"{address('c')} 0x18160d", None, "4 to 68 bytes"),
        ("call", f"{address('c')} 0x18160dDD", None, "lower-case hex"),
        ("call", f"{address('c')} 0x18160ddd1", None, "lower-case hex"),
        ("call", f"{address('c')} {LONG_CALL}", None, "4 to 68 bytes"),
        ("call", None, "0 gt 1", "not one of eq, ge, le"),
        ("call", None, "16 ge 1", "evidence word"),
        ("call", None, "0 ge 01", "evidence value"),
        ("call", None, "0 ge -1", "evidence value"),
        ("call", None, "0 ge 1.5", "evidence value"),
        ("call", None, "0 ge nan", "evidence value"),
        ("call", None, "0 ge ٣", "evidence value"),
        ("call", None, f"0 ge {2**256}", "evidence value"),
        ("call", None, "0 ge", "2 words where 3 are wanted"),
        ("balance", None, f"{ASSET} {BLOCK} 2 1", "blocks before the block"),
        ("balance", None, f"{ASSET} {BLOCK + 1} 2 1", "earlier block"),
        ("balance", None, f"{ASSET} {BLOCK - MAX_SPAN_BLOCKS - 1} 2 1", "blocks before the block"),
        ("balance", None, f"{ASSET} {BLOCK - 1} 2 2", "no change"),
        ("balance", None, f"{CHAIN}/slip44:060 {BLOCK - 1} 2 1", "coin type"),
        ("balance", None, f"{CHAIN}/slip44:{address('c')} {BLOCK - 1} 2 1", "coin type"),
        ("balance", None, f"{CHAIN}/erc721:{address('c')} {BLOCK - 1} 2 1", "not of erc20 or slip44"),
        ("balance", "victim", None, "lower-case hex digits"),
        ("code", None, "", "not text of 1"),
        ("code", None, "0x", "lower-case hex digits"),
        ("code", VICTIM, None, "evidence address"),
        ("price", f"{address('e')} {SELECTOR} 0 37", None, "evidence decimals"),
        ("price", f"{address('e')} {SELECTOR} 0", None, "3 words where 4 are wanted"),
        ("price", None, f"{address('f')} {SELECTOR} 1 18 0", "evidence gap"),
        ("price", None, f"{address('f')} {SELECTOR} 1 18 1000001", "evidence gap"),
        ("price", None, f"{address('e')} {SELECTOR} 0 18 500", "with itself"),
        ("price", "https://prices.example/eth", None, "1 words where 4 are wanted"),
    ],
)
def test_another_spelling_is_refused(kind: str, reference: str | None, detail: str | None, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_predicate(claim(kind, reference, detail))


@pytest.mark.parametrize(
    "chain", ["solana:mainnet", "bip122:000000000019d6689c085ae165831e93", "eip155:01", "eip155", ""]
)
def test_a_claim_about_another_kind_of_chain_is_refused(chain: str) -> None:
    with pytest.raises(DecodeError, match="evidence chain"):
        decode_predicate(claim("code", chain=chain))


def test_the_longest_price_fits_its_fields() -> None:
    long = "0x" + "ab" * MAX_CALLDATA_BYTES
    decode_predicate(claim("price", f"{address('e')} {long} 15 36", f"{address('f')} {long} 15 36 1000000"))


def test_every_claim_fits_a_signal() -> None:
    evidence = tuple(claim(kind) for kind in CLAIMS)
    assert decode_body(encode_body(make_signal(evidence=evidence))).evidence == evidence


@QUICK
@given(predicates)
def test_what_can_be_claimed_has_one_spelling(predicate: Predicate) -> None:
    evidence = encode_predicate(predicate)
    assert decode_predicate(evidence) == predicate
    assert encode_predicate(decode_predicate(evidence)) == evidence


words = st.sampled_from(
    [
        TX,
        HASH,
        ASSET,
        VICTIM,
        COIN,
        address("a"),
        SELECTOR,
        "*",
        "",
        "0",
        "00",
        "18",
        str(BLOCK - 1),
        "ge",
        "eq",
        "10000",
    ]
)
texts = st.one_of(st.text(max_size=40), st.lists(words, max_size=6).map(" ".join))


@settings(FIXED, max_examples=300)
@given(st.builds(Evidence, st.sampled_from(EvidenceKind), st.just(CHAIN), st.just(BLOCK), texts, texts))
def test_garbage_raises_only_our_own_error_and_what_passes_is_canonical(evidence: Evidence) -> None:
    try:
        predicate = decode_predicate(evidence)
    except DecodeError:
        return
    assert encode_predicate(predicate) == evidence


@pytest.mark.parametrize(
    "predicate",
    [
        replace(PREDICATES["code"], account=account("B")),
        replace(PREDICATES["balance"], since_block=BLOCK),
        replace(PREDICATES["log"], topics=(TRANSFER_TOPIC, None)),
        replace(PREDICATES["transaction"], asset=COIN),
        replace(PREDICATES["call"], value=-1),
        replace(PREDICATES["call"], read=Read(TOKEN, b"", 0)),
    ],
)
def test_what_no_claim_can_say_is_not_written(predicate: Predicate) -> None:
    with pytest.raises(DecodeError):
        encode_predicate(predicate)


# When a predicate holds

TRANSFER = Log(address("c"), (TRANSFER_TOPIC, topic_of(VICTIM), topic_of(OTHER)))
BACK = Log(address("c"), (TRANSFER_TOPIC, topic_of(OTHER), topic_of(VICTIM)))
NFT = Log(address("c"), (*TRANSFER.topics, HASH))
NOISE = Log(address("a"), ())


def ran(*logs: Log, is_success: bool = True, parties: tuple[str, ...] = ("b",)) -> Execution:
    return Execution(is_success, frozenset(address(digit) for digit in parties), logs)


@pytest.mark.parametrize(
    ("asset", "named", "execution", "holds"),
    [
        ("", "", ran(), True),
        ("", "", ran(is_success=False), False),
        ("", "", None, False),
        (ASSET, "", ran(BACK), True),
        (ASSET, "", ran(NOISE, parties=("c",)), False),
        ("", VICTIM, ran(NOISE), True),
        ("", VICTIM, ran(parties=("a",)), True),
        ("", VICTIM, ran(TRANSFER), False),
        (ASSET, VICTIM, ran(NOISE, TRANSFER), True),
        (ASSET, VICTIM, ran(TRANSFER, is_success=False), False),
        (ASSET, VICTIM, ran(BACK, NOISE, parties=("a",)), False),
        (ASSET, VICTIM, ran(NFT), False),
        (ASSET, VICTIM, ran(replace(TRANSFER, emitter=address("d"))), False),
    ],
)
def test_when_a_transaction_holds(asset: str, named: str, execution: Execution | None, holds: bool) -> None:
    assert TxIncluded(CHAIN, BLOCK, TX, asset, named).holds(execution) is holds


@pytest.mark.parametrize(
    ("topics", "holds"),
    [
        ((TRANSFER_TOPIC,), True),
        ((TRANSFER_TOPIC, None, topic_of(OTHER)), True),
        ((TRANSFER_TOPIC, topic_of(OTHER)), False),
        ((*TRANSFER.topics, HASH), False),
        ((HASH,), False),
    ],
)
def test_when_a_log_holds(topics: tuple[str | None, ...], holds: bool) -> None:
    predicate = LogEmitted(CHAIN, BLOCK, TOKEN, topics)
    assert predicate.holds((NOISE, TRANSFER)) is holds
    assert not predicate.holds(())
    assert not predicate.holds((replace(TRANSFER, emitter=address("d")),))


@pytest.mark.parametrize(
    ("comparison", "value", "holds"),
    [
        (Comparison.EQUAL, 7, True),
        (Comparison.EQUAL, 8, False),
        (Comparison.AT_LEAST, 7, True),
        (Comparison.AT_LEAST, 8, False),
        (Comparison.AT_MOST, 7, True),
        (Comparison.AT_MOST, 6, False),
    ],
)
def test_when_a_call_holds(comparison: Comparison, value: int, holds: bool) -> None:
    predicate = CallResult(CHAIN, BLOCK, Read(TOKEN, bytes(4), 1), comparison, value)
    assert predicate.holds(bytes(32) + WORD) is holds


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(32), bytes(63), bytes(MAX_RETURN_BYTES + 1)])
def test_a_call_without_the_word_is_neither_true_nor_false(data: bytes) -> None:
    assert CallResult(CHAIN, BLOCK, Read(TOKEN, bytes(4), 1), Comparison.EQUAL, 0).holds(data) is None


@pytest.mark.parametrize(
    ("before", "after", "since", "now", "holds"),
    [
        (100, 40, 100, 40, True),
        (100, 40, 500, 0, True),
        (100, 40, 99, 40, False),
        (100, 40, 100, 41, False),
        (40, 100, 40, 100, True),
        (40, 100, 41, 100, False),
        (40, 100, 40, 99, False),
    ],
)
def test_when_a_balance_holds(before: int, after: int, since: int, now: int, holds: bool) -> None:
    assert BalanceDelta(CHAIN, BLOCK, VICTIM, ASSET, BLOCK - 1, before, after).holds(since, now) is holds


def test_when_a_code_holds() -> None:
    predicate = CodeHash(CHAIN, BLOCK, VICTIM, "0x" + keccak256(b"\x60\x00").hex())
    assert predicate.holds(b"\x60\x00")
    assert not predicate.holds(b"")


@pytest.mark.parametrize(
    ("oracle", "reference", "holds"),
    [
        (105 * 10**8, 100 * 10**18, True),
        (95 * 10**8, 100 * 10**18, True),
        (105 * 10**8 - 1, 100 * 10**18, False),
        (95 * 10**8 + 1, 100 * 10**18, False),
        (100 * 10**8, 100 * 10**18, False),
        (0, 100 * 10**18, True),
        (1, 0, None),
        (2**255, 1, None),
        (1, 2**256 - 1, None),
    ],
)
def test_when_a_price_gap_holds(oracle: int, reference: int, holds: bool | None) -> None:
    price = PREDICATES["price"]
    assert isinstance(price, PriceGap)
    assert price.holds(oracle.to_bytes(32), bytes(32) + reference.to_bytes(32)) is holds


@QUICK
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_a_call_returns_is_judged(one: bytes, other: bytes) -> None:
    price, call = PREDICATES["price"], PREDICATES["call"]
    assert isinstance(price, PriceGap)
    assert isinstance(call, CallResult)
    assert price.holds(one, other) in (True, False, None)
    assert call.holds(one) in (True, False, None)


# What qualifies


def test_the_table_of_categories_is_that_of_the_code() -> None:
    rows = table(page("evidence"), "category")
    assert [(row[0], row[1], row[2]) for row in rows] == [
        (
            f"`{category}`",
            ", ".join(f"`{kind}`" for kind in sorted(kinds)),
            "any" if category in ANY_ROLE else "threatened",
        )
        for category, kinds in LOCAL_EVIDENCE.items()
    ]
    assert list(LOCAL_EVIDENCE) == [category for category in Category if category in LOCAL_EVIDENCE]
    assert set(LOCAL_EVIDENCE) >= ANY_ROLE


def test_every_doubt_is_named() -> None:
    text = page("evidence")
    for word in (*Doubt, *Answer):
        assert f"`{word}`" in text or word is Answer.UNKNOWN, word


SHOWING = {
    "transaction": Category.ASSET_DRAIN,
    "log": Category.ASSET_DRAIN,
    "call": Category.BRIDGE_MINT_MISMATCH,
    "balance": Category.ASSET_DRAIN,
    "code": Category.VULNERABILITY_DISCLOSED,
    "price": Category.ORACLE_MANIPULATION,
}
SUBJECTS = {
    **dict.fromkeys(SHOWING, VICTIM_SUBJECT),
    "call": Subject(Role.AT_RISK, SubjectKind.ASSET, ASSET),
    "price": Subject(Role.TOOL, SubjectKind.ACCOUNT, ORACLE),
}


@pytest.mark.parametrize("kind", SHOWING)
def test_a_claim_about_a_subject_on_a_trusted_word_qualifies(kind: str) -> None:
    assert is_qualifying(SHOWING[kind], PREDICATES[kind], [SUBJECTS[kind]], TRUSTING)


@pytest.mark.parametrize("kind", SHOWING)
def test_a_claim_about_somebody_else_does_not(kind: str) -> None:
    stranger = replace_subject(SUBJECTS[kind], value=OTHER)
    assert not is_qualifying(SHOWING[kind], PREDICATES[kind], [stranger], TRUSTING)
    assert not is_qualifying(SHOWING[kind], PREDICATES[kind], [], TRUSTING)


@pytest.mark.parametrize("kind", sorted(set(SHOWING) - {"code"}))
def test_a_claim_on_a_strangers_word_does_not(kind: str) -> None:
    for name in sources_of(PREDICATES[kind]):
        trusted = frozenset((TOKEN, ORACLE, FEED)) - {name}
        assert not is_qualifying(SHOWING[kind], PREDICATES[kind], [SUBJECTS[kind]], Vantage(frozenset(), trusted))


def test_a_claim_about_what_is_ours_qualifies_whoever_is_named() -> None:
    ours = Vantage(own=frozenset((VICTIM,)), trusted=frozenset((ASSET,)))
    assert is_qualifying(Category.ASSET_DRAIN, PREDICATES["balance"], [], ours)


def replace_subject(subject: Subject, **changes: object) -> Subject:
    fields = {"role": subject.role, "kind": subject.kind, "value": subject.value} | changes
    return Subject(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", Role)
def test_who_is_no_victim_counts_only_where_the_category_is_about_him(role: Role) -> None:
    subject = [replace_subject(VICTIM_SUBJECT, role=role)]
    is_threatened = role in (Role.VICTIM, Role.AT_RISK)
    assert is_qualifying(Category.ASSET_DRAIN, PREDICATES["balance"], subject, TRUSTING) is is_threatened
    assert is_qualifying(Category.FUNDING_SUSPICIOUS, PREDICATES["balance"], subject, TRUSTING)


@pytest.mark.parametrize("category", [c for c in Category if c not in LOCAL_EVIDENCE])
def test_nothing_on_a_chain_is_evidence_of_some_categories(category: Category) -> None:
    subjects = list(SUBJECTS.values())
    assert not any(is_qualifying(category, item, subjects, TRUSTING) for item in PREDICATES.values())


def test_code_is_shown_by_its_hash_too() -> None:
    subject = Subject(Role.AT_RISK, SubjectKind.CODE_HASH, HASH)
    assert is_qualifying(Category.DEPENDENCY_COMPROMISE, PREDICATES["code"], [subject], TRUSTING)


def test_a_transfer_shows_its_sender_and_not_the_token() -> None:
    assert shown_by(PREDICATES["log"]) == {VICTIM}
    assert shown_by(LogEmitted(CHAIN, BLOCK, TOKEN, (TRANSFER_TOPIC, None, topic_of(VICTIM)))) == set()
    assert shown_by(LogEmitted(CHAIN, BLOCK, TOKEN, (HASH,))) == {TOKEN}


def test_the_chains_own_coin_rests_on_no_contract() -> None:
    assert sources_of(replace(PREDICATES["balance"], asset=COIN)) == set()


# What a signal claims

TODAYS = Evidence(EvidenceKind.TRANSACTION, CHAIN, BLOCK, TX, ASSET)


def test_a_claim_of_an_asset_alone_speaks_of_the_only_victim() -> None:
    signal = make_signal(evidence=(TODAYS,), subjects=(VICTIM_SUBJECT,))
    assert predicates_of(signal) == (TxIncluded(CHAIN, BLOCK, TX, ASSET, VICTIM),)
    assert qualifying_predicates(signal, signal.subjects, TRUSTING) == predicates_of(signal)


def test_a_claim_of_an_asset_alone_speaks_of_none_of_two_victims() -> None:
    both = (VICTIM_SUBJECT, replace_subject(VICTIM_SUBJECT, value=OTHER))
    signal = make_signal(evidence=(TODAYS,), subjects=both)
    assert predicates_of(signal) == (TxIncluded(CHAIN, BLOCK, TX, ASSET),)
    assert qualifying_predicates(signal, signal.subjects, TRUSTING) == ()


def test_a_victim_on_another_chain_is_not_spoken_of() -> None:
    elsewhere = replace_subject(VICTIM_SUBJECT, value=VICTIM.replace("eip155:1:", "eip155:10:"))
    signal = make_signal(evidence=(TODAYS,), subjects=(elsewhere, VICTIM_SUBJECT))
    assert predicates_of(signal) == (TxIncluded(CHAIN, BLOCK, TX, ASSET, VICTIM),)


def test_claims_that_do_not_parse_leave_the_others_alone() -> None:
    free = Evidence(EvidenceKind.TRANSACTION, CHAIN, BLOCK, TX, "first drain")
    signal = make_signal(evidence=(free, claim("balance"), claim("balance")))
    assert predicates_of(signal) == (PREDICATES["balance"],)


def test_no_more_claims_of_a_signal_are_checked_than_are_allowed() -> None:
    many = tuple(claim("balance", block=BLOCK + at) for at in range(MAX_CHECKED_CLAIMS + 4))
    idle = (claim("code"),)
    signal = make_signal(evidence=(*idle, *many), subjects=(VICTIM_SUBJECT,))
    assert qualifying_predicates(signal, signal.subjects, TRUSTING) == predicates_of(signal)[1 : MAX_CHECKED_CLAIMS + 1]


# Three answers


@pytest.mark.parametrize(
    ("witnesses", "answer", "doubt", "is_alarm"),
    [
        ([], DUNNO, Doubt.NO_ENDPOINTS, False),
        ([said(YES)], DUNNO, Doubt.TOO_FEW, False),
        ([said(NO)], DUNNO, Doubt.TOO_FEW, False),
        ([said(YES), said(DUNNO)], DUNNO, Doubt.TOO_FEW, False),
        ([said(DUNNO), said(DUNNO)], DUNNO, Doubt.TOO_FEW, False),
        ([said(YES), said(YES)], YES, None, False),
        ([said(YES, depth=0), said(YES, depth=-1)], YES, None, False),
        ([said(YES), said(DUNNO), said(YES)], YES, None, False),
        ([said(NO), said(NO)], NO, None, False),
        ([said(NO), said(NO, depth=SETTLED_DEPTH - 1)], DUNNO, Doubt.NOT_SETTLED, False),
        ([said(YES), said(NO)], DUNNO, Doubt.DISAGREEMENT, True),
        ([said(YES), said(YES), said(NO)], DUNNO, Doubt.DISAGREEMENT, True),
        ([said(YES, depth=0), said(NO, depth=0)], DUNNO, Doubt.DISAGREEMENT, True),
        ([said(YES, block=1), said(YES, block=2)], DUNNO, Doubt.FORK, True),
        ([said(YES, block=1, depth=1), said(NO, block=2)], DUNNO, Doubt.FORK, False),
        ([said(YES, block=1), said(NO, block=1), said(NO, block=2)], DUNNO, Doubt.DISAGREEMENT, True),
    ],
)
def test_what_endpoints_come_to(
    witnesses: list[WitnessAnswer], answer: Answer, doubt: Doubt | None, is_alarm: bool
) -> None:
    for order in (witnesses, witnesses[::-1]):
        found = combine(EMPTY_CALL, order)
        assert (found.answer, found.doubt, found.is_disagreement) == (answer, doubt, is_alarm)


spoken = st.builds(said, st.sampled_from(Answer), st.integers(1, 2), st.integers(-1, SETTLED_DEPTH + 1))


@QUICK
@given(st.lists(spoken, max_size=6), st.randoms(use_true_random=False))
def test_no_answer_without_agreement_and_no_order_changes_it(heard: list[WitnessAnswer], order: object) -> None:
    found = combine(EMPTY_CALL, heard)
    if found.answer is not DUNNO:
        assert {item.answer for item in heard} <= {found.answer, DUNNO}
        assert sum(item.answer is found.answer for item in heard) >= MIN_ENDPOINTS
    assert (found.answer is DUNNO) is (found.doubt is not None)
    shuffled = list(heard)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert replace(combine(EMPTY_CALL, shuffled), witnesses=()) == replace(found, witnesses=())


@QUICK
@given(st.lists(spoken, max_size=5))
def test_one_endpoint_more_never_turns_an_answer_round(heard: list[WitnessAnswer]) -> None:
    before = combine(EMPTY_CALL, heard).answer
    for answer in Answer:
        after = combine(EMPTY_CALL, [*heard, said(answer)]).answer
        assert DUNNO in (before, after) or before is after


# An incident's evidence


@pytest.mark.parametrize(
    ("exhibits", "is_local", "is_vetoed", "discredited"),
    [
        ([], False, False, ()),
        ([exhibit(1, "alba")], False, False, ()),
        ([exhibit(1, "alba", DUNNO)], False, False, ()),
        ([exhibit(1, "alba", DUNNO, YES)], True, False, ()),
        ([exhibit(1, "alba", NO)], False, True, (1,)),
        # Truth does not make up for a lie in the same signal, nor in another of the same member.
        ([exhibit(1, "alba", NO, YES)], False, True, (1,)),
        ([exhibit(1, "alba", NO), exhibit(2, "alba", YES)], True, True, (1,)),
        # A liar who joins an honest incident takes nothing from it but his own voice.
        ([exhibit(1, "alba", NO), exhibit(2, "brook", YES)], True, False, (1,)),
        ([exhibit(1, "alba", NO), exhibit(2, "alba", YES), exhibit(3, "brook", YES)], True, False, (1,)),
        # Where nobody could check anything, there is no evidence that a veto could take.
        ([exhibit(1, "alba", NO), exhibit(2, "brook", DUNNO)], False, True, (1,)),
        ([exhibit(1, "alba", NO), exhibit(2, "brook", NO, YES)], False, True, (1, 2)),
    ],
)
def test_what_an_incident_comes_to(
    exhibits: list[Exhibit], is_local: bool, is_vetoed: bool, discredited: tuple[int, ...]
) -> None:
    found = weigh_evidence(exhibits)
    assert (found.is_local, found.is_vetoed) == (is_local, is_vetoed)
    assert found.discredited == {bytes([signal]) * 32 for signal in discredited}


def test_disagreements_are_counted_and_decide_nothing() -> None:
    torn = checked("code", YES, NO)
    found = weigh_evidence([Exhibit(b"\1" * 32, "alba", (torn,)), Exhibit(b"\2" * 32, "brook", (torn,))])
    assert (found.is_local, found.is_vetoed, found.disagreements) == (False, False, 1)


def test_a_weighing_says_why() -> None:
    assert "no claim" in weigh_evidence([exhibit(1, "alba", DUNNO)]).sentence
    assert "No signal makes a claim" in weigh_evidence([exhibit(1, "alba")]).sentence
    assert "confirm what brook claims" in weigh_evidence([exhibit(1, "brook", YES)]).sentence
    joined = weigh_evidence([exhibit(1, "alba", NO), exhibit(2, "brook", YES)])
    assert "contradict alba" in joined.sentence
    assert "contradict what alba claims" in weigh_evidence([exhibit(1, "alba", NO)]).sentence
    torn = Exhibit(b"\1" * 32, "alba", (checked("code", YES, NO),))
    assert "disagree about one claim" in weigh_evidence([torn]).sentence


exhibits = st.builds(
    lambda signal, answers: exhibit(signal, f"member-{signal % 3}", *answers),
    st.integers(1, 9),
    st.lists(st.sampled_from(Answer), max_size=3),
)


@QUICK
@given(st.lists(exhibits, max_size=6), exhibits)
def test_a_member_who_lies_takes_no_local_evidence_from_others(honest: list[Exhibit], extra: Exhibit) -> None:
    liar = replace(extra, digest=b"\xff" * 32, member="liar")
    before, after = weigh_evidence(honest), weigh_evidence([*honest, liar])
    assert after.is_local >= before.is_local
    if before.is_local:
        assert after.is_vetoed <= before.is_vetoed
    assert after.confirmed >= before.confirmed


@QUICK
@given(st.lists(exhibits, max_size=6))
def test_neither_order_nor_repetition_matters(given_: list[Exhibit]) -> None:
    assert weigh_evidence(given_) == weigh_evidence([*given_[::-1], *given_])
