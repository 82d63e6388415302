from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tocsin_protocol.containment.action import (
    EXPIRY_NOTICE_MS,
    MAX_APPROVALS,
    MAX_REASON_CHARS,
    MAX_TRANSACTIONS,
    Action,
    IntentVerdict,
    apply_event,
    intent_key,
    judge_intent,
    new_action,
)
from tocsin_protocol.containment.ledger import LEDGER_ID_BYTES
from tocsin_protocol.containment.life_cycle import (
    FINAL,
    SETTLED,
    TRANSITIONS,
    UNSIGNED,
    WITHOUT_EFFECT,
    ContainmentError,
    Event,
    State,
    advance,
)

SIGN: dict[str, Any] = {"raw": b"\x02raw", "hash": b"\x11" * 32, "nonce": 7, "max_fee_wei": 10, "priority_fee_wei": 2}
INCLUDE: dict[str, Any] = {"block_number": 5, "block_hash": b"\x22" * 32, "hash": b"\x11" * 32}


def make_action(**changes: Any) -> Action:
    action = new_action(
        ledger=bytes(LEDGER_ID_BYTES),
        hook="pause-pool",
        target="eip155:1:0x" + "ab" * 20,
        arm_epoch=1,
        incident_id=b"\1" * 32,
        decision_id=b"\2",
        payload=b"\x84\x56\xcb\x59",
        created_ms=1_000,
        deadline_ms=61_000,
    )
    return replace(action, **changes)


def drive(action: Action, *steps: tuple[Event, dict[str, int | str | bytes]]) -> Action:
    for event, detail in steps:
        action = apply_event(action, event, detail)
    return action


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_only_the_table_decides(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert advance(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(ContainmentError, match=f"{event.value} is not possible in state {state.value}"):
            advance(state, event)


def test_nothing_leaves_a_final_state() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] in FINAL]


def test_every_state_that_is_not_final_can_end() -> None:
    reaches = set(FINAL)
    for _ in State:
        reaches |= {state for (state, _), after in TRANSITIONS.items() if after in reaches}
    assert reaches == set(State)


def test_nothing_is_sent_before_it_is_signed_but_a_webhook() -> None:
    assert advance(State.PLANNED, Event.SEND) is State.BROADCAST
    unsigned = [after for (state, event), after in TRANSITIONS.items() if state in UNSIGNED and event is not Event.SEND]
    assert not set(unsigned) & {State.BROADCAST, State.INCLUDED, State.EFFECTIVE, State.UNKNOWN}


def test_an_unknown_outcome_is_not_signed_anew() -> None:
    assert (State.UNKNOWN, Event.SIGN) not in TRANSITIONS


def test_a_transaction_goes_from_intent_to_confirmed() -> None:
    done = drive(
        make_action(), (Event.SIGN, SIGN), (Event.SEND, {}), (Event.INCLUDE, INCLUDE), (Event.CONFIRM, {"reason": ""})
    )
    assert done.state is State.EFFECTIVE
    assert done.is_settled
    assert done.state not in FINAL
    assert done.attempts == 1
    assert done.transactions[0].nonce == 7
    assert (done.block_number, done.block_hash, done.included_hash) == (5, b"\x22" * 32, b"\x11" * 32)


def test_a_reorg_takes_the_block_back() -> None:
    back = drive(make_action(), (Event.SIGN, SIGN), (Event.INCLUDE, INCLUDE), (Event.REORG, {"reason": "gone"}))
    assert back.state is State.BROADCAST
    assert (back.block_number, back.block_hash, back.included_hash, back.reason) == (None, None, None, "gone")


@pytest.mark.parametrize("state", [State.INCLUDED, State.EFFECTIVE, State.EXPIRING, State.REVERTED])
def test_a_reorg_takes_back_whatever_is_on_chain(state: State) -> None:
    assert advance(state, Event.REORG) is State.BROADCAST


def test_what_was_in_a_block_once_is_remembered_through_a_reorg() -> None:
    signed = drive(make_action(), (Event.SIGN, SIGN), (Event.SEND, {}))
    back = drive(signed, (Event.INCLUDE, INCLUDE), (Event.CONFIRM, {}), (Event.REORG, {}))
    assert (signed.was_included, back.was_included, back.state) == (False, True, State.BROADCAST)


def test_an_effect_ends_by_its_time_or_by_people() -> None:
    held = drive(make_action(), (Event.SEND, {}), (Event.CONFIRM, {}))
    assert drive(held, (Event.EXPIRE, {}), (Event.LIFT, {})).state in FINAL
    assert drive(held, (Event.LIFT, {})).state in FINAL
    assert held.state not in WITHOUT_EFFECT


def test_an_action_is_expiring_some_time_before_its_end() -> None:
    long, brief = make_action(ends_ms=3_601_000), make_action(ends_ms=61_000)
    assert (make_action().expires_ms, brief.expires_ms) == (None, 41_000)
    assert long.expires_ms == 3_601_000 - EXPIRY_NOTICE_MS


