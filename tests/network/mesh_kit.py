"""Members, rosters and running mesh processes for the network tests."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import trio
from tocsin_node.meshlink import (
    Admitted,
    Configure,
    Link,
    LinkError,
    Message,
    PeerDown,
    PeerUp,
    Publish,
    Ready,
    UseRoster,
)
from tocsin_node.peer_ids import peer_id_of_seed
from tocsin_protocol.envelope import Envelope, seal_envelope
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.roster_encoding import encode_roster
from tocsin_protocol.roster_model import Capability, Member, Publisher, RateClass, Roster
from tocsin_protocol.signing import Domain, address_of_key, public_key_of

NETWORK_ID = hashlib.sha256(b"tocsin network tests").digest()
FAR_FUTURE_MS = 4_000_000_000_000
DEADLINE_SECONDS = 180

T = TypeVar("T")


def secret_of(*names: object) -> bytes:
    return hashlib.sha256("/".join(map(str, names)).encode()).digest()


@dataclass
class Node:
    """One member's keys and its feed, as the relay would hold them."""

    name: str
    seed: bytes
    secret: bytes
    heads: dict[int, tuple[int, bytes]] = field(default_factory=dict)

    @property
    def key(self) -> bytes:
        return public_key_of(self.secret)

    @property
    def publisher(self) -> bytes:
        return address_of_key(self.key)

    @property
    def peer_id(self) -> str:
        return peer_id_of_seed(self.seed)

    def seal(self, body: bytes = b"x" * 300, lane: int = 1) -> Envelope:
        """The next envelope of a lane's feed."""
        sequence, previous = self.heads.get(lane, (0, NO_DIGEST))
        envelope = seal_envelope(Domain(NETWORK_ID), self.secret, self.publisher, lane, sequence + 1, previous, body)
        self.heads[lane] = (sequence + 1, envelope.digest)
        return envelope

    def message(self, body: bytes = b"x" * 300, lane: int = 1) -> Publish:
        return self.message_of(self.seal(body, lane))

    def message_of(self, envelope: Envelope) -> Publish:
        return Publish(envelope.lane, envelope.sequence, envelope.encoded)


def make_nodes(count: int, label: str = "node") -> list[Node]:
    return [Node(f"{label}-{n}", secret_of(label, n, "seed"), secret_of(label, n, "key")) for n in range(count)]


def make_roster(nodes: Sequence[Node], rate: RateClass = RateClass.HIGH) -> bytes:
    """An encoded roster with one member a node."""
    members = [
        Member(
            name=node.name,
            organisation=node.name,
            root=public_key_of(secret_of(node.name, "root")),
            publishers=(
                Publisher(
                    key=node.key,
                    peer_id=node.peer_id,
                    addresses=(),
                    valid_from_ms=0,
                    valid_until_ms=FAR_FUTURE_MS,
                    capabilities=(Capability.CRITICAL, Capability.PUBLISH),
                    rate_class=rate,
                    detectors=(),
                    rpc_groups=(),
                    revoked=(),
                ),
            ),
        )
        for node in nodes
    ]
    members.sort(key=lambda member: member.name)
    return encode_roster(Roster(NETWORK_ID, 0, NO_DIGEST, tuple(members)))


class Running:
    """A mesh process, with the relay's end of its link held by the test."""

    def __init__(self, node: Node, process: subprocess.Popen[bytes], link: Link, listen: list[str]) -> None:
        self.node = node
        self.process = process
        self.link = link
        self.listen = listen
        self.messages: list[Message] = []
        self.counters: dict[str, int] = {}
        self.arrived = trio.Event()
        self.ended = trio.Event()

    @property
    def pid(self) -> int:
        return self.process.pid

    def envelopes(self) -> list[bytes]:
        return [envelope for m in self.messages if isinstance(m, Admitted) for envelope in m.envelopes]

    def peers_up(self) -> set[str]:
        """Peers that are connected, as the process told."""
        up: set[str] = set()
        for message in self.messages:
            if isinstance(message, PeerUp):
                up.add(message.peer_id)
            elif isinstance(message, PeerDown):
                up.discard(message.peer_id)
        return up

    async def run_receiver(self) -> None:
        while messages := await self._receive():
            for message in messages:
                if hasattr(message, "counters"):
                    self.counters = message.counters
            self.messages += messages
            self.arrived.set()
            self.arrived = trio.Event()
        self.ended.set()

    async def _receive(self) -> list[Message]:
        try:
            return await self.link.receive() or []
        except LinkError:
            return []

    async def wait_for(self, found: Callable[[], T], seconds: float = DEADLINE_SECONDS) -> T:
        """Wait until `found` returns something true; looked at whenever a message (a Pulse at least) arrives."""
        with trio.fail_after(seconds):
            while not (value := found()):
                await self.arrived.wait()
            return value

    async def wait_peers(self, count: int) -> None:
        await self.wait_for(lambda: len(self.peers_up()) >= count)

    async def wait_envelopes(self, count: int, seconds: float = DEADLINE_SECONDS) -> list[bytes]:
        await self.wait_for(lambda: len(self.envelopes()) >= count, seconds)
        return self.envelopes()


def _start(socket_path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tocsin_node.mesh", str(socket_path)])


@asynccontextmanager
async def running_mesh(
    node: Node,
    roster: bytes,
    folder: Path,
    addresses: dict[str, list[str]] | None = None,
    listen: str = "/ip4/127.0.0.1/tcp/0",
    then: Sequence[Message] = (),
) -> AsyncIterator[Running]:
    """Start a mesh process and be its relay; it is ended with the block."""
    path = folder / f"{node.name}.sock"
    path.unlink(missing_ok=True)
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as listener:
        await listener.bind(str(path))
        listener.listen(1)
        process = _start(path)
        try:
            with trio.fail_after(DEADLINE_SECONDS):
                accepted, _ = await listener.accept()
            link = Link(trio.SocketStream(accepted))
            try:
                configure = Configure(node.seed, [listen], node.publisher, roster, addresses or {})
                running = await _greet(node, link, process, configure, then)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(running.run_receiver)
                    yield running
                    nursery.cancel_scope.cancel()
            finally:
                await link.aclose()
        finally:
            process.kill()
            process.wait()


async def _greet(
    node: Node, link: Link, process: subprocess.Popen[bytes], configure: Configure, then: Sequence[Message]
) -> Running:
    await link.send(configure, *then)
    with trio.fail_after(DEADLINE_SECONDS):
        first = await link.receive()
    assert first, "the mesh process closed the link"
    assert isinstance(first[0], Ready)
    running = Running(node, process, link, first[0].listen)
    running.messages += first[1:]
    return running


async def introduce(runnings: Sequence[Running], roster: bytes) -> None:
    """Tell every process where the others listen."""
    addresses = {running.node.peer_id: running.listen for running in runnings}
    for running in runnings:
        await running.link.send(UseRoster(roster, addresses))
