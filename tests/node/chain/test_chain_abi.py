from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tocsin_node.chain.abi import decode_result, decode_revert, encode_call, parse_function
from tocsin_node.chain.errors import AbiError


@pytest.mark.parametrize(
    ("signature", "selector"),
    [
        ("pause()", "8456cb59"),
        ("paused()(bool)", "5c975abb"),
        ("transfer(address,uint256)", "a9059cbb"),
        ("transfer(address, uint)", "a9059cbb"),
        ("balanceOf(address)(uint256)", "70a08231"),
    ],
)
def test_a_signature_has_the_well_known_selector(signature: str, selector: str) -> None:
    assert parse_function(signature).selector.hex() == selector


@pytest.mark.parametrize(
    "text", ["", "pause", "pause(", "1pause()", "f(tuple)", "f(address,)", "f((uint256))", "f()()()"]
)
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(AbiError):
        parse_function(text)


def test_too_many_types_are_refused() -> None:
    with pytest.raises(AbiError, match="more than 16"):
        parse_function(f"f({','.join(['bool'] * 17)})")


@pytest.mark.parametrize(
    ("signature", "arguments", "calldata"),
    [
        ("pause()", [], "8456cb59"),
        ("setCap(uint256)", ["0x10"], "47786d37" + "10".rjust(64, "0")),
        ("setCap(uint256)", [16], "47786d37" + "10".rjust(64, "0")),
        ("freeze(bytes32)", ["0x" + "11" * 32], "ae28e829" + "11" * 32),
    ],
)
def test_arguments_are_encoded(signature: str, arguments: list[Any], calldata: str) -> None:
    encoded = encode_call(parse_function(signature), arguments)
    assert encoded[4:].hex() == calldata[8:]


@pytest.mark.parametrize(
    ("signature", "arguments"),
    [
        ("pause()", [1]),
        ("f(uint8)", [256]),
        ("f(uint256)", [-1]),
        ("f(uint256)", ["ten"]),
        ("f(address)", ["0x1234"]),
        ("f(bytes4)", ["0xzz"]),
        ("f(bool)", ["true"]),
    ],
)
def test_arguments_that_do_not_fit_are_refused(signature: str, arguments: list[Any]) -> None:
    with pytest.raises(AbiError):
        encode_call(parse_function(signature), arguments)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", None),
        ("d93c", None),
        ("d93c0665", "0xd93c0665"),
        ("deadbeef", "0xdeadbeef"),
        (
            "08c379a0" + "20".rjust(64, "0") + "06".rjust(64, "0") + b"paused".hex().ljust(64, "0"),
            "paused",
        ),
        ("4e487b71" + "11".rjust(64, "0"), "panic 0x11"),
        ("08c379a0" + "ff" * 32, "0x08c379a0"),
    ],
)
def test_a_revert_is_decoded_as_far_as_it_goes(data: str, reason: str | None) -> None:
    assert decode_revert(bytes.fromhex(data)) == reason


@given(st.binary(max_size=200))
def test_garbage_raises_only_our_own_error(data: bytes) -> None:
    decode_revert(data)
    with suppress(AbiError):
        decode_result(parse_function("f()(address,string,uint256[])"), data)
