"""Approvals: what wallets sign, judged by eth_account; whose approvals count, and how many."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from itertools import permutations
from typing import Any

import pytest
from approval_kit import (
    BEGINS_MS,
    EVERYBODY,
    HOUR_MS,
    NAMES,
    address,
    approve,
    ask,
    make_policy,
    make_request,
    operator_secret,
)
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import DOMAIN, NETWORK_ID, OTHER_NETWORK_ID
from strategies_kit import FIXED, digests, garbage_or
from tocsin_protocol.approval.files import (
    MAX_APPROVAL_BYTES,
    Approval,
    compact_signature,
    decode_approval,
    decode_approval_request,
    encode_approval,
    encode_approval_request,
    wallet_signature,
)
from tocsin_protocol.approval.judging import Granted, Refusal, Verdict, count_approvals, judge_approval
from tocsin_protocol.approval.policy import MAX_OPERATORS, MAX_RULES, ApprovalPolicy, ApprovalRule
from tocsin_protocol.approval.request import (
    HIGHEST_TIER,
    MAX_WINDOW_MS,
    Purpose,
    Request,
    request_digest,
    typed_data,
)
from tocsin_protocol.errors import DecodeError, PolicyError
from tocsin_protocol.signing import Domain, sign_digest

words = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=40)
begins = st.integers(0, 4_000_000_000).map(lambda second: second * 1000)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    begin = draw(begins)
    return Request(
        purpose=draw(st.sampled_from(Purpose)),
        effect=draw(words),
        scope=draw(words),
        lever=draw(words),
        target=draw(words),
        tier=draw(st.integers(0, HIGHEST_TIER)),
        payload=draw(digests),
        incident=draw(digests),
        epoch=draw(st.integers(0, 2**53 - 1)),
        not_before_ms=begin,
        expires_ms=begin + 1000 * draw(st.integers(1, MAX_WINDOW_MS // 1000)),
        node=draw(st.binary(min_size=20, max_size=20)),
    )


@FIXED
@given(digests, requests())
def test_what_is_signed_is_what_eth_account_makes_of_the_typed_data(network: bytes, request_: Request) -> None:
    typed = encode_typed_data(full_message=json.loads(encode_approval_request(network, request_)))
    digest = request_digest(Domain(network), request_)
    assert keccak(b"\x19" + typed.version + typed.header + typed.body) == digest
    theirs = Account.sign_message(typed, operator_secret("ann")).signature
    ours = sign_digest(operator_secret("ann"), digest)
    assert wallet_signature(ours) == "0x" + theirs.hex().removeprefix("0x")
    assert compact_signature("0x" + theirs.hex().removeprefix("0x")) == ours


@FIXED
@given(digests, requests())
def test_files_round_trip(network: bytes, request_: Request) -> None:
    assert decode_approval_request(encode_approval_request(network, request_)) == (network, request_)
    approval = approve("ann", request_, Domain(network))
    data = encode_approval(approval)
    assert decode_approval(data) == approval
    assert len(data) <= MAX_APPROVAL_BYTES


def test_the_longest_file_that_we_write_is_read() -> None:
    request = make_request(effect='"' * 200, scope='"' * 160, lever='"' * 160, target='"' * 160, epoch=2**53 - 1)
    data = encode_approval(approve("ann", request))
    assert decode_approval(data).request == request


@FIXED
@given(garbage_or(encode_approval(approve("ann", make_request()))))
def test_garbage_is_no_approval(data: bytes) -> None:
    try:
        approval = decode_approval(data)
    except DecodeError:
        return
    verdict = judge_approval(DOMAIN, make_policy(), ask(), approval)
    assert verdict.operator in (None, address("ann"))


@pytest.mark.parametrize("data", [b"[" * 8000, b'{"approval":' * 600, b"9" * 8000, b"\xff\xfe", b"", b"NaN"])
def test_hostile_json_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_approval(data)


def test_the_window_is_shown_in_words() -> None:
    assert make_request().window == "2026-11-21 14:00:00 to 2026-11-21 15:00:00 UTC"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"effect": ""}, "effect"),
        ({"effect": "x" * 201}, "effect"),
        ({"scope": "x" * 161}, "scope"),
        ({"lever": "ü"}, "lever"),
        ({"target": "a\u202eb"}, "target"),
        ({"tier": -1}, "tier"),
        ({"tier": True}, "tier"),
        ({"payload": b""}, "payload"),
        ({"incident": bytes(31)}, "incident"),
        ({"epoch": 2**53}, "epoch"),
        ({"node": bytes(32)}, "node"),
        ({"not_before_ms": BEGINS_MS + 1}, "not_before_ms"),
        ({"expires_ms": 10**15}, "expires_ms"),
        ({"expires_ms": BEGINS_MS}, "expires_ms"),
        ({"expires_ms": BEGINS_MS + MAX_WINDOW_MS + 1000}, "expires_ms"),
    ],
)
def test_a_request_out_of_bounds_is_refused_by_the_name_of_its_field(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(DecodeError, match=named):
        make_request(**changes)


def test_every_field_is_in_the_digest_and_on_the_screen() -> None:
    request = make_request()
    others: dict[str, Any] = {
        "purpose": Purpose.REOPEN,
        "tier": 2,
        "payload": bytes(32),
        "incident": bytes(32),
        "epoch": 8,
        "not_before_ms": BEGINS_MS + 1000,
        "expires_ms": BEGINS_MS + 2000,
        "node": bytes(20),
    }
    for name in (field.name for field in fields(Request)):
        changed = replace(request, **{name: others.get(name, "other")})
        assert request_digest(DOMAIN, changed) != request_digest(DOMAIN, request), name
        assert typed_data(NETWORK_ID, changed)["message"] != typed_data(NETWORK_ID, request)["message"], name


def test_typed_data_names_no_chain() -> None:
    document = typed_data(NETWORK_ID, make_request())
    assert document["domain"] == {"name": "Tocsin", "version": "1", "salt": "0x" + NETWORK_ID.hex()}
    assert [field["name"] for field in document["types"]["EIP712Domain"]] == ["name", "version", "salt"]
    assert [field["name"] for field in document["types"]["Approval"]] == list(document["message"])


def test_a_use_is_the_same_in_whatever_incident_window_and_words() -> None:
    request = make_request()
    same = make_request(
        incident=bytes(32), expires_ms=BEGINS_MS + 2 * HOUR_MS, effect="Other.", payload=bytes(32), tier=1
    )
    assert same.use_key == request.use_key
    for changes in (
        {"epoch": 8},
        {"scope": "other"},
        {"lever": "other"},
        {"target": "other"},
        {"purpose": Purpose.REOPEN},
    ):
        assert make_request(**changes).use_key != request.use_key


def test_texts_of_a_use_do_not_run_together() -> None:
    assert make_request(scope="ab", lever="c").use_key != make_request(scope="a", lever="bc").use_key


def tally_of(names: Any, **changes: Any) -> Any:
    return count_approvals(DOMAIN, make_policy(), ask(**changes), [approve(name, make_request()) for name in names])


@pytest.mark.parametrize("names", [names for k in range(4) for names in permutations(NAMES, k)])
def test_any_two_of_three_in_any_order_are_enough(names: tuple[str, ...]) -> None:
    tally = tally_of(names)
    assert tally.operators == tuple(sorted(map(address, names)))
    assert tally.waiting_for == tuple(sorted(EVERYBODY - set(tally.operators)))
    if len(names) < 2:
        assert tally.granted is None
        assert tally.sentence == f"{len(names)} approved of 2 wanted: not enough yet."
    else:
        assert tally.granted == Granted(make_request(), tally.operators, 2)
        assert tally.sentence == f"{len(names)} approved of 2 wanted: enough."


@FIXED
@given(st.lists(st.sampled_from((*NAMES, "dan", "eve")), max_size=8))
def test_who_counts_depends_on_no_order_and_no_repetition(names: list[str]) -> None:
    tally = tally_of(names)
    assert set(tally.operators) == {address(name) for name in names} & EVERYBODY
    assert tally.operators == tally_of(sorted(names)).operators == tally_of(set(names)).operators
    assert (tally.granted is not None) == (len(set(names) & set(NAMES)) >= 2)
    counted = [verdict.operator for verdict in tally.verdicts if verdict.operator is not None]
    assert sorted(counted) == list(tally.operators)


@FIXED
@given(st.integers(0, 511))
def test_no_flipped_bit_of_a_signature_counts(bit: int) -> None:
    good = approve("ben", make_request())
    flipped = (int.from_bytes(good.signature, "big") ^ (1 << bit)).to_bytes(64, "big")
    verdict = judge_approval(DOMAIN, make_policy(), ask(), replace(good, signature=flipped))
    assert verdict.refusal in (Refusal.BAD_SIGNATURE, Refusal.UNKNOWN_OPERATOR)


@FIXED
@given(st.integers(-2 * HOUR_MS, 2 * HOUR_MS), st.integers(-2 * HOUR_MS, 2 * HOUR_MS))
def test_no_clock_step_makes_an_approval_live_longer(now: int, latest: int) -> None:
    """Whatever the record says, it counts only where it would by the clock alone."""
    now_ms, latest_ms = BEGINS_MS + now, BEGINS_MS + latest
    granted = tally_of(NAMES, now_ms=now_ms, latest_ms=latest_ms).granted
    assert (granted is not None) == (0 <= now < HOUR_MS and latest < HOUR_MS)


def test_the_refusal_names_the_field_that_differs() -> None:
    verdict = judge_approval(DOMAIN, make_policy(), ask(), approve("ben", make_request(target="eip155:1:0x00")))
    assert verdict == Verdict(
        None,
        Refusal.OTHER_REQUEST,
        f"target is 'eip155:1:0x00' where {make_request().target!r} is asked for",
    )


def test_a_removed_operator_does_not_count_though_he_signed_while_he_was_one() -> None:
    approvals = [approve(name, make_request()) for name in ("ann", "cam")]
    assert count_approvals(DOMAIN, make_policy(), ask(), approvals).granted is not None
    staying = frozenset(map(address, ("ann", "ben")))
    policy = ApprovalPolicy(
        operators={address("ann"): "ann", address("ben"): "ben"},
        rules=(ApprovalRule(2, staying),),
        removed=frozenset((address("cam"),)),
    )
    tally = count_approvals(DOMAIN, policy, ask(), approvals)
    assert [verdict.refusal for verdict in tally.verdicts] == [None, Refusal.REMOVED_OPERATOR]
    assert tally.granted is None


def test_an_approval_made_for_another_network_is_told_from_a_forged_one() -> None:
    elsewhere = approve("ben", make_request(), Domain(OTHER_NETWORK_ID))
    assert judge_approval(DOMAIN, make_policy(), ask(), elsewhere).refusal is Refusal.WRONG_NETWORK
    relabelled = replace(elsewhere, network_id=NETWORK_ID)
    assert judge_approval(DOMAIN, make_policy(), ask(), relabelled).refusal is Refusal.UNKNOWN_OPERATOR


def test_without_a_rule_nobody_can_approve() -> None:
    tally = count_approvals(DOMAIN, ApprovalPolicy(), ask(), [approve("ann", make_request())])
    assert (tally.wanted, tally.granted, tally.waiting_for) == (None, None, ())
    assert tally.sentence == "No rule says who approves tier 3 in usdc-market: nobody can."


def test_more_approvals_than_operators_can_be_are_not_counted() -> None:
    one = approve("ann", make_request())
    assert count_approvals(DOMAIN, make_policy(), ask(), [one] * MAX_OPERATORS).operators == (address("ann"),)
    with pytest.raises(PolicyError, match="33 approvals"):
        count_approvals(DOMAIN, make_policy(), ask(), [one] * (MAX_OPERATORS + 1))


def test_nothing_is_granted_by_fewer_than_wanted() -> None:
    with pytest.raises(PolicyError, match="granted by 1 where 2"):
        Granted(make_request(), (address("ann"), address("ann")), 2)
    with pytest.raises(PolicyError, match="granted by 0 where 1"):
        Granted(make_request(), (), 0)


@pytest.mark.parametrize(
    ("tier", "scope", "m"), [(3, "usdc-market", 4), (2, "usdc-market", 3), (3, "other", 2), (2, "other", 1)]
)
def test_the_narrowest_rule_counts(tier: int, scope: str, m: int) -> None:
    four = {bytes((n,)) * 20: f"operator {n}" for n in range(4)}
    places = [(None, "*"), (3, "*"), (None, "usdc-market"), (3, "usdc-market")]
    rules = tuple(ApprovalRule(n + 1, frozenset(four), *place) for n, place in enumerate(places))
    rule = ApprovalPolicy(four, rules).rule_for(tier, scope)
    assert rule is not None
    assert rule.m == m


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ApprovalRule(0, EVERYBODY), "m is 0"),
        (lambda: ApprovalRule(4, EVERYBODY), "m is 4"),
        (lambda: ApprovalRule(True, EVERYBODY), "m is True"),
        (lambda: ApprovalRule(1, frozenset()), "m is 1"),
        (lambda: ApprovalRule(1, EVERYBODY, 5), "tier is 5"),
        (lambda: make_policy(removed=frozenset((address("ann"),))), "'ann' is listed and removed"),
        (lambda: make_policy(rules=(ApprovalRule(1, frozenset((address("dan"),))),)), "is no operator"),
        (lambda: make_policy(rules=(ApprovalRule(1, EVERYBODY), ApprovalRule(2, EVERYBODY))), "same tier and scope"),
        (lambda: ApprovalPolicy({b"short": "ann"}), "not an address"),
        (lambda: ApprovalPolicy({address("ann"): "ann", address("ben"): "ann"}), "same name"),
        (lambda: ApprovalPolicy({bytes((n,)) * 20: str(n) for n in range(MAX_OPERATORS + 1)}), "33 operators"),
        (
            lambda: make_policy(rules=tuple(ApprovalRule(1, EVERYBODY, None, str(n)) for n in range(MAX_RULES + 1))),
            "65",
        ),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(make: Any, named: str) -> None:
    with pytest.raises(PolicyError, match=named):
        make()


def test_an_approval_is_a_value() -> None:
    assert Approval(NETWORK_ID, make_request(), bytes(64)) == Approval(NETWORK_ID, make_request(), bytes(64))
