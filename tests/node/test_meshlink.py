"""The link between relay and mesh: what the relay takes from a mesh that lies."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tocsin_node.meshlink import (
    Admitted,
    Answered,
    HeartbeatSeen,
    LinkError,
    Published,
    Pulse,
    Ready,
    UseHeads,
    decode_message,
    encode_message,
)

_PREFIX_BYTES = 4
_SAMPLES = [
    Ready(["/ip4/127.0.0.1/tcp/1"]),
    Admitted("peer", [b"one"], [b"two"]),
    Published(1, 7),
    Pulse({"frames": 3}),
    Answered(1, b"response", ""),
    HeartbeatSeen("peer", b"beat"),
    UseHeads([[b"p" * 20, 1, 5]]),
]

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=8)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("message", _SAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_survives_the_link(message: object) -> None:
    assert decode_message(encode_message(message)[_PREFIX_BYTES:]) == message  # type: ignore[arg-type]


def _number(message: object) -> int:
    kind: int = msgpack.unpackb(encode_message(message)[_PREFIX_BYTES:])[0]  # type: ignore[arg-type]
    return kind


@pytest.mark.parametrize(
    "values",
    [
        [_number(Pulse({})), {"a": "x"}],
        [_number(Pulse({})), {"a": None}],
        [_number(Pulse({})), {"a": -1}],
        [_number(Pulse({})), {"a": 2**63}],
        {0: 9, 1: [1]},
        [_number(Admitted("", [], [])), "p", [5], []],
        [_number(Admitted("", [], [])), "p", [None], []],
        [_number(Published(0, 0)), 0, 2**63],
        [_number(Ready([])), [1]],
        [-1, {}],
        [True, []],
        [],
        7,
        None,
    ],
)
def test_a_lying_mesh_is_a_link_error(values: object) -> None:
    with pytest.raises(LinkError):
        decode_message(msgpack.packb(values))


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.integers(-2, 25), st.lists(_VALUES, max_size=4))
def test_any_values_decode_to_declared_types_or_are_a_link_error(kind: int, values: list[object]) -> None:
    try:
        message = decode_message(msgpack.packb([kind, *values]))
    except LinkError:
        return
    assert decode_message(encode_message(message)[_PREFIX_BYTES:]) == message


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.binary(max_size=64))
def test_garbage_is_a_link_error(data: bytes) -> None:
    try:
        decode_message(data)
    except LinkError:
        return
