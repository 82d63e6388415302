"""Bodies: what is encoded decodes to the same, and what is out of bounds is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import NOW_MS, make_signal, make_standard
from strategies_kit import FIXED, garbage_or, signals
from tocsin_protocol.body import decode_body, encode_body
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.model import Evidence, Loss, Signal
from tocsin_protocol.taxonomy import CRITICAL, STANDARD, EvidenceKind, Severity


@FIXED
@given(signals())
def test_round_trip(signal: Signal) -> None:
    body = encode_body(signal)
    assert decode_body(body) == signal
    assert encode_body(decode_body(body)) == body


@FIXED
@given(garbage_or(encode_body(make_signal())))
def test_garbage_raises_only_ours(data: bytes) -> None:
    try:
        signal = decode_body(data)
    except DecodeError:
        return
    assert encode_body(signal) == data


@FIXED
@given(st.integers(0, 8 * len(encode_body(make_signal())) - 1))
def test_a_flipped_bit_changes_the_signal_or_breaks_it(bit: int) -> None:
    data = bytearray(encode_body(make_signal()))
    data[bit // 8] ^= 1 << bit % 8
    try:
        assert decode_body(bytes(data)) != make_signal()
    except DecodeError:
        return


@pytest.mark.parametrize(
    "changes",
    [
        {"confidence": 101},
        {"confidence": -1},
        {"credibility": 0},
        {"tier": 5},
        {"expires_ms": NOW_MS},
        {"subjects": ()},
        {"subjects": make_signal().subjects[::-1]},
        {"subjects": make_signal().subjects[:1] * 2},
        {"text": "x" * 4097},
        {"text": "\ud800"},
        {"text": "bell\x07"},
        {"incident": "two\nlines"},
        {"loss": Loss(-1, 0, 0)},
        {"detected_ms": 1.5},
        {"evidence": (Evidence(EvidenceKind.LOG, "eip155:1", 1, "", ""),)},
        {"drill": 1},
    ],
    ids=str,
)
def test_a_signal_out_of_bounds_is_not_encoded(changes: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        encode_body(make_signal(**changes))


def test_severity_decides_the_lane() -> None:
    assert make_signal().lane == CRITICAL
    for severity in (Severity.LOW, Severity.MEDIUM, Severity.HIGH):
        assert make_standard(severity=severity).lane == STANDARD
    assert [severity.rank for severity in Severity] == [0, 1, 2, 3]


def test_the_largest_body_decodes_and_one_more_does_not() -> None:
    evidence = Evidence(EvidenceKind.LOG, "eip155:1", 1, "r" * 256, "d" * 256)
    signal = make_signal(evidence=(evidence,) * 23, text="x")
    room = 16_384 - len(encode_body(signal))
    assert 0 < room < 4_000
    longest = make_signal(evidence=(evidence,) * 23, text="x" * (room - 1))
    assert len(encode_body(longest)) == 16_384
    assert decode_body(encode_body(longest)) == longest
    with pytest.raises(DecodeError):
        encode_body(make_signal(evidence=(evidence,) * 23, text="x" * room))
