"""One libp2p host with gossip, set up the way a hostile network needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as StockNoise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux as StockYamux
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from .gossip import MeshPubsub, Validator
from .hardening import BoundedTCP, Conduct, GatedUpgrader, GuardedSwarm, check_port_free, guard_stream_handler
from .seen import SeenIds
from .session import BufferedNoise
from .streams import FastPath
from .upkeep import MeshRouter
from .yamux import BufferedYamux

# Neighbours on the ring of members, on each side, that always get everything: with them 10 honest nodes
# beside 20 censoring ones kept 100 % coverage, without 17–22 %.
RING_NEIGHBOURS = 1
MAX_CONNECTIONS = 256
HANDSHAKE_SECONDS = 5.0
# A hung peer is out after at most the sum of these.
HEALTH_INTERVAL_SECONDS = 3.0
PING_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """What a host is made of. `listen` are multiaddrs without a peer id; `seed` is 32 bytes.

    `topic_fault` names the counter of what is said on a topic that is none of `topics`.
    """

    seed: bytes
    listen: tuple[str, ...]
    topics: frozenset[str]
    fast: FastPath = field(default_factory=FastPath)
    topic_fault: Callable[[str], str] = lambda topic: "frame-unknown-topic"


class MeshHost:
    """A host, its gossip and its gate."""

    def __init__(self, settings: MeshSettings, validator: Validator) -> None:
        self.settings = settings
        self.conduct = Conduct()
        self.members: frozenset[str] = frozenset()
        self._member_ids: frozenset[bytes] = frozenset()
        keys = create_new_key_pair(settings.seed)
        noise_class = BufferedNoise if settings.fast.buffered_noise else StockNoise
        # Noise alone: a host with the library's defaults also accepts plaintext.
        security: dict[TProtocol, Any] = {NOISE: noise_class(keys, noise_privkey=create_noise_key_pair().private_key)}
        muxers: dict[TProtocol, Any] = {TProtocol(YAMUX): BufferedYamux if settings.fast.buffered_yamux else StockYamux}
        peerstore = PeerStore()
        self.id = ID.from_pubkey(keys.public_key)
        peerstore.add_key_pair(self.id, keys)
        self.swarm = GuardedSwarm(
            self.id,
            peerstore,
            GatedUpgrader(security, muxers, self.is_allowed, self.conduct),
            transports=[BoundedTCP()],
            # Dialling again is peers.py's: the library gives a peer up for ever or dials it after a minute.
            retry_config=RetryConfig(max_retries=0),
            connection_config=_connection_config(),
        )
        self.host = BasicHost(self.swarm, disable_identify_address_discovery=True)
        self.swarm.set_stream_handler(guard_stream_handler(self.swarm.common_stream_handler, self.conduct))
        seen = SeenIds()
        self.router = MeshRouter((), self.conduct, seen.__contains__)
        self.pubsub = MeshPubsub(
            self.host,
            self.router,
            validator=validator,
            is_member=lambda peer: peer in self._member_ids,
            topics=settings.topics,
            topic_fault=settings.topic_fault,
            conduct=self.conduct,
            seen=seen,
            fast=settings.fast,
        )
        self.swarm.on_take_over = self._take_over
        self.swarm.count = self.conduct.count
        # Told when a member connected again before its old connection was seen to end.
        self.on_reconnected: Callable[[str], None] = lambda peer: None

    def _take_over(self, peer_id: ID) -> None:
        self.pubsub.take_over(peer_id)
        self.on_reconnected(str(peer_id))

    @property
    def peer_id(self) -> str:
        return str(self.id)

    def is_allowed(self, peer: str) -> bool:
        """Whether a connection with this peer may live."""
        return peer in self.members and not self.conduct.is_barred(peer)

    async def set_members(self, members: Iterable[str]) -> None:
        """Take over the peers of a roster and part with those who left it."""
        self.members = frozenset(members) - {self.peer_id}
        self._member_ids = frozenset(ID.from_base58(peer).to_bytes() for peer in self.members)
        self.conduct.forget_except(self.members)
        self.pubsub.waste.forget_except(self.members)
        self.router.direct = {ID.from_base58(peer) for peer in ring_neighbours(self.peer_id, self.members)}
        for peer_id in list(self.swarm.connections):
            if str(peer_id) not in self.members:
                await self.host.disconnect(peer_id)

    def listen_addresses(self) -> list[str]:
        """Where the host listens, with the ports it got."""
        return [str(address) for address in self.host.get_transport_addrs()]

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Listen and gossip while the block runs; raises OSError when an address is in use."""
        for address in map(Multiaddr, self.settings.listen):
            host = address.value_for_protocol(address.protocols()[0].code)
            check_port_free(str(host), int(address.value_for_protocol("tcp") or 0))
        async with (
            self.host.run([Multiaddr(address) for address in self.settings.listen]),
            background_trio_service(self.pubsub),
            background_trio_service(self.router),
        ):
            await self.pubsub.wait_until_ready()
            if len(self.listen_addresses()) < len(self.settings.listen):
                raise OSError(f"cannot listen on all of {', '.join(self.settings.listen)}")
            for topic in sorted(self.settings.topics):
                await self.pubsub.subscribe(topic)
            yield


def ring_neighbours(own: str, members: Iterable[str]) -> set[str]:
    """The members next to us on the ring of sorted peer ids; everybody computes the same ring."""
    ring = sorted({own, *members})
    if len(ring) < 3:
        return set(ring) - {own}
    place = ring.index(own)
    steps = [step for n in range(1, RING_NEIGHBOURS + 1) for step in (-n, n)]
    return {ring[(place + step) % len(ring)] for step in steps} - {own}


def _connection_config() -> ConnectionConfig:
    return ConnectionConfig(
        max_connections=MAX_CONNECTIONS,
        high_watermark=MAX_CONNECTIONS,
        min_connections=0,
        low_watermark=0,
        dial_timeout=HANDSHAKE_SECONDS,
        inbound_upgrade_timeout=HANDSHAKE_SECONDS,
        outbound_upgrade_timeout=HANDSHAKE_SECONDS,
        outbound_stream_protocol_negotiation_timeout=HANDSHAKE_SECONDS,
        inbound_stream_protocol_negotiation_timeout=HANDSHAKE_SECONDS,
        enable_health_monitoring=True,
        health_initial_delay=HEALTH_INTERVAL_SECONDS,
        health_check_interval=HEALTH_INTERVAL_SECONDS,
        ping_timeout=PING_SECONDS,
        abort_connection_on_ping_failure=True,
    )
