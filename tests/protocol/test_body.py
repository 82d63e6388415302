"""Bodies: what is encoded decodes to the same, and what is out of bounds is named."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import NOW_MS, make_signal, make_standard
from strategies_kit import FIXED, garbage_or, signals, values
from tocsin_protocol.body import decode_body, encode_body
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.envelope import MAX_BODY_BYTES
from tocsin_protocol.errors import DecodeError, TruncatedError
from tocsin_protocol.model import Evidence, Loss, Signal
from tocsin_protocol.taxonomy import CRITICAL, STANDARD, EvidenceKind, Severity

_FIELDS: dict[str, Any] = decode_canonical(encode_body(make_signal()), max_bytes=MAX_BODY_BYTES)


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
    decode_canonical(data, max_bytes=MAX_BODY_BYTES)


@FIXED
@given(st.sampled_from(sorted(_FIELDS)), values)
def test_a_field_of_another_kind_is_refused_or_written_back_the_same(field: str, value: Any) -> None:
    data = encode_canonical({**_FIELDS, field: value})
    try:
        signal = decode_body(data)
    except DecodeError:
        return
    assert encode_body(signal) == data


@pytest.mark.parametrize("left_out", [("cause",), ("detector", "incident", "text"), ("detector", "text")], ids=str)
def test_optional_fields_that_are_left_out_come_back_as_nothing(left_out: tuple[str, ...]) -> None:
    data = encode_canonical({key: value for key, value in _FIELDS.items() if key not in left_out})
    signal = decode_body(data)
    assert encode_body(signal) == data
    assert {key for key in ("cause", "detector", "incident", "text") if not getattr(signal, key)} == {
        "cause",
        *left_out,
    }


@pytest.mark.parametrize(
    ("announced", "reason"),
    [
        (b"\x81\xa8evidence\xdd\xff\xff\xff\xff", TruncatedError),
        (b"\x81\xa8subjects\xdd\xff\xff\xff\xff", TruncatedError),
        (b"\x81\xa4text\xdb\xff\xff\xff\xff", TruncatedError),
        (b"\xdf\xff\xff\xff\xff", TruncatedError),
        (b"\x91" * MAX_BODY_BYTES, DecodeError),
        (b"", TruncatedError),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else None,
)
def test_an_announced_length_gets_no_room_before_it_is_checked(announced: bytes, reason: type[DecodeError]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(reason):
            decode_body(announced)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


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
