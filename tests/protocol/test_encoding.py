"""One value, one spelling; garbage costs nothing and raises only our own error."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_kit import FIXED, garbage_or, values
from tocsin_protocol.encoding import MAX_DEPTH, MAX_ITEMS, MAX_UINT, decode_canonical, encode_canonical
from tocsin_protocol.errors import DecodeError, SpellingError, TruncatedError

LIMIT = 1 << 20


@FIXED
@given(values)
def test_round_trip_keeps_value_and_kind(value: Any) -> None:
    decoded = decode_canonical(encode_canonical(value), max_bytes=LIMIT)
    assert decoded == value
    assert kinds(decoded) == kinds(value)


def kinds(value: Any) -> Any:
    """The kinds inside a value, in which True is not 1; maps in key order."""
    if isinstance(value, dict):
        return [(key, kinds(value[key])) for key in sorted(value)]
    if isinstance(value, list):
        return [kinds(item) for item in value]
    return type(value).__name__


@FIXED
@given(st.dictionaries(st.text(max_size=5).filter(lambda t: t.isprintable()), st.integers(0, 9), max_size=6))
def test_equal_maps_have_equal_bytes_in_any_order(value: dict[str, int]) -> None:
    assert encode_canonical(dict(reversed(value.items()))) == encode_canonical(value)


@FIXED
@given(garbage_or(encode_canonical({"a": [1, b"x", True], "b": {"c": "text"}})))
def test_what_decodes_is_canonical_and_the_rest_raises_ours(data: bytes) -> None:
    try:
        value = decode_canonical(data, max_bytes=LIMIT)
    except DecodeError:
        return
    assert encode_canonical(value) == data


@FIXED
@given(values)
def test_every_beginning_is_truncated(value: Any) -> None:
    data = encode_canonical(value)
    for length in range(len(data)):
        with pytest.raises(TruncatedError):
            decode_canonical(data[:length], max_bytes=LIMIT)


@FIXED
@given(values, st.binary(min_size=1, max_size=3))
def test_nothing_follows_a_value(value: Any, more: bytes) -> None:
    with pytest.raises(SpellingError):
        decode_canonical(encode_canonical(value) + more, max_bytes=LIMIT)


@FIXED
@given(st.recursive(st.one_of(st.none(), st.floats(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=3)), st.lists))
def test_other_peoples_msgpack_is_refused_or_the_same(value: Any) -> None:
    data = msgpack.packb(value)
    try:
        assert encode_canonical(decode_canonical(data, max_bytes=LIMIT)) == data
    except DecodeError:
        assert has_foreign_kind(value)


def has_foreign_kind(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) > MAX_ITEMS or any(map(has_foreign_kind, value)) or depth(value) > MAX_DEPTH
    if isinstance(value, int):
        return not 0 <= value <= MAX_UINT
    return not isinstance(value, str)


def depth(value: Any) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@pytest.mark.parametrize(
    "value",
    [
        -1,
        MAX_UINT + 1,
        2**70,
        1.0,
        None,
        {1: 2},
        {1: 1, "a": 2},
        {b"a": 1},
        {"a": None},
        {1},
        object(),
        "\ud800",
        bytearray(),
    ],
)
def test_what_has_no_spelling_is_not_encoded(value: Any) -> None:
    with pytest.raises(DecodeError):
        encode_canonical(value)


def test_the_encoder_refuses_what_the_decoder_would() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert decode_canonical(encode_canonical(deep), max_bytes=LIMIT) == deep
    for deeper in ([deep], {"a": deep}):
        with pytest.raises(DecodeError):
            encode_canonical(deeper)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(DecodeError):
        encode_canonical(endless)


def test_too_many_bytes_are_refused_unread() -> None:
    with pytest.raises(DecodeError, match="4 bytes where at most 3"):
        decode_canonical(b"\xc1\xc1\xc1\xc1", max_bytes=3)


def test_lists_are_bounded_by_the_message() -> None:
    three = encode_canonical([1, 2, 3])
    assert decode_canonical(three, max_bytes=LIMIT, max_items=3) == [1, 2, 3]
    with pytest.raises(DecodeError):
        decode_canonical(three, max_bytes=LIMIT, max_items=2)
    with pytest.raises(DecodeError):
        decode_canonical(encode_canonical([0] * (MAX_ITEMS + 1)), max_bytes=LIMIT)


def bombs() -> Iterator[bytes]:
    """Bytes that promise far more than they hold."""
    for announced in (15, 255, 4095, 65535):
        for head in (b"\xdc" + announced.to_bytes(2, "big"), b"\xdd" + announced.to_bytes(4, "big")):
            yield head * 1020 + bytes(announced)
            yield head * 5000
    yield b"\x91" * 100_000
    yield b"\x81\xa1a" * 30_000
    yield b"\xdf\xff\xff\xff\xff" * 1000
    yield b"\xdd\xff\xff\xff\xff"
    yield b"\xdb\xff\xff\xff\xff"
    yield b"\xc6\xff\xff\xff\xff"


@pytest.mark.parametrize("bomb", list(bombs()), ids=lambda bomb: f"{bomb[:6].hex()}-{len(bomb)}")
def test_a_nest_of_long_promises_takes_little_memory(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            decode_canonical(bomb, max_bytes=LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024 + 4 * len(bomb)


def test_an_error_does_not_repeat_a_long_key() -> None:
    with pytest.raises(DecodeError) as caught:
        decode_canonical(msgpack.packb({"b" * 5000: 1, "a" * 5000: 2}), max_bytes=LIMIT)
    assert len(str(caught.value)) < 200
