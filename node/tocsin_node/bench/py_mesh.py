"""Our own mesh under the load the js-libp2p mesh gets: real mesh processes, driven over the relay's link."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
from tocsin_protocol.envelope import Envelope, seal_envelope
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.roster_encoding import encode_roster
from tocsin_protocol.roster_model import Capability, Member, Publisher, RateClass, Roster
from tocsin_protocol.signing import Domain, address_of_key, public_key_of
from tocsin_protocol.taxonomy import STANDARD

from tocsin_node.meshlink import Admitted, Configure, Link, PeerDown, PeerUp, Publish, Ready, UseRoster
from tocsin_node.peer_ids import peer_id_of_seed

from .figures import MeshFigures, Usage, mesh_figures, shares

NETWORK_ID = hashlib.sha256(b"tocsin bench").digest()
FAR_FUTURE_MS = 4_000_000_000_000
START_SECONDS = 60.0
# Deliveries are given up when none came for this long.
STALL_SECONDS = 10.0
# Messages a node sends before the measure, as in the js mesh.
WARM_UP_MESSAGES = 500
WARM_UP_RATE = 200
_TICKS_A_MS = os.sysconf("SC_CLK_TCK") / 1000
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class PyMeshError(Exception):
    """A mesh process died or did not start. The message is the reason."""


async def run_py_mesh(
    nodes: int, rate: int | None, seconds: int, burst: int, size: int, *, publishers: int | None = None
) -> MeshFigures:
    """Run `nodes` mesh processes, fully connected over loopback, and measure them; CPU is that of the processes alone.

    With a `rate` (signals/s of the whole mesh) for `seconds`; without, a burst of `burst` signals. The first
    `publishers` nodes (default all) share the sending; an envelope is `size` bytes. Raises PyMeshError.
    """
    senders = publishers or nodes
    total = rate * seconds if rate is not None else burst
    async with _running_mesh(nodes) as mesh:
        run = _Run(mesh)
        async with trio.open_nursery() as nursery:
            for node in mesh:
                nursery.start_soon(run.run_receiver, node)
            await run.send(mesh[:senders], WARM_UP_MESSAGES, WARM_UP_RATE, size)
            run.latencies_ms.clear()
            before = [node.usage() for node in mesh]
            await run.send(mesh[:senders], total, rate, size)
            after = [node.usage() for node in mesh]
            nursery.cancel_scope.cancel()
        return mesh_figures(total, nodes, run.latencies_ms, before, after)


@dataclass(slots=True)
class _Feed:
    """One node's keys and the end of its feed."""

    seed: bytes
    secret: bytes
    sequence: int = 0
    digest: bytes = NO_DIGEST

    def seal(self, domain: Domain, size: int) -> Envelope:
        """The next envelope, of `size` bytes or a few less."""
        publisher = address_of_key(public_key_of(self.secret))
        envelope = self._sealed(domain, publisher, b"x" * size)
        surplus = len(envelope.encoded) - size
        envelope = self._sealed(domain, publisher, b"x" * max(1, size - surplus))
        self.sequence, self.digest = envelope.sequence, envelope.digest
        return envelope

    def _sealed(self, domain: Domain, publisher: bytes, body: bytes) -> Envelope:
        return seal_envelope(domain, self.secret, publisher, STANDARD, self.sequence + 1, self.digest, body)


@dataclass(slots=True)
class _Node:
    """A mesh process and the relay's end of its link."""

    feed: _Feed
    pid: int
    link: Link
    listen: list[str]

    @property
    def peer_id(self) -> str:
        return peer_id_of_seed(self.feed.seed)

    def usage(self) -> Usage:
        return process_usage(self.pid)


class _Run:
    """What is under way: when each envelope was sent, how long each delivery took."""

    def __init__(self, mesh: Sequence[_Node]) -> None:
        self._mesh = mesh
        self._domain = Domain(NETWORK_ID)
        self._sent_at: dict[bytes, float] = {}
        self._news = trio.Event()
        self.latencies_ms: list[float] = []

    async def run_receiver(self, node: _Node) -> None:
        """Take what a mesh process admitted."""
        while (messages := await node.link.receive()) is not None:
            now = trio.current_time()
            admitted = [e for m in messages if isinstance(m, Admitted) for e in m.envelopes]
            self.latencies_ms += [1000 * (now - self._sent_at[envelope]) for envelope in admitted]
            if admitted:
                self._news.set()
        raise PyMeshError("a mesh process ended under load")

    async def send(self, senders: Sequence[_Node], total: int, rate: int | None, size: int) -> None:
        """Sign, then send, and wait until everything came or nothing comes any more."""
        expected = len(self.latencies_ms) + total * (len(self._mesh) - 1)
        counts = shares(total, len(senders))
        sealed = [
            [node.feed.seal(self._domain, size) for _ in range(count)]
            for node, count in zip(senders, counts, strict=True)
        ]
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number, (node, envelopes) in enumerate(zip(senders, sealed, strict=True)):
                # Senders take turns instead of sending at the same moments.
                offset = 0.0 if rate is None else number / rate
                step = 0.0 if rate is None else len(senders) / rate
                nursery.start_soon(self._send_share, node, envelopes, start + offset, step)
        while len(self.latencies_ms) < expected:
            self._news = trio.Event()
            with trio.move_on_after(STALL_SECONDS) as stalled:
                await self._news.wait()
            if stalled.cancelled_caught:
                break

    async def _send_share(self, node: _Node, envelopes: list[Envelope], start: float, step: float) -> None:
        for number, envelope in enumerate(envelopes):
            if step:
                await trio.sleep_until(start + number * step)
            self._sent_at[envelope.encoded] = trio.current_time()
            await node.link.send(Publish(envelope.lane, envelope.sequence, envelope.encoded))


