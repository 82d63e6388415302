"""Anchors: one spelling, strictly read, of one log, one size and one root."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
import vectors_log
from hypothesis import given
from hypothesis import strategies as st
from log_kit import ORIGIN
from tocsin_protocol.errors import DecodeError, ProofError
from tocsin_protocol.log.anchor import (
    ANCHOR_BYTES,
    ANCHOR_MAGIC,
    Anchor,
    decode_anchor,
    encode_anchor,
    verify_anchor,
)
from tocsin_protocol.log.checkpoint import Checkpoint
from tocsin_protocol.log.tree import EMPTY_ROOT
from vector_kit import check_names

ROOT = b"\x11" * 32
HEAD = Checkpoint(ORIGIN, 70_000, ROOT)
DATA = encode_anchor(HEAD)


def test_an_anchor_is_magic_origin_size_and_root() -> None:
    origin_hash = sha256(ORIGIN.encode()).digest()
    assert encode_anchor(HEAD) == b"tocsin\0\1" + origin_hash + (70_000).to_bytes(8, "big") + ROOT
    assert len(DATA) == ANCHOR_BYTES


@given(st.integers(1, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_what_is_encoded_is_read_back(size: int, root: bytes) -> None:
    anchor = decode_anchor(encode_anchor(Checkpoint(ORIGIN, size, root)))
    assert anchor == Anchor(sha256(ORIGIN.encode()).digest(), size, root)
    verify_anchor(anchor, ORIGIN, size, root)


@pytest.mark.parametrize("head", [Checkpoint(ORIGIN, 0, EMPTY_ROOT), Checkpoint(ORIGIN, 2**53, ROOT)])
def test_a_log_without_entries_or_with_too_many_is_not_anchored(head: Checkpoint) -> None:
    with pytest.raises(ProofError, match=f"a log of {head.size} entries"):
        encode_anchor(head)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes where 80 are wanted"),
        (DATA[:-1], "79 bytes"),
        (DATA + b"\0", "81 bytes"),
        (b"\0" + DATA[1:], "begins with"),
        (b"tocsin\0\2" + DATA[8:], "begins with 746f6373696e0002"),
        (DATA[:40] + bytes(8) + ROOT, "size of an anchor is 0"),
        (DATA[:40] + (2**53).to_bytes(8, "big") + ROOT, "size of an anchor is 9007199254740992"),
    ],
)
def test_anything_else_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode_anchor(data)


@given(st.binary(max_size=200))
def test_garbage_raises_our_own_error_alone(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_anchor(data)


@pytest.mark.parametrize("bit", range(8 * len(ANCHOR_MAGIC), 8 * ANCHOR_BYTES, 7))
def test_any_bit_that_is_flipped_is_found(bit: int) -> None:
    data = bytearray(DATA)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises((DecodeError, ProofError)):
        verify_anchor(decode_anchor(bytes(data)), ORIGIN, HEAD.size, HEAD.root)


def test_what_is_wrong_is_named() -> None:
    anchor = decode_anchor(DATA)
    with pytest.raises(ProofError, match="not of the log other"):
        verify_anchor(anchor, "other", HEAD.size, ROOT)
    with pytest.raises(ProofError, match="of 70000 entries where 7 are told"):
        verify_anchor(anchor, ORIGIN, 7, ROOT)
    with pytest.raises(ProofError, match="the anchored root of 70000 entries is 1111"):
        verify_anchor(anchor, ORIGIN, HEAD.size, b"\x22" * 32)


def check_vector(case: dict[str, Any]) -> None:
    anchor = decode_anchor(bytes.fromhex(case["data"]))
    verify_anchor(anchor, case["origin"], case["size"], bytes.fromhex(case["root"]))


def cases_of(key: str) -> list[Any]:
    cases = vectors_log.anchor()[key]
    check_names(cases)
    return [pytest.param(case, id=case["name"]) for case in cases]


@pytest.mark.parametrize("case", cases_of("valid"))
def test_a_vector_holds(case: dict[str, Any]) -> None:
    check_vector(case)


@pytest.mark.parametrize("case", cases_of("invalid"))
def test_a_vector_does_not_hold(case: dict[str, Any]) -> None:
    with pytest.raises((DecodeError, ProofError)):
        check_vector(case)
