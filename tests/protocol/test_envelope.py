"""Envelopes and frames: every bit counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import DOMAIN, OTHER_NETWORK_ID, Feed, frame_of, make_signal
from strategies_kit import FIXED, garbage_or
from tocsin_protocol.body import encode_body
from tocsin_protocol.envelope import MAX_BODY_BYTES, MAX_ENVELOPE_BYTES, decode_envelope, seal_envelope
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.feed import is_valid_signature
from tocsin_protocol.frame import MAX_FRAME_BYTES, MAX_FRAME_ENVELOPES, decode_frame, encode_frame
from tocsin_protocol.signing import Domain

ALBA = Feed("alba")
FIRST = ALBA.seal(make_signal())


@FIXED
@given(st.integers(0, 8 * len(FIRST.encoded) - 1))
def test_any_flipped_bit_breaks_decoding_or_the_signature(bit: int) -> None:
    data = bytearray(FIRST.encoded)
    data[bit // 8] ^= 1 << bit % 8
    try:
        envelope = decode_envelope(DOMAIN, bytes(data))
    except DecodeError:
        return
    assert not is_valid_signature(envelope, ALBA.key)


@FIXED
@given(garbage_or(FIRST.encoded))
def test_garbage_raises_only_ours(data: bytes) -> None:
    try:
        assert decode_envelope(DOMAIN, data).encoded == data
    except DecodeError:
        return


@FIXED
@given(garbage_or(frame_of(FIRST)))
def test_a_frame_of_garbage_raises_only_ours(data: bytes) -> None:
    try:
        assert encode_frame(decode_frame(data)) == data
    except DecodeError:
        return


def test_another_network_is_another_signal() -> None:
    there = decode_envelope(Domain(OTHER_NETWORK_ID), FIRST.encoded)
    assert there.digest != FIRST.digest
    assert not is_valid_signature(there, ALBA.key)
    assert is_valid_signature(FIRST, ALBA.key)


def test_the_largest_body_fits_an_envelope() -> None:
    body = bytes(MAX_BODY_BYTES)
    envelope = seal_envelope(DOMAIN, ALBA.secret, ALBA.publisher, 1, 2**53 - 1, b"\x01" * 32, body)
    assert len(envelope.encoded) <= MAX_ENVELOPE_BYTES
    with pytest.raises(DecodeError):
        seal_envelope(DOMAIN, ALBA.secret, ALBA.publisher, 1, 1, bytes(32), body + b"\x00")


@pytest.mark.parametrize(
    ("lane", "sequence", "previous"),
    [(2, 1, bytes(32)), (-1, 1, bytes(32)), (0, 0, bytes(32)), (0, -1, bytes(32)), (0, 2**53, b"\x01" * 32)],
)
def test_no_envelope_is_sealed_out_of_bounds(lane: int, sequence: int, previous: bytes) -> None:
    with pytest.raises(DecodeError):
        seal_envelope(DOMAIN, ALBA.secret, ALBA.publisher, lane, sequence, previous, encode_body(make_signal()))


@pytest.mark.parametrize(("sequence", "previous"), [(1, b"\x01" * 32), (2, bytes(32)), (2, b"\x01" * 31)])
def test_only_the_first_signal_has_no_predecessor(sequence: int, previous: bytes) -> None:
    with pytest.raises(DecodeError):
        seal_envelope(DOMAIN, ALBA.secret, ALBA.publisher, 0, sequence, previous, encode_body(make_signal()))


def test_frames_are_bounded_in_number_and_bytes() -> None:
    assert len(decode_frame(encode_frame([FIRST.encoded] * MAX_FRAME_ENVELOPES))) == MAX_FRAME_ENVELOPES
    for envelopes in ([], [b"x"] * (MAX_FRAME_ENVELOPES + 1), [bytes(MAX_FRAME_BYTES)]):
        with pytest.raises(DecodeError):
            encode_frame(envelopes)
    with pytest.raises(DecodeError):
        decode_frame(bytes(MAX_FRAME_BYTES + 1))
