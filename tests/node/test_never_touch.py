"""What no hook may act on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tocsin_node.chain.abi import encode_call, parse_function
from tocsin_node.hooks.config import EvmHookConfig
from tocsin_node.hooks.message_config import WebhookHookConfig
from tocsin_node.never_touch import NeverTouch, own_addresses

VAULT = "eip155:1:0x" + "11" * 20
TREASURY = "0x" + "22" * 20
GUARDIAN = "0x" + "9a" * 20
PAUSE = encode_call(parse_function("pause()"))
PAUSE_SELECTOR = "0x8456cb59"


def never(*listed: str) -> NeverTouch:
    return NeverTouch(frozenset(listed), frozenset({GUARDIAN}))


def freeze(address: str) -> bytes:
    return encode_call(parse_function("freeze(address,uint64)"), [address, 7])


def evm(**changes: Any) -> EvmHookConfig:
    return EvmHookConfig(**({"kind": "evm", "name": "lever", "target": VAULT, "check": ""} | changes))


@pytest.mark.parametrize(
    ("listed", "target", "payload", "why"),
    [
        ((VAULT,), VAULT, PAUSE, "is on the never-touch list"),
        ((VAULT,), f"{VAULT} 0123456789ab", PAUSE, "is on the never-touch list"),
        ((), f"eip155:10:{GUARDIAN}", PAUSE, "an address of our own"),
        ((PAUSE_SELECTOR,), VAULT, PAUSE, "the function 0x8456cb59"),
        ((f"eip155:1:{TREASURY}",), VAULT, freeze(TREASURY), f"it names {TREASURY}"),
        ((), VAULT, freeze(GUARDIAN), f"it names {GUARDIAN}"),
        (("on-call",), "on-call", b"{}", "on-call is on the never-touch list"),
        # a call that a Safe's module carries: scope, then the call as bytes
        (
            (PAUSE_SELECTOR,),
            VAULT,
            encode_call(parse_function("run(address,bytes)"), ["0x" + "33" * 20, "0x" + PAUSE.hex()]),
            "the function 0x8456cb59",
        ),
    ],
)
def test_what_is_listed_is_barred(listed: tuple[str, ...], target: str, payload: bytes, why: str) -> None:
    assert why in str(never(*listed).bars(target, payload))


@pytest.mark.parametrize(
    ("listed", "target", "payload"),
    [
        ((), VAULT, PAUSE),
        (("eip155:10:" + TREASURY,), VAULT, freeze(TREASURY)),  # another chain's account
        (("0xdeadbeef",), VAULT, PAUSE),
        ((f"eip155:1:{TREASURY}",), "on-call", TREASURY.encode()),  # a message may tell of it
    ],
)
def test_what_is_not_listed_is_free(listed: tuple[str, ...], target: str, payload: bytes) -> None:
    assert never(*listed).bars(target, payload) is None


def test_a_hook_that_could_never_act_is_found_when_the_config_is_read() -> None:
    assert never().fault_of(evm()) is None
    assert "never-touch" in str(never(VAULT).fault_of(evm()))
    assert "pause()" in str(never(PAUSE_SELECTOR).fault_of(evm()))
    assert "of our own" in str(never().fault_of(evm(target="eip155:1:" + GUARDIAN)))
    named = evm(function="freeze(address,uint64)", arguments=[TREASURY, 7])
    assert TREASURY in str(never("eip155:1:" + TREASURY).fault_of(named))
    among = evm(function="freeze(address)", arguments=["{subject.address}"], among=[GUARDIAN])
    assert GUARDIAN in str(never().fault_of(among))


def test_a_message_is_barred_by_its_target_alone() -> None:
    webhook = WebhookHookConfig(
        kind="webhook", name="page", target="on-call", url="https://pager.example.org/", secret_file=Path("secret")
    )
    assert never(PAUSE_SELECTOR, VAULT).fault_of(webhook) is None
    assert "on-call" in str(never("on-call").fault_of(webhook))


def test_own_addresses_have_one_spelling() -> None:
    assert own_addresses("0x" + "AB" * 20, b"\x01" * 20) == {"0x" + "ab" * 20, "0x" + "01" * 20}
