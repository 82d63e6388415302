"""Networks of real nodes, what they hold, and wires between them that can be cut."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from tocsin_node.api.feed_db import open_feed_db
from tocsin_node.api.index import open_index_reader
from tocsin_node.api.keys import Scope, create_key
from tocsin_node.clock import now_ms
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.network import create_local_network, free_ports, write_guard
from tocsin_node.demo.processes import NodeProcess
from tocsin_node.errors import NodeUnreachable
from tocsin_node.keystore import LEAST_COST
from tocsin_node.roster_files import create_genesis, genesis_hash
from tocsin_node.setup_node import NodeHome, NodePlan, create_node_home, pin_genesis
from tocsin_node.store.database import StoreError
from tocsin_node.store.reader import MAX_PAGE
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.envelope import decode_envelope
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.risk.report import OracleDomain, open_report
from tocsin_protocol.risk.states import RiskState
from tocsin_protocol.roster_model import RateClass
from tocsin_protocol.signing import Domain

NAMES = ("alba", "brook", "cedar")
SOAK_VARIABLE = "TOCSIN_SOAK_ROUNDS"
DEFAULT_SOAK_ROUNDS = 100
# Deadlines are for what hangs, not for what is slow.
START_SECONDS = 120
SETTLE_SECONDS = 120
VAULT = "eip155:31337:0x" + "5a" * 20

Place = tuple[bytes, int, int]


def rounds(short: int, share: int = 1) -> pytest.MarkDecorator:
    """A short form for `make test`, and a long one (the soak's rounds, or a `share`-th of them) for `make soak`."""
    long = max(short, int(os.environ.get(SOAK_VARIABLE, DEFAULT_SOAK_ROUNDS)) // share)
    return pytest.mark.parametrize("rounds", [short, pytest.param(long, marks=pytest.mark.soak, id="soak")])


def make_network(folder: Path, *names: str) -> list[NodeHome]:
    return create_local_network(folder, names or NAMES, now_ms(), rate_class=RateClass.HIGH)


def make_signal(account: str = VAULT, **changes: Any) -> dict[str, Any]:
    return {
        "category": "asset.drain",
        "severity": "critical",
        "confidence": 90,
        "subjects": [{"role": "victim", "value": account}],
    } | changes


def make_notes(count: int, label: str) -> list[dict[str, Any]]:
    """Signals of the standard lane, each about something else."""
    return [
        make_signal(f"eip155:1:0x{secrets.token_hex(20)}", severity="medium", text=f"{label} {number}")
        for number in range(count)
    ]


def feed_key(node: NodeProcess, scope: Scope = Scope.OPERATOR) -> dict[str, str]:
    """The headers of somebody who may read a node's feed: a new key each time."""
    with closing(open_feed_db(node.config.node.data_dir)) as database:
        return {"Authorization": f"Bearer {create_key(database, scope, 'test', now_ms(), MAX_UINT)}"}


async def get(node: NodeProcess, path: str, **query: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=START_SECONDS) as client:
        return await client.get(url_of(node, path), params=query, headers=feed_key(node))


def url_of(node: NodeProcess, path: str) -> str:
    """Where a node's feed shows something."""
    return f"http://{node.config.feed.listen}{path}"


async def wait_served(node: NodeProcess) -> None:
    """Wait until the feed answers and follows the record: before that it sends away who would listen."""
    async with httpx.AsyncClient(trust_env=False, timeout=START_SECONDS) as client:
        with trio.fail_after(START_SECONDS):
            while True:
                with suppress(httpx.TransportError):
                    # who resumes ahead of the record is refused once it is known how far that goes, and listens never
                    answer = await client.get(url_of(node, "/v1/live"), params={"after": MAX_UINT})
                    if answer.status_code == 400:
                        return
                await trio.sleep(0.1)


async def wait_indexed(node: NodeProcess) -> None:
    """Wait until the feed's index holds every signal that the record holds now: the feed follows in its own time."""
    with node.open_reader() as reader:
        last = reader.last_signal()
    with trio.fail_after(SETTLE_SECONDS):
        while _indexed(node) < last:  # noqa: ASYNC110 - another process has no event for it
            await trio.sleep(0.1)


def _indexed(node: NodeProcess) -> int:
    try:
        with closing(open_index_reader(node.config.node.data_dir)) as index:
            return int(index.execute("SELECT signal FROM position").fetchone()[0])
    except StoreError:
        return -1


async def wait_reported(node: NodeProcess, oracle: str) -> None:
    """Wait until a node that reports on one subject has said that nothing is wrong with it."""
    with trio.fail_after(START_SECONDS):
        while True:
            with node.open_reader() as reader:
                rows = reader.risk_reports(1)
            if rows and open_report(OracleDomain(oracle), rows[0][2]).report.state is RiskState.NONE:
                return
            await trio.sleep(0.1)


async def publish(node: NodeProcess, signals: Sequence[dict[str, Any]], *, at_once: int = 100) -> list[bytes]:
    """Publish through the control socket; returns the digests of what was sealed."""
    sealed: list[bytes] = []
    for begin in range(0, len(signals), at_once):
        answer = await node.ask(Verb.PUBLISH, signals=list(signals[begin : begin + at_once]))
        sealed += [bytes.fromhex(item["digest"]) for item in answer["sealed"]]
    return sealed


def held_by(node: NodeProcess) -> dict[Place, bytes]:
    """Every signal a node holds: (publisher, lane, sequence) to digest."""
    held: dict[Place, bytes] = {}
    with node.open_reader() as reader:
        after = 0
        while page := reader.signals(after=after, limit=MAX_PAGE):
            held |= {
                (row.envelope.publisher, row.envelope.lane, row.envelope.sequence): row.envelope.digest for row in page
            }
            after = page[-1].id
    return held


async def wait_held(nodes: Sequence[NodeProcess], digests: Sequence[bytes]) -> None:
    """Wait until every node holds all of these."""
    wanted = set(digests)
    with trio.fail_after(SETTLE_SECONDS):
        for node in nodes:
            while not wanted <= set(held_by(node).values()):  # noqa: ASYNC110 - another process has no event for it
                await trio.sleep(0.1)


async def wait_open(nodes: Sequence[NodeProcess], peers: int) -> None:
    """Wait until every node has so many peers and may publish."""
    with trio.fail_after(START_SECONDS):
        for node in nodes:
            await node.wait_status(lambda s: s["mesh"]["peers"] >= peers and s["publishing"].startswith("open"))


async def check_feeds(nodes: Sequence[NodeProcess]) -> None:
    """Whole and linked feeds, the same in all nodes, and nobody holds a proof against anybody.

    What is under way still may arrive first: what was handed in and never answered for, say.
    """
    with trio.move_on_after(SETTLE_SECONDS):
        while len({frozenset(held_by(node).items()) for node in nodes}) > 1:  # noqa: ASYNC110 - as above
            await trio.sleep(0.1)
    first = held_by(nodes[0])
    for node in nodes:
        assert held_by(node) == first, f"{node.name} holds other feeds than {nodes[0].name}"
        with node.open_reader() as reader:
            assert reader.equivocators() == frozenset()
            for feed in reader.feeds():
                check_chain(reader, feed.publisher, feed.lane, feed.head)


def check_chain(reader: Any, publisher: bytes, lane: int, head: int) -> None:
    """Follow a feed from its first signal to its head."""
    domain, previous, sequence = Domain(reader.network_id), NO_DIGEST, 0
    while sequence < head:
        items = reader.feed_range(publisher, lane, sequence + 1, head, most=1000, max_bytes=2**24)
        assert items, f"signal {sequence + 1} of {head} is missing"
        for item in items:
            envelope = decode_envelope(domain, item)
            assert (envelope.sequence, envelope.previous) == (sequence + 1, previous)
            sequence, previous = envelope.sequence, envelope.digest


async def restart(node: NodeProcess, verb: str = "run") -> None:
    """Start a node that was killed, and wait until it answers."""
    node.start(verb)
    with trio.fail_after(START_SECONDS):
        await node.wait_ready()


async def wait_gone(node: NodeProcess) -> None:
    """Wait until nobody answers at a node's control socket."""
    with trio.fail_after(START_SECONDS):
        while True:
            try:
                await node.ask(Verb.HEALTH)
            except NodeUnreachable:
                return
            await trio.sleep(0.05)


def copy_data(node: NodeProcess, to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(node.config.node.data_dir, to, ignore=shutil.ignore_patterns("*.sock"))


def restore_data(node: NodeProcess, copy: Path) -> None:
    shutil.rmtree(node.config.node.data_dir)
    shutil.copytree(copy, node.config.node.data_dir)


@dataclass
class Receiver:
    """Takes the nodes' webhooks; each says by its target whose it is."""

    url: str
    calls: list[dict[str, Any]] = field(default_factory=list)

    def hooks(self) -> list[str]:
        """Who has called, once for each webhook id."""
        return [target for target, _ in {(call["target"], call["id"]): None for call in self.calls}]

    async def wait_calls(self, count: int) -> None:
        with trio.fail_after(SETTLE_SECONDS):
            while len(self.hooks()) < count:  # noqa: ASYNC110 - one poll for many callers
                await trio.sleep(0.05)


@asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    """An HTTP server that answers 200 to every webhook."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    receiver = Receiver(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/")

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            buffer = b""
            while chunk := await stream.receive_some(65_536):
                buffer += chunk
                head, separator, body = buffer.partition(b"\r\n\r\n")
                if not separator:
                    continue
                headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
                if len(body) >= int(headers[b"content-length"]):
                    data = json.loads(body)["data"]
                    receiver.calls.append(data | {"id": headers[b"webhook-id"].decode()})
                    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                    buffer = b""

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        try:
            yield receiver
        finally:
            nursery.cancel_scope.cancel()


def add_webhook(
    home: NodeHome, url: str, *, subject: str = VAULT, tier: str = "notify", names: Sequence[str] = ("page",)
) -> None:
    """Hooks that tell the receiver, and levers that use them; their target is the member."""
    secret = home.directory / "webhook.secret"
    secret.write_text("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
    secret.chmod(0o600)
    with home.config_path.open("a") as config:
        for name in names:
            config.write(
                f'\n[[hook]]\nkind = "webhook"\nname = "{name}"\ntarget = "{home.entry.member}"\nurl = "{url}"\n'
                'secret_file = "webhook.secret"\n'
            )
    guard(home, subject, *names, tier=tier)


def guard(home: NodeHome, subject: str, *hooks: str, tier: str = "tighten") -> None:
    """A node that uses its hooks on the word of any other member."""
    write_guard(home, subject, *hooks, pinned=[name for name in NAMES if name != home.entry.member], tier=tier)


class Wire:
    """A TCP proxy in front of one node's mesh port that can be cut and mended."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self._open: set[trio.CancelScope] = set()
        self._flows = trio.Event()
        self._flows.set()
        self._is_cut = False

    def cut(self) -> None:
        """End every connection and take no new one."""
        self._is_cut = True
        for scope in tuple(self._open):
            scope.cancel()

    def block(self) -> None:
        """Carry nothing, and tell neither end."""
        self._flows = trio.Event()

    def mend(self) -> None:
        self._is_cut = False
        self._flows.set()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_tcp, self._serve, self.port)
            task_status.started()

    async def _serve(self, near: trio.SocketStream) -> None:
        with trio.CancelScope() as scope, suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self._open.add(scope)
            try:
                if self._is_cut:
                    return
                await self._flows.wait()
                far = await trio.open_tcp_stream("127.0.0.1", self._target)
                async with far, trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, near, far, nursery.cancel_scope)
                    nursery.start_soon(self._pump, far, near, nursery.cancel_scope)
            finally:
                self._open.discard(scope)

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in source:
                await self._flows.wait()
                await sink.send_all(data)
        scope.cancel()


@asynccontextmanager
async def open_wired_network(
    folder: Path, names: Sequence[str] = NAMES
) -> AsyncIterator[tuple[list[NodeHome], list[Wire]]]:
    """A network whose last member is reached, and reaches the others, over wires only: (homes, wires).

    The roster names the wires; the others know one another's own addresses from their configs.
    """
    ports = free_ports(3 * len(names))
    meshes, feeds, outer = ports[: len(names)], ports[len(names) : 2 * len(names)], ports[2 * len(names) :]
    homes = [
        create_node_home(
            folder / name,
            NodePlan(
                member=name,
                organisation=name.title(),
                listen=(_address(mesh),),
                addresses=(_address(wire),),
                feed_listen=f"127.0.0.1:{feed}",
                rate_class=RateClass.HIGH,
            ),
            now_ms(),
            cost=LEAST_COST,
        )
        for name, mesh, feed, wire in zip(names, meshes, feeds, outer, strict=True)
    ]
    genesis = create_genesis([home.entry for home in homes], secrets.token_bytes(32))
    for home in homes:
        pin_genesis(home.config_path, genesis, genesis_hash(genesis))
    near = range(len(names) - 1)
    for place in near:
        known = [
            f'"{homes[other].entry.publisher.peer_id}" = ["{_address(meshes[other])}"]'
            for other in near
            if other != place
        ]
        text = homes[place].config_path.read_text()
        homes[place].config_path.write_text(
            text.replace("[feed]", "[mesh.addresses]\n" + "\n".join(known) + "\n\n[feed]")
        )
    wires = [Wire(wire, mesh) for wire, mesh in zip(outer, meshes, strict=True)]

    async with trio.open_nursery() as nursery:
        for wire in wires:
            await nursery.start(wire.run)
        try:
            yield homes, wires
        finally:
            nursery.cancel_scope.cancel()


def _address(port: int) -> str:
    return f"/ip4/127.0.0.1/tcp/{port}"
