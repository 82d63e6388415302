"""The library as it ships: stock nodes to compare with, and raw peers that write what they like."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.config import ConnectionConfig
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
MESHSUB = TProtocol("/meshsub/1.1.0")


def uvarint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def framed(rpc: bytes) -> bytes:
    return uvarint(len(rpc)) + rpc


def hello(*topics: str) -> bytes:
    rpc = rpc_pb2.RPC()
    for topic in topics:
        rpc.subscriptions.add(subscribe=True, topicid=topic)
    return framed(rpc.SerializeToString())


def noise_host(seed: bytes) -> Any:
    """A host of the library with Noise alone."""
    keys = create_new_key_pair(seed)
    transport = NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)
    quiet = ConnectionConfig(min_connections=0, low_watermark=0)
    return new_host(key_pair=keys, sec_opt={NOISE: transport}, connection_config=quiet)


class RawPeer:
    """A peer that speaks libp2p and writes any bytes into a gossip stream."""

    def __init__(self, host: Any) -> None:
        self.host = host

    async def connect(self, listen: str, peer_id: str) -> None:
        await self.host.connect(info_from_p2p_addr(Multiaddr(f"{listen}/p2p/{peer_id}")))

    async def open_gossip(self, peer_id: str) -> Any:
        return await self.host.new_stream(ID.from_base58(peer_id), [MESHSUB])

    def is_connected(self, peer_id: str) -> bool:
        conns = self.host.get_network().connections.get(ID.from_base58(peer_id), [])
        return any(not conn.is_closed for conn in conns)

    async def wait_dropped(self, peer_id: str, seconds: float = 60) -> None:
        live = self.host.get_network().connections.get(ID.from_base58(peer_id), [])
        with trio.fail_after(seconds):
            for conn in list(live):
                await conn.event_closed.wait()


async def send_until_dropped(stream: Any, data: bytes) -> None:
    """Write; the other side may close in the middle of it."""
    with suppress(StreamError):
        await stream.write(data)


async def _swallow_gossip(stream: Any) -> None:
    try:
        while await stream.read(65536):
            pass
    except Exception:  # noqa: BLE001 - the peer under test closes this stream as it likes
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def raw_peer(seed: bytes) -> AsyncIterator[RawPeer]:
    host = noise_host(seed)
    host.set_stream_handler(MESHSUB, _swallow_gossip)
    async with host.run([Multiaddr(LOOPBACK)]):
        yield RawPeer(host)


class StockNode:
    def __init__(self, host: Any, pubsub: Any, router: Any) -> None:
        self.host = host
        self.pubsub = pubsub
        self.router = router

    @property
    def listen(self) -> str:
        return str(self.host.get_transport_addrs()[0])

    @property
    def peer_id(self) -> str:
        return str(self.host.get_id())


@asynccontextmanager
async def stock_node(seed: bytes, **router_options: Any) -> AsyncIterator[StockNode]:
    """A gossiping node of the unchanged library."""
    host = noise_host(seed)
    options = {"degree": 6, "degree_low": 4, "degree_high": 12, "heartbeat_interval": 1} | router_options
    router = GossipSub(protocols=[MESHSUB], **options)
    pubsub = Pubsub(host, router, strict_signing=True)
    async with (
        host.run([Multiaddr(LOOPBACK)]),
        background_trio_service(pubsub),
        background_trio_service(router),
    ):
        await pubsub.wait_until_ready()
        yield StockNode(host, pubsub, router)


def stock_swarm_limit(node: StockNode, inbound: int) -> None:
    """Fewer inbound slots than the library's 250, so that a test need not make 250 connections."""
    node.host.get_network()._inbound_limiter.total_tokens = inbound
