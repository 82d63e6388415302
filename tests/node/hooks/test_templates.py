"""Arguments that only the occasion knows: which may be written, what they become, and what a signal cannot put in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from chain_kit import OCCASION
from hook_kit import HOOKS
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tocsin_node.chain.abi import decode_result, parse_function
from tocsin_node.hooks.call import ContractCall
from tocsin_node.hooks.config import EvmHookConfig
from tocsin_node.hooks.templates import MAX_LATER_S
from tocsin_protocol.containment.action import new_action

POOL = "eip155:1:0x" + "11" * 20
GUARDIAN = "0x" + "99" * 20
USDC, DAI, OTHER = ("0x" + pair * 20 for pair in ("aa", "bb", "cc"))
FREEZE = {"kind": "evm", "name": "freeze", "target": POOL, "function": "freeze(address)", "check": ""}


def config(**settings: Any) -> EvmHookConfig:
    made = HOOKS.validate_python(FREEZE | settings)
    assert isinstance(made, EvmHookConfig)
    return made


def freeze_of(*subjects: str, among: list[str]) -> str | None:
    """The address that is frozen when an incident names these."""
    call = ContractCall(config(arguments=["{subject.address}"], among=among), GUARDIAN)
    calldata = call.encode(replace(OCCASION, subjects=subjects))
    if calldata is None:
        return None
    return str(decode_result(parse_function("freeze(address)(address)"), calldata[4:])[0])


def test_the_one_listed_subject_becomes_the_argument() -> None:
    assert freeze_of(f"eip155:1:{USDC}", f"eip155:1:{OTHER}", among=[USDC, DAI]) == USDC
    assert freeze_of(f"eip155:1/erc20:{DAI}", among=[USDC, DAI]) == DAI


@pytest.mark.parametrize(
    "subjects",
    [
        (),
        (f"eip155:1:{OTHER}",),
        (f"eip155:10:{USDC}",),
        (f"eip155:1:{USDC}", f"eip155:1:{DAI}"),
        ("eip155:1/slip44:60", "vyper 0.2.15", "0x" + "ab" * 32, "eip155:1"),
    ],
)
def test_none_or_several_or_those_of_another_chain_are_nothing(subjects: tuple[str, ...]) -> None:
    assert freeze_of(*subjects, among=[USDC, DAI]) is None


def test_with_a_star_any_subject_will_do_but_never_our_own_contract_or_key() -> None:
    assert freeze_of(f"eip155:1:{OTHER}", among=["*"]) == OTHER
    assert freeze_of(f"eip155:1:{OTHER}", POOL, f"eip155:1:{GUARDIAN}", among=["*"]) == OTHER
    assert freeze_of(POOL, among=["*"]) is None
    assert freeze_of(f"eip155:1:{OTHER}", f"eip155:1:{USDC}", among=["*"]) is None


@given(st.lists(st.text(max_size=60) | st.sampled_from([f"eip155:1:{USDC}", POOL, f"eip155:1:{OTHER}"]), max_size=8))
def test_whatever_signals_name_only_what_is_listed_is_called(subjects: list[str]) -> None:
    assert freeze_of(*subjects, among=[USDC, DAI]) in (None, USDC, DAI)


def test_time_and_incident_are_what_they_are() -> None:
    made = config(function="close(uint64,bytes32)", arguments=["{now+3600}", "{incident}"])
    calldata = ContractCall(made, GUARDIAN).encode(OCCASION)
    assert calldata is not None
    until, incident = decode_result(parse_function("close(uint64)(uint64,bytes32)"), calldata[4:])
    assert until == OCCASION.decided_ms // 1_000 + 3_600
    assert incident == OCCASION.incident_id


def test_a_hash_is_taken_where_32_bytes_are_wanted() -> None:
    operation = "0x" + "ab" * 32
    made = config(
        function="cancel(bytes32)",
        arguments=["{subject.hash}"],
        among=[operation],
        check="isOperation(bytes32)(bool)",
        check_arguments=["{argument.0}"],
        check_is=False,
        undo="schedule(bytes32)",
        undo_arguments=["{argument.0}"],
    )
    call = ContractCall(made, GUARDIAN)
    calldata = call.encode(replace(OCCASION, subjects=(operation,)))
    assert calldata is not None
    assert calldata[4:].hex() == "ab" * 32
    ((method, (request, _)),) = call.questions(calldata)
    assert method == "eth_call"
    assert request["data"].endswith("ab" * 32)
    proposal = call.undo(calldata)
    assert proposal is not None
    assert proposal.sentence == f"call schedule({operation}) of {POOL}"
    assert proposal.target == POOL
    assert proposal.calldata is not None
    assert proposal.calldata.hex().endswith("ab" * 32)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"arguments": ["{subject.name}"], "among": [USDC]}, "is none of"),
        ({"arguments": ["{SUBJECT.ADDRESS}"], "among": [USDC]}, "is none of"),
        ({"arguments": ["{subject.address} "], "among": [USDC]}, "is none of"),
        ({"arguments": ["{subject.address.__class__}"], "among": [USDC]}, "is none of"),
        ({"arguments": ["{subject.address}"]}, "among"),
        ({"arguments": [USDC], "among": [USDC]}, "among"),
        ({"arguments": ["{subject.address}"], "among": ["0x12"]}, "neither an address"),
        ({"arguments": ["{subject.address}"], "among": ["*", USDC]}, "or \\* alone"),
        ({"arguments": ["{subject.address}"], "among": [USDC, USDC]}, "each once"),
        ({"arguments": ["{now}"]}, "address is wanted there"),
        ({"arguments": ["{incident}"]}, "address is wanted there"),
        ({"arguments": ["{argument.0}"]}, "for a check or an undo"),
        ({"function": "f(uint32)", "arguments": ["{now}"]}, "40 bits or more"),
        ({"function": "f(uint64)", "arguments": [f"{{now+{MAX_LATER_S + 1}}}"]}, "seconds from now"),
        ({"function": "f(uint64)", "arguments": ["{subject.address}"], "among": [USDC]}, "uint64 is wanted there"),
        ({"function": "f(bytes32)", "arguments": ["{incident+5}"]}, "takes seconds"),
        (
            {"arguments": [USDC], "undo": "f(address)", "undo_arguments": ["{subject.address}"]},
            "for a check or an undo",
        ),
        ({"arguments": [USDC], "undo": "f(address)", "undo_arguments": ["{argument.1}"]}, "has no argument 1"),
        ({"arguments": [USDC], "undo": "f(bytes32)", "undo_arguments": ["{argument.0}"]}, "bytes32 is wanted there"),
        ({"arguments": [USDC], "undo": "f(address)"}, "0 arguments where 1"),
    ],
)
def test_a_placeholder_that_cannot_be_is_refused_when_the_node_starts(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        config(**changes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"preset": "no-such"}, "is none of pausable"),
        ({"preset": "pausable", "function": "pause()"}, "says that already"),
        ({"preset": "pausable", "parameters": {"x": 1}}, "none is wanted"),
        ({"preset": "supply-cap"}, "market, cap is wanted"),
        ({"preset": "supply-cap", "parameters": {"market": "0x" + "0a" * 32, "cap": 0}}, "0 is no limit there"),
        ({"preset": "supply-cap", "parameters": {"market": "0x12", "cap": 5}}, "setSupplyCap"),
        ({"check": "level()(uint8)", "check_is": "high", "check_compare": "at-most"}, "check"),
        ({"check": "caps()(uint8,uint8)", "check_is": 1, "check_position": 2}, "check_position"),
        ({"kind": "safe-module", "safe": USDC, "module": DAI, "scope": 0}, "scope"),
        ({"kind": "safe-module", "safe": "USDC", "module": DAI, "scope": 1}, "safe"),
        (
            {"kind": "safe-module", "safe": USDC, "module": DAI, "scope": 1}
            | {"function": "f(string)", "arguments": ["x"], "check": ""},
            "whole words only",
        ),
        ({"kind": "safe-proposal", "safe": USDC, "folder": "desk", "check": ""}, "whether the Safe's owners"),
        ({"ends_after_minutes": 0}, "ends_after_minutes"),
        ({"preset": "pausable", "ends_after_minutes": 60}, "no such contract ends it by itself"),
        ({"preset": "expiring-pause", "parameters": {"seconds": 60}, "ends_after_minutes": 1}, "say that already"),
    ],
)
def test_a_bad_lever_is_refused_by_its_key(changes: dict[str, Any], why: str) -> None:
    base = {"kind": "evm", "name": "freeze", "target": POOL}
    with pytest.raises(ValidationError, match=why):
        HOOKS.validate_python(base | changes)


def test_an_incident_that_names_nothing_usable_makes_an_intent_that_is_refused() -> None:
    call = ContractCall(config(arguments=["{subject.address}"], among=[USDC]), GUARDIAN)
    assert call.encode(OCCASION) is None
    action = new_action(
        ledger=bytes(16),
        hook="freeze",
        target=POOL,
        arm_epoch=1,
        incident_id=OCCASION.incident_id,
        decision_id=OCCASION.decision_id,
        payload=b"",
        created_ms=0,
        deadline_ms=1,
    )
    assert str(call.refusal(action, 0)).startswith("the incident does not name one thing")


def test_the_end_of_a_pause_is_the_one_that_the_contract_is_given() -> None:
    base = {"kind": "evm", "name": "pause", "target": POOL}
    made = HOOKS.validate_python(base | {"preset": "expiring-pause", "parameters": {"seconds": 5_401}})
    assert made.ends_after_minutes == 91
    made = HOOKS.validate_python(
        base | {"preset": "breaker-trip", "parameters": {"asset": USDC}, "ends_after_minutes": 5}
    )
    assert made.ends_after_minutes == 5
    assert HOOKS.validate_python(base | {"preset": "pausable"}).ends_after_minutes is None