def test_what_awaits_approval_is_not_signed() -> None:
    asked = drive(make_action(), (Event.ASK, {}))
    for event in (Event.SIGN, Event.SEND, Event.CHECK):
        with pytest.raises(ContainmentError, match="not possible in state awaiting-approval"):
            apply_event(asked, event, SIGN)
    granted = drive(asked, (Event.APPROVE, {"approval": b"a"}), (Event.APPROVE, {"approval": b"b"}), (Event.GRANT, {}))
    assert (granted.state, granted.approvals) == (State.PREFLIGHT, (b"a", b"b"))
    assert drive(granted, (Event.SIGN, SIGN)).state is State.SIGNED
    assert drive(asked, (Event.DECLINE, {"reason": "a drill"})).state in FINAL
    assert drive(asked, (Event.LAPSE, {"reason": "nobody answered"})).state in FINAL


def test_approvals_are_bounded() -> None:
    action = drive(make_action(), (Event.ASK, {}))
    for _ in range(MAX_APPROVALS):
        action = apply_event(action, Event.APPROVE, {"approval": b"a"})
    with pytest.raises(ContainmentError, match="more than 32 approvals"):
        apply_event(action, Event.APPROVE, {"approval": b"a"})


def test_what_a_hook_has_left_to_do_has_no_end_yet() -> None:
    assert FINAL <= SETTLED
    assert not SETTLED & UNSIGNED
    leaves = {event for (state, event) in TRANSITIONS if state in SETTLED}
    assert leaves == {Event.REORG, Event.EXPIRE, Event.LIFT}


def test_a_bump_keeps_the_nonce() -> None:
    signed = drive(make_action(), (Event.SIGN, SIGN), (Event.SIGN, SIGN | {"hash": b"\x33" * 32, "max_fee_wei": 12}))
    assert [item.max_fee_wei for item in signed.transactions] == [10, 12]
    with pytest.raises(ContainmentError, match="nonce 8 where 7 is signed"):
        apply_event(signed, Event.SIGN, SIGN | {"nonce": 8})


def test_bumps_are_bounded() -> None:
    action = make_action()
    for _ in range(MAX_TRANSACTIONS):
        action = apply_event(action, Event.SIGN, SIGN)
    with pytest.raises(ContainmentError, match="more than 8"):
        apply_event(action, Event.SIGN, SIGN)


@pytest.mark.parametrize("key", sorted(SIGN))
def test_a_detail_that_is_missing_or_of_another_kind_is_refused(key: str) -> None:
    for value in (None, True, "text", 1.5):
        detail = {name: item for name, item in SIGN.items() if name != key}
        if value is not None:
            detail[key] = value
        with pytest.raises(ContainmentError, match=key):
            apply_event(make_action(), Event.SIGN, detail)


def test_a_reason_is_cut() -> None:
    done = apply_event(make_action(), Event.LAPSE, {"reason": "x" * 10_000})
    assert len(done.reason) == MAX_REASON_CHARS


def test_the_same_intent_again_is_the_same_and_other_data_is_a_conflict() -> None:
    first = make_action()
    assert judge_intent(None, first) is IntentVerdict.NEW
    assert judge_intent(first, make_action(incident_id=rb"\x09" * 32, created_ms=5)) is IntentVerdict.SAME
    assert judge_intent(first, make_action(payload=b"other")) is IntentVerdict.CONFLICT
    with pytest.raises(ContainmentError, match="another key"):
        judge_intent(first, make_action(action_id=b"\0" * 32))


ledgers = st.sampled_from([b"a" * LEDGER_ID_BYTES, b"b" * LEDGER_ID_BYTES])
texts = st.text(max_size=20)
epochs = st.integers(0, 2**64 - 1)
keys = st.tuples(ledgers, texts, texts, epochs)


@given(keys, keys)
def test_equal_ids_mean_equal_parts(one: tuple[bytes, str, str, int], other: tuple[bytes, str, str, int]) -> None:
    assert (intent_key(*one) == intent_key(*other)) is (one == other)
    assert intent_key(*one) == intent_key(*one)


def test_another_ledger_gives_another_id() -> None:
    ids = {intent_key(ledger * LEDGER_ID_BYTES, "hook", "target", 1) for ledger in (b"a", b"b")}
    assert len(ids) == 2
    with pytest.raises(ContainmentError, match="ledger: an id of 3 bytes where 16 are wanted"):
        intent_key(b"abc", "hook", "target", 1)


@pytest.mark.parametrize("epoch", [-1, 2**64, True])
def test_an_arm_epoch_is_an_integer_of_64_bits(epoch: int) -> None:
    with pytest.raises(ContainmentError, match="arm epoch"):
        intent_key(bytes(LEDGER_ID_BYTES), "hook", "target", epoch)


@given(st.lists(st.sampled_from(list(Event)), max_size=30))
def test_whatever_happens_there_is_one_nonce_and_no_way_out_of_an_end(events: list[Event]) -> None:
    action = make_action()
    for event in events:
        before = action
        try:
            action = apply_event(action, event, SIGN | INCLUDE | {"reason": "r", "approval": b"a"})
        except ContainmentError:
            assert action is before
            continue
        assert before.state not in FINAL
        assert len({item.nonce for item in action.transactions}) <= 1
