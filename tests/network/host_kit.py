"""Mesh hosts inside the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import trio
from libp2p_kit import LOOPBACK
from mesh_kit import secret_of
from tocsin_node.mesh.gossip import Ruling
from tocsin_node.mesh.host import MeshHost, MeshSettings
from tocsin_node.mesh.peers import Dialer, PeerWatch
from tocsin_node.mesh.streams import FastPath
from tocsin_node.peer_ids import peer_id_of_seed
from tocsin_protocol.admission import Verdict

TOPIC = "/tocsin/1/test/frames"
DEADLINE_SECONDS = 300


@dataclass
class Local:
    """A host with its dialler, and what its validator was shown."""

    host: MeshHost
    dialer: Dialer
    watch: PeerWatch
    verdict: Callable[[bytes], Verdict] = lambda data: Verdict.ACCEPT
    received: list[bytes] = field(default_factory=list)
    came_from: list[str] = field(default_factory=list)
    changed: trio.Event = field(default_factory=trio.Event)

    def judge(self, topic: str, origin: str, data: bytes, forwarder: str) -> Ruling:
        verdict = self.verdict(data)
        self.received.append(data)
        self.came_from.append(forwarder)
        self.wake()
        return Ruling(verdict)

    def wake(self, *_: object) -> None:
        self.changed.set()
        self.changed = trio.Event()

    def publish(self, data: bytes) -> int:
        return self.host.pubsub.publish_nowait(TOPIC, data)

    @property
    def counters(self) -> dict[str, int]:
        return self.host.conduct.counters

    @property
    def hears(self) -> set[str]:
        """Peers whose subscription we know and to whom we can send."""
        subscribed = self.host.pubsub.peer_topics.get(TOPIC, set())
        return {str(peer) for peer in subscribed if peer in self.host.pubsub.peer_queues}

    async def wait_for(self, found: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
        with trio.fail_after(seconds):
            while not found():
                with trio.move_on_after(0.005):
                    await self.changed.wait()

    async def wait_received(self, count: int, seconds: float = DEADLINE_SECONDS) -> None:
        await self.wait_for(lambda: len(self.received) >= count, seconds)

    async def wait_hears(self, count: int) -> None:
        await self.wait_for(lambda: len(self.hears) >= count)


def seed_of(name: object) -> bytes:
    return secret_of("host", name)


def id_of(name: object) -> str:
    return peer_id_of_seed(seed_of(name))


@asynccontextmanager
async def running_host(
    name: object, members: Sequence[object], *, fast: FastPath | None = None, listen: str = LOOPBACK
) -> AsyncIterator[Local]:
    """A host whose roster is `members` (names); it ends with the block."""
    settings = MeshSettings(seed_of(name), (listen,), frozenset({TOPIC}), fast or FastPath())
    host = MeshHost(settings, lambda *args: local.judge(*args))
    watch = PeerWatch(host, lambda peer: local.wake(), lambda peer: local.wake())
    local = Local(host, Dialer(host, watch), watch)
    async with host.run(), trio.open_nursery() as nursery:
        await host.set_members(map(id_of, members))
        await nursery.start(local.dialer.run_dialer)
        yield local
        nursery.cancel_scope.cancel()


def introduce(*locals_: Local) -> None:
    """Tell all hosts where the others listen; they dial by themselves."""
    addresses = {local.host.peer_id: tuple(local.host.listen_addresses()) for local in locals_}
    for local in locals_:
        local.dialer.set_addresses(addresses)


def introduce_in_a_row(*locals_: Local) -> None:
    """Tell each host where its neighbours in the row listen, and nobody else."""
    for place, local in enumerate(locals_):
        near = [locals_[n] for n in (place - 1, place + 1) if 0 <= n < len(locals_)]
        local.dialer.set_addresses({other.host.peer_id: tuple(other.host.listen_addresses()) for other in near})


@asynccontextmanager
async def connected_hosts(count: int, *, fast: FastPath | None = None) -> AsyncIterator[list[Local]]:
    """Fully connected hosts that know each other's subscriptions."""
    async with AsyncExitStack() as stack:
        names = range(count)
        hosts = [await stack.enter_async_context(running_host(name, names, fast=fast)) for name in names]
        introduce(*hosts)
        for local in hosts:
            await local.wait_hears(count - 1)
        yield hosts
