"""`/tocsin/sync/1` between real hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from host_kit import Local, connected_hosts, id_of, running_host, seed_of
from libp2p.peer.id import ID
from libp2p_kit import raw_peer, send_until_dropped, uvarint
from tocsin_node.mesh import sync_stream
from tocsin_node.mesh.sync_stream import MAX_INBOUND_A_PEER, SYNC_PROTOCOL, SyncError, SyncStreams
from tocsin_protocol.sync import MAX_SYNC_REQUEST_BYTES, MAX_SYNC_RESPONSE_BYTES

Answer = Callable[[str, bytes], Awaitable[bytes]]


async def _echo(peer: str, request: bytes) -> bytes:
    await trio.lowlevel.checkpoint()
    return peer.encode() + b" asked " + request


@asynccontextmanager
async def _pair(answer: Answer) -> AsyncIterator[tuple[Local, SyncStreams, Local]]:
    async with connected_hosts(2) as (asker, answerer):
        streams = SyncStreams(asker.host, _echo)
        SyncStreams(answerer.host, answer)
        yield asker, streams, answerer


async def test_a_request_is_answered() -> None:
    async with _pair(_echo) as (asker, streams, answerer):
        answer = await streams.ask(answerer.host.peer_id, b"heads")
        assert answer == asker.host.peer_id.encode() + b" asked heads"


async def test_a_response_of_a_megabyte_passes_and_a_larger_one_does_not() -> None:
    async def answer(peer: str, request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"x" * int(request)

    async with _pair(answer) as (_, streams, answerer):
        for size in (1, MAX_SYNC_RESPONSE_BYTES):
            assert len(await streams.ask(answerer.host.peer_id, b"%d" % size)) == size
        with pytest.raises(SyncError, match="at most 1048576"):
            await streams.ask(answerer.host.peer_id, b"%d" % (MAX_SYNC_RESPONSE_BYTES + 1))


async def test_a_silent_peer_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_stream, "SYNC_SECONDS", 1.0)

    async def silence(peer: str, request: bytes) -> bytes:
        await trio.sleep_forever()
        return b""

    async with _pair(silence) as (_, streams, answerer):
        with pytest.raises(SyncError, match=r"no response|stream"):
            await streams.ask(answerer.host.peer_id, b"heads")


async def test_a_refused_request_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # longer than the test has
    monkeypatch.setattr(sync_stream, "SYNC_SECONDS", 600.0)

    async def refuse(peer: str, request: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        raise SyncError("no")

    async with _pair(refuse) as (_, streams, answerer):
        with trio.fail_after(60), pytest.raises(SyncError):
            await streams.ask(answerer.host.peer_id, b"heads")
        assert answerer.counters["sync-failed"] == 1


async def test_requests_of_one_peer_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # longer than the test has
    monkeypatch.setattr(sync_stream, "SYNC_SECONDS", 600.0)
    started, release = 0, trio.Event()

    async def wait(peer: str, request: bytes) -> bytes:
        nonlocal started
        started += 1
        await release.wait()
        return b"done"

    async with _pair(wait) as (_, streams, answerer), trio.open_nursery() as nursery:
        outcomes: list[str] = []

        async def ask() -> None:
            try:
                outcomes.append((await streams.ask(answerer.host.peer_id, b"x")).decode())
            except SyncError:
                outcomes.append("refused")

        for _ in range(MAX_INBOUND_A_PEER + 3):
            nursery.start_soon(ask)
        await answerer.wait_for(lambda: len(outcomes) == 3 and started == MAX_INBOUND_A_PEER)
        release.set()
        await answerer.wait_for(lambda: len(outcomes) == MAX_INBOUND_A_PEER + 3)
        assert sorted(outcomes) == ["done"] * MAX_INBOUND_A_PEER + ["refused"] * 3


async def test_nobody_is_asked_who_is_not_connected() -> None:
    async with running_host("a", ["b"]) as alone:
        streams = SyncStreams(alone.host, _echo)
        with pytest.raises(SyncError, match="not connected"):
            await streams.ask(id_of("b"), b"heads")


@pytest.mark.parametrize(
    "data",
    [
        uvarint(MAX_SYNC_REQUEST_BYTES + 1) + b"x" * 10,
        b"\xff\xff\xff\xff\xff",
        uvarint(2**40),
    ],
    ids=["too long", "endless length", "huge"],
)
async def test_a_malformed_request_ends_its_stream_only(data: bytes) -> None:
    async with running_host("a", ["b"]) as local, raw_peer(seed_of("b")) as peer:
        SyncStreams(local.host, _echo)
        await peer.connect(local.host.listen_addresses()[0], local.host.peer_id)
        stream = await peer.host.new_stream(ID.from_base58(local.host.peer_id), [SYNC_PROTOCOL])
        await send_until_dropped(stream, data)
        await local.wait_for(lambda: local.counters.get("sync-failed") == 1)
        assert peer.is_connected(local.host.peer_id)