def process_usage(pid: int) -> Usage:
    """CPU time and resident memory of a process, from /proc (Linux)."""
    # The name of the program, in parentheses, may hold spaces: fields are counted after it.
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage((int(stat[11]) + int(stat[12])) / _TICKS_A_MS, pages * _PAGE_BYTES)


@asynccontextmanager
async def _running_mesh(count: int) -> AsyncIterator[list[_Node]]:
    feeds = [_Feed(_secret("seed", number), _secret("key", number)) for number in range(count)]
    roster = _roster(feeds)
    processes: list[trio.Process] = []
    links: list[Link] = []
    with tempfile.TemporaryDirectory(prefix="tocsin-") as folder:
        try:
            with trio.fail_after(START_SECONDS):
                mesh = []
                for number, feed in enumerate(feeds):
                    process, link = await _start(Path(folder) / f"{number}.sock")
                    processes.append(process)
                    links.append(link)
                    mesh.append(_Node(feed, process.pid, link, await _configure(link, feed, roster)))
                addresses = {node.peer_id: node.listen for node in mesh}
                for node in mesh:
                    await node.link.send(UseRoster(roster, addresses))
                for node in mesh:
                    await _wait_connected(node, count - 1)
            yield mesh
        except trio.TooSlowError as exc:
            raise PyMeshError(f"the mesh was not connected within {START_SECONDS:.0f} s") from exc
        finally:
            with trio.CancelScope(shield=True):
                for process in processes:
                    process.kill()
                    await process.wait()
                for link in links:
                    await link.aclose()


async def _start(path: Path) -> tuple[trio.Process, Link]:
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as listener:
        await listener.bind(str(path))
        listener.listen(1)
        process = await trio.lowlevel.open_process([sys.executable, "-m", "tocsin_node.mesh", str(path)])
        try:
            accepted, _ = await listener.accept()
        except BaseException:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            raise
        return process, Link(trio.SocketStream(accepted))


async def _configure(link: Link, feed: _Feed, roster: bytes) -> list[str]:
    publisher = address_of_key(public_key_of(feed.secret))
    await link.send(Configure(feed.seed, ["/ip4/127.0.0.1/tcp/0"], publisher, roster, {}))
    while (messages := await link.receive()) is not None:
        for message in messages:
            if isinstance(message, Ready):
                return message.listen
    raise PyMeshError("a mesh process ended before it listened")


async def _wait_connected(node: _Node, peers: int) -> None:
    up: set[str] = set()
    while len(up) < peers:
        messages = await node.link.receive()
        if messages is None:
            raise PyMeshError("a mesh process ended before it was connected")
        for message in messages:
            if isinstance(message, PeerUp):
                up.add(message.peer_id)
            elif isinstance(message, PeerDown):
                up.discard(message.peer_id)


def _secret(*names: object) -> bytes:
    return hashlib.sha256("/".join(map(str, ("bench", *names))).encode()).digest()


def _roster(feeds: Sequence[_Feed]) -> bytes:
    members = [
        Member(
            name=f"bench-{number:03}",
            organisation=f"Bench {number}",
            root=public_key_of(_secret("root", number)),
            publishers=(
                Publisher(
                    key=public_key_of(feed.secret),
                    peer_id=peer_id_of_seed(feed.seed),
                    addresses=(),
                    valid_from_ms=0,
                    valid_until_ms=FAR_FUTURE_MS,
                    capabilities=(Capability.CRITICAL, Capability.PUBLISH),
                    rate_class=RateClass.HIGH,
                    detectors=(),
                    rpc_groups=(),
                    revoked=(),
                ),
            ),
        )
        for number, feed in enumerate(feeds)
    ]
    return encode_roster(Roster(NETWORK_ID, 0, NO_DIGEST, tuple(members)))
