"""Our Yamux against the library's and against garbage, over an in-memory pipe."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import (
    MuxedConnUnavailable,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
)
from libp2p.stream_muxer.yamux.yamux import Yamux as StockYamux
from tocsin_node.mesh.yamux import HEADER, MAX_INBOUND_STREAMS, BufferedYamux
from tocsin_node.mesh.yamux_stream import (
    ACK,
    DATA,
    GO_AWAY,
    MAX_READ_BYTES,
    PING,
    RST,
    SYN,
    WINDOW_BYTES,
    WINDOW_UPDATE,
)

PEER = ID(b"\x00\x01x")


class Pipe:
    """One end of a connection; stands where the secured connection stands."""

    def __init__(self, stream: trio.StapledStream, is_initiator: bool) -> None:
        self.stream = stream
        self.is_initiator = is_initiator
        self.writes = 0

    async def read(self, n: int | None = None) -> bytes:
        try:
            data = bytes(await self.stream.receive_some(n))
        except trio.ClosedResourceError:
            data = b""
        if not data:
            raise ConnectionClosedError("closed")
        return data

    async def write(self, data: bytes) -> None:
        self.writes += 1
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise ConnectionClosedError("closed") from exc

    async def close(self) -> None:
        await self.stream.aclose()

    def get_remote_address(self) -> tuple[str, int]:
        return "127.0.0.1", 1


@asynccontextmanager
async def _pair(left: Any = BufferedYamux, right: Any = BufferedYamux) -> AsyncIterator[tuple[Any, Any]]:
    one, other = trio.testing.memory_stream_pair()
    conns = [left(Pipe(one, True), PEER), right(Pipe(other, False), PEER)]
    async with trio.open_nursery() as nursery:
        for conn in conns:
            nursery.start_soon(conn.start)
            await conn.event_started.wait()
        yield conns[0], conns[1]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _against_raw() -> AsyncIterator[tuple[BufferedYamux, trio.StapledStream]]:
    one, other = trio.testing.memory_stream_pair()
    conn = BufferedYamux(Pipe(one, False), PEER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conn.start)
        await conn.event_started.wait()
        yield conn, other
        nursery.cancel_scope.cancel()


async def _read(stream: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.read(count - len(data))
    return data


@pytest.mark.parametrize(
    ("left", "right"),
    [(BufferedYamux, BufferedYamux), (BufferedYamux, StockYamux), (StockYamux, BufferedYamux)],
    ids=["ours", "ours dials stock", "stock dials ours"],
)
async def test_megabytes_pass_both_ways_beyond_the_window(left: Any, right: Any) -> None:
    data = secrets.token_bytes(5 * WINDOW_BYTES // 2)
    with trio.fail_after(60):
        async with _pair(left, right) as (dialler, listener):
            opened = await dialler.open_stream()
            await opened.write(b"hello")
            accepted = await listener.accept_stream()
            assert await _read(accepted, 5) == b"hello"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(opened.write, data)
                nursery.start_soon(accepted.write, data)
                assert await _read(accepted, len(data)) == data
                assert await _read(opened, len(data)) == data
            await opened.close()
            with pytest.raises(MuxedStreamEOF):
                await accepted.read(1)
            await accepted.write(b"last words")
            assert await _read(opened, 10) == b"last words"


async def test_many_streams_share_one_write() -> None:
    async with _pair() as (dialler, listener):
        streams = [await dialler.open_stream() for _ in range(20)]
        dialler.secured_conn.writes = 0
        async with trio.open_nursery() as nursery:
            for number, stream in enumerate(streams):
                nursery.start_soon(stream.write, b"%02d" % number)
        accepted = [await listener.accept_stream() for _ in streams]
        assert [await _read(stream, 2) for stream in accepted] == [b"%02d" % n for n in range(20)]
        assert dialler.secured_conn.writes <= 2


async def test_window_updates_go_out_past_half_the_window_only() -> None:
    async with _pair() as (dialler, listener):
        opened = await dialler.open_stream()
        await opened.write(b"x")
        accepted = await listener.accept_stream()
        await accepted.read(1)
        await trio.testing.wait_all_tasks_blocked()
        listener.secured_conn.writes = 0
        for _ in range(100):
            await opened.write(b"x" * 1000)
            await _read(accepted, 1000)
        assert listener.secured_conn.writes == 0
        await opened.write(b"x" * 40_000)
        await _read(accepted, 40_000)
        await trio.testing.wait_all_tasks_blocked()
        assert listener.secured_conn.writes == 1


async def test_a_reader_that_stops_holds_its_writer_only() -> None:
    async with _pair() as (dialler, listener):
        held, free = await dialler.open_stream(), await dialler.open_stream()
        with trio.move_on_after(0.2):
            await held.write(b"x" * (2 * WINDOW_BYTES))
            pytest.fail("more than the window was taken")
        await free.write(b"free")
        await listener.accept_stream()
        assert await _read(await listener.accept_stream(), 4) == b"free"


async def test_a_reset_is_told_to_both_ends() -> None:
    async with _pair() as (dialler, listener):
        opened = await dialler.open_stream()
        await opened.write(b"x")
        accepted = await listener.accept_stream()
        await accepted.reset()
        with pytest.raises(MuxedStreamReset):
            await _read(opened, 10)
        with pytest.raises(MuxedStreamReset):
            await opened.write(b"x")
        assert not dialler.streams
        assert not listener.streams


async def test_a_closed_stream_takes_no_more() -> None:
    async with _pair() as (dialler, _):
        opened = await dialler.open_stream()
        await opened.close()
        with pytest.raises(MuxedStreamError):
            await opened.write(b"x")


async def test_the_end_of_the_connection_wakes_everybody() -> None:
    async with _pair() as (dialler, listener):
        opened = await dialler.open_stream()
        await opened.write(b"x")
        accepted = await listener.accept_stream()
        await accepted.read(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect, MuxedStreamReset, accepted.read, 1)
            nursery.start_soon(_expect, MuxedConnUnavailable, listener.accept_stream)
            await trio.testing.wait_all_tasks_blocked()
            await dialler.close()
        assert listener.is_closed
        with pytest.raises(MuxedConnUnavailable):
            await listener.open_stream()


async def _expect(kind: type[Exception], call: Any, *args: object) -> None:
    with pytest.raises(kind):
        await call(*args)


async def test_streams_a_peer_may_open_are_bounded() -> None:
    async with _against_raw() as (conn, raw):
        for number in range(MAX_INBOUND_STREAMS + 1):
            await raw.send_all(HEADER.pack(0, WINDOW_UPDATE, SYN, 2 * number + 1, 0))
        answers = b""
        while len(answers) < 12 * (MAX_INBOUND_STREAMS + 1):
            answers += await raw.receive_some()
        flags = [HEADER.unpack_from(answers, at)[2] for at in range(0, len(answers), 12)]
        assert flags == [ACK] * MAX_INBOUND_STREAMS + [RST]
        assert not conn.is_closed


async def test_nobody_reads_what_length_a_peer_claims() -> None:
    async with _pair() as (dialler, _):
        stream = await dialler.open_stream()
        with pytest.raises(MuxedStreamError, match="claimed"):
            await stream.read(MAX_READ_BYTES + 1)


async def test_a_ping_is_answered() -> None:
    async with _against_raw() as (_, raw):
        await raw.send_all(HEADER.pack(0, PING, SYN, 0, 77))
        assert HEADER.unpack(await raw.receive_some()) == (0, PING, ACK, 0, 77)


GARBAGE = SimpleNamespace(
    version=HEADER.pack(1, DATA, 0, 1, 0),
    kind=HEADER.pack(0, 9, 0, 1, 0),
    go_away=HEADER.pack(0, GO_AWAY, 0, 0, 0),
    our_id=HEADER.pack(0, WINDOW_UPDATE, SYN, 2, 0),
    twice=HEADER.pack(0, WINDOW_UPDATE, SYN, 1, 0) * 2,
    beyond_window=HEADER.pack(0, WINDOW_UPDATE, SYN, 1, 0) + HEADER.pack(0, DATA, 0, 1, WINDOW_BYTES + 1),
    huge=HEADER.pack(0, DATA, 0, 99, 2**32 - 1),
    pings=HEADER.pack(0, PING, SYN, 0, 0) * 100_000,
    streams=b"".join(HEADER.pack(0, WINDOW_UPDATE, SYN, 2 * n + 1, 0) for n in range(100_000)),
    streams_given_up=b"".join(HEADER.pack(0, WINDOW_UPDATE, SYN | RST, 2 * n + 1, 0) for n in range(100_000)),
)


@pytest.mark.parametrize("name", vars(GARBAGE))
async def test_garbage_ends_the_connection_and_nothing_else(name: str) -> None:
    async with _against_raw() as (conn, raw):
        with trio.fail_after(60):
            try:
                await raw.send_all(getattr(GARBAGE, name))
            except trio.BrokenResourceError:
                assert conn.is_closed
            await conn.event_closed.wait()


async def test_data_for_a_forgotten_stream_is_skipped() -> None:
    async with _against_raw() as (conn, raw):
        await raw.send_all(HEADER.pack(0, DATA, 0, 99, 5) + b"12345" + HEADER.pack(0, PING, SYN, 0, 1))
        assert HEADER.unpack(await raw.receive_some()) == (0, PING, ACK, 0, 1)
        assert not conn.is_closed
