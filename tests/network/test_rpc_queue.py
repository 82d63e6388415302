"""Gossip RPCs as bytes."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.pubsub.pb import rpc_pb2
from tocsin_node.mesh.hardening import MAX_RPC_BYTES, MalformedRpc
from tocsin_node.mesh.rpc_queue import (
    MAX_QUEUED_BYTES,
    MAX_QUEUED_RPCS,
    RESERVED_RPCS,
    OutgoingRpcs,
    Rank,
    RpcReader,
    encode_uvarint,
    frame_message,
    frame_rpc,
)


def _queue() -> OutgoingRpcs:
    return OutgoingRpcs(lambda: None)


@given(st.lists(st.binary(max_size=400), max_size=20), st.integers(1, 50))
def test_rpcs_survive_any_cutting_of_the_stream(rpcs: list[bytes], size: int) -> None:
    stream = b"".join(map(frame_rpc, rpcs))
    reader = RpcReader()
    read = [rpc for start in range(0, len(stream), size) for rpc in reader.feed(stream[start : start + size])]
    assert read == rpcs


@given(st.integers(0, 2**40))
def test_varints_are_protobufs(value: int) -> None:
    control = rpc_pb2.ControlPrune(backoff=value)
    assert control.SerializeToString() == (b"\x18" + encode_uvarint(value))


def test_a_message_framed_once_is_the_rpc_the_library_writes() -> None:
    message = rpc_pb2.Message(data=b"x" * 500, topicIDs=["t"])
    rpc = rpc_pb2.RPC(publish=[message]).SerializeToString()
    assert frame_message(message.SerializeToString()) == frame_rpc(rpc)


@pytest.mark.parametrize("prefix", [encode_uvarint(MAX_RPC_BYTES + 1), b"\xff\xff\xff\xff", b"\xff" * 10])
def test_a_length_out_of_bounds_is_refused_before_its_bytes_come(prefix: bytes) -> None:
    with pytest.raises(MalformedRpc):
        RpcReader().feed(prefix)


async def test_control_and_critical_overtake_and_many_go_in_one_write() -> None:
    queue = _queue()
    for n in range(3):
        queue.push(b"s%d" % n)
    for n in range(2):
        queue.push(b"u%d" % n, Rank.CRITICAL)
    queue.push(b"c", Rank.CONTROL)
    assert await queue.pop() == b"cu0u1s0s1s2"


@pytest.mark.parametrize("size", [1, 100_000])
async def test_a_flood_of_standard_never_drops_a_critical_frame(size: int) -> None:
    queue = _queue()
    while queue.push(b"s" * size):
        pass
    assert queue.push(b"u" * 100_000, Rank.CRITICAL)
    assert (await queue.pop()).startswith(b"u")
    while queue.push(b"u" * size, Rank.CRITICAL):
        pass
    assert len(queue) <= MAX_QUEUED_RPCS + RESERVED_RPCS
    assert not queue.push(b"s" * size)


async def test_a_write_is_bounded_but_never_empty() -> None:
    queue = _queue()
    for _ in range(3):
        queue.push(b"x" * 10)
    assert [len(await queue.pop(25)), len(await queue.pop(1))] == [20, 10]


async def test_a_slow_peers_queue_is_bounded() -> None:
    queue = _queue()
    pushed = sum(queue.push(b"x" * 100_000) for _ in range(200))
    assert pushed == MAX_QUEUED_BYTES // 100_000
    small = _queue()
    assert sum(small.push(b"x") for _ in range(MAX_QUEUED_RPCS + 10)) == MAX_QUEUED_RPCS
    await small.pop()
    assert small.push(b"x")


async def test_closing_wakes_the_writer(nursery: trio.Nursery) -> None:
    queue = _queue()
    got: list[bytes] = []

    async def take() -> None:
        got.append(await queue.pop())

    nursery.start_soon(take)
    await trio.testing.wait_all_tasks_blocked()
    queue.close()
    await trio.testing.wait_all_tasks_blocked()
    assert got == [b""]
    assert not queue.push(b"x")
