"""Our Noise session against the library's, over an in-memory pipe."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.security.noise.transport import Transport as StockNoise
from mesh_kit import secret_of
from tocsin_node.mesh.session import BufferedNoise, BufferedSession


class Wire:
    """One end of a connection that counts reads and may change what it carries."""

    def __init__(self, stream: trio.StapledStream) -> None:
        self.stream = stream
        self.reads = 0

    async def read(self, n: int | None = None) -> bytes:
        self.reads += 1
        return bytes(await self.stream.receive_some(n))

    async def write(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def close(self) -> None:
        await self.stream.aclose()

    def get_remote_address(self) -> tuple[str, int]:
        return "127.0.0.1", 1


def _noise(kind: Any, name: str) -> Any:
    return kind(create_new_key_pair(secret_of(name)), noise_privkey=create_noise_key_pair().private_key)


@asynccontextmanager
async def _sessions(left: Any = BufferedNoise, right: Any = BufferedNoise) -> AsyncIterator[tuple[Any, Any, Wire]]:
    wires = [Wire(stream) for stream in trio.testing.memory_stream_pair()]
    raws = [RawConnection(wire, number == 0) for number, wire in enumerate(wires)]
    made: dict[str, Any] = {}

    async def listen() -> None:
        made["listener"] = await _noise(right, "listener").secure_inbound(raws[1])

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            peer = ID.from_pubkey(create_new_key_pair(secret_of("listener")).public_key)
            made["dialler"] = await _noise(left, "dialler").secure_outbound(raws[0], peer)
        yield made["dialler"], made["listener"], wires[1]


async def _read(session: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await session.read(count - len(data))
    return data


@pytest.mark.parametrize(
    ("left", "right"),
    [(BufferedNoise, BufferedNoise), (BufferedNoise, StockNoise), (StockNoise, BufferedNoise)],
    ids=["ours", "ours dials stock", "stock dials ours"],
)
async def test_bytes_pass_both_ways(left: Any, right: Any) -> None:
    data = secrets.token_bytes(200_000)
    async with _sessions(left, right) as (dialler, listener, _):
        for sender, receiver in ((dialler, listener), (listener, dialler)):
            for piece in (b"x", data[:60_000]):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(sender.write, piece)
                    assert await _read(receiver, len(piece)) == piece


async def test_more_than_a_noise_message_passes_in_one_write() -> None:
    data = secrets.token_bytes(300_000)
    async with _sessions() as (dialler, listener, _), trio.open_nursery() as nursery:
        nursery.start_soon(dialler.write, data)
        assert await _read(listener, len(data)) == data


async def test_many_messages_are_read_at_once() -> None:
    async with _sessions() as (dialler, listener, wire):
        for n in range(100):
            await dialler.write(b"%03d" % n)
        wire.reads = 0
        assert await _read(listener, 300) == b"".join(b"%03d" % n for n in range(100))
        assert wire.reads == 1


async def test_a_changed_byte_ends_the_session() -> None:
    async with _sessions() as (dialler, listener, wire):
        await dialler.write(b"genuine")
        genuine = await wire.read()
        listener._sealed += genuine[:-1] + bytes([genuine[-1] ^ 1])
        await dialler.write(b"more")
        with pytest.raises(ConnectionClosedError, match="does not verify"):
            await listener.read()


async def test_a_replayed_message_ends_the_session() -> None:
    async with _sessions() as (dialler, listener, wire):
        await dialler.write(b"once")
        sealed = await wire.read()
        listener._sealed += sealed + sealed
        await dialler.write(b"more")
        with pytest.raises(ConnectionClosedError):
            await _read(listener, 100)


async def test_nobody_reads_what_length_a_peer_claims() -> None:
    async with _sessions() as (_, listener, _):
        with pytest.raises(ConnectionClosedError, match="claimed"):
            await listener.read(2**30)


async def test_the_end_is_an_error() -> None:
    async with _sessions() as (dialler, listener, _):
        await dialler.close()
        with pytest.raises(ConnectionClosedError):
            await listener.read()


async def test_nothing_is_read_where_nothing_is_asked_for() -> None:
    async with _sessions() as (_, listener, _):
        assert isinstance(listener, BufferedSession)
        assert await listener.read(0) == b""
