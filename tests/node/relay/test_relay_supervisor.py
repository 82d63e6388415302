"""The supervisor with real mesh processes: killed, frozen or mute, the next one is there."""

from __future__ import annotations

import os
import signal as signals
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

sys.path.insert(0, str(Path(__file__).parents[2] / "network"))

import trio.lowlevel
from mesh_kit import Node, make_nodes, make_roster
from relay_kit import wait_until
from tocsin_node.meshlink import (
    PULSE_INTERVAL_SECONDS,
    Admitted,
    Asked,
    Configure,
    Message,
    PeerDown,
    PeerUp,
    Publish,
    Published,
    Ready,
    Reply,
    UseRoster,
)
from tocsin_node.relay import supervisor as supervisor_module
from tocsin_node.relay.metrics import Metrics
from tocsin_node.relay.supervisor import MAX_WAITING_MESSAGES, MeshError, MeshSupervisor

SHORT_SECONDS = 60.0
"""What a replacement may take here: far above what it needs, far below an operator's patience."""


@dataclass
class Relay:
    """One supervisor and everything its mesh told."""

    node: Node
    supervisor: MeshSupervisor
    metrics: Metrics
    told: list[Message]

    def starts(self, why: str) -> float:
        return self.metrics.registry.get_sample_value("tocsin_mesh_starts_total", {"why": why}) or 0.0

    def pid(self) -> int:
        assert self.supervisor.pid is not None
        return self.supervisor.pid

    async def wait_up(self) -> int:
        with trio.fail_after(60):
            await self.supervisor.up.wait()
        return self.pid()

    async def wait_replaced(self, pid: int) -> int:
        """Wait for a mesh that listens and is not this one."""
        supervisor = self.supervisor
        with trio.fail_after(SHORT_SECONDS):
            await wait_until(lambda: supervisor.pid not in (None, pid) and supervisor.up.is_set())
        return self.pid()


@asynccontextmanager
async def open_supervisor(node: Node, roster: bytes) -> AsyncIterator[Relay]:
    metrics, told = Metrics(), []

    def configure() -> Configure:
        return Configure(node.seed, ["/ip4/127.0.0.1/tcp/0"], node.publisher, roster, {})

    supervisor = MeshSupervisor(configure, lambda peer_id: True, metrics)
    kinds = (Admitted, Asked, Published, PeerUp, PeerDown, Ready)
    supervisor.routes = {kind: told.append for kind in kinds}
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run_supervisor)
        yield Relay(node, supervisor, metrics, told)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_alone() -> AsyncIterator[Relay]:
    (node,) = make_nodes(1)
    async with open_supervisor(node, make_roster([node])) as relay:
        await relay.wait_up()
        yield relay


@asynccontextmanager
async def open_pair() -> AsyncIterator[tuple[Relay, Relay]]:
    nodes = make_nodes(2)
    roster = make_roster(nodes)
    async with open_supervisor(nodes[0], roster) as one, open_supervisor(nodes[1], roster) as other:
        await one.wait_up()
        await other.wait_up()
        introduce(one, other, roster)
        await wait_until(lambda: bool(one.supervisor.peers) and bool(other.supervisor.peers))
        yield one, other


def introduce(one: Relay, other: Relay, roster: bytes) -> None:
    addresses = {relay.node.peer_id: relay.supervisor.listen for relay in (one, other)}
    for relay in (one, other):
        relay.supervisor.send(UseRoster(roster, addresses))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.usefixtures("never_frozen")
async def test_a_mesh_that_is_killed_is_replaced() -> None:
    async with open_alone() as relay:
        pid = relay.pid()
        for _ in range(3):
            os.kill(pid, signals.SIGKILL)
            pid = await relay.wait_replaced(pid)
        assert relay.starts("died") == 3
        assert relay.supervisor.listen


async def test_a_mesh_that_is_frozen_is_replaced_and_gone() -> None:
    async with open_alone() as relay:
        pid = relay.pid()
        os.kill(pid, signals.SIGSTOP)
        await relay.wait_replaced(pid)
        # where the machine stands still for a while, so may the next one have been taken for frozen
        assert relay.starts("frozen") >= 1
        assert not is_running(pid)


async def test_a_mesh_is_not_taken_for_frozen_where_we_stood_still() -> None:
    async with open_alone() as relay:
        pid = relay.pid()
        for _ in range(2):
            time.sleep(supervisor_module.FROZEN_SECONDS + 1)  # noqa: ASYNC251 - the loop itself is to stand still
            await trio.sleep(2 * PULSE_INTERVAL_SECONDS)
        assert relay.pid() == pid
        assert relay.starts("frozen") == 0


@pytest.mark.parametrize("is_connected", [False, True])
async def test_a_mesh_that_is_frozen_while_it_starts_is_replaced(
    monkeypatch: pytest.MonkeyPatch, *, is_connected: bool
) -> None:
    # that a start takes too long does not come into it
    monkeypatch.setattr(supervisor_module, "START_SECONDS", 3_600.0)
    (node,) = make_nodes(1)
    async with open_supervisor(node, make_roster([node])) as relay:
        await wait_until(lambda: relay.supervisor.pid is not None)
        pid = relay.pid()
        if is_connected:
            # it has the relay's socket open, and has not said that it is ready
            await wait_until(lambda: has_socket(pid))
        os.kill(pid, signals.SIGSTOP)
        await wait_until(lambda: relay.supervisor.pid not in (None, pid))
        await relay.wait_up()
        assert relay.starts("frozen") >= 1
        assert not is_running(pid)


def has_socket(pid: int) -> bool:
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(os.readlink(link))
    return any(link.startswith("socket:") for link in links)


@pytest.mark.usefixtures("never_frozen")
async def test_a_mesh_ends_with_its_relay() -> None:
    async with open_alone() as relay:
        pid = relay.pid()
    assert not is_running(pid)


async def test_a_mesh_sees_nothing_of_the_relays_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_TEST_SECRET", "do not tell")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/nowhere")
    async with open_alone() as relay:
        environment = await trio.Path(f"/proc/{relay.pid()}/environ").read_bytes()
    assert b"TOCSIN_TEST_SECRET" not in environment
    assert b"CREDENTIALS_DIRECTORY" not in environment


@pytest.mark.usefixtures("never_frozen")
async def test_what_is_sent_while_a_mesh_starts_neither_ends_it_nor_waits() -> None:
    (node,) = make_nodes(1)
    async with open_supervisor(node, make_roster([node])) as relay:
        sent: list[bool] = []
        with trio.fail_after(60):
            while not relay.supervisor.up.is_set():
                sent.append(relay.supervisor.send(node.message()))
                await trio.lowlevel.checkpoint()
        assert not any(sent)
        assert relay.supervisor.send(node.message())
        await trio.sleep(0.5)
        assert (relay.starts("first"), relay.starts("died"), relay.starts("link-failed")) == (1, 0, 0)


async def test_who_waits_for_the_mesh_hears_of_it_even_when_the_first_one_fails() -> None:
    (node,) = make_nodes(1)
    async with open_supervisor(node, make_roster([node])) as relay:
        waiting = relay.supervisor.up
        await wait_until(lambda: relay.supervisor.pid is not None)
        os.kill(relay.pid(), signals.SIGKILL)
        with trio.fail_after(60):
            await waiting.wait()


async def test_without_a_mesh_nothing_waits() -> None:
    (node,) = make_nodes(1)
    supervisor = MeshSupervisor(
        lambda: Configure(node.seed, [], node.publisher, b"", {}), lambda peer_id: True, Metrics()
    )
    assert not supervisor.send(node.message())
    with pytest.raises(MeshError, match="the mesh is down"):
        await supervisor.ask("peer", b"request")


async def test_a_frozen_mesh_does_not_hold_up_who_sends() -> None:
    async with open_alone() as relay:
        message = relay.node.message(b"x" * 8_000)
        pid = relay.pid()
        os.kill(pid, signals.SIGSTOP)
        taken = sum(relay.supervisor.send(message) for _ in range(MAX_WAITING_MESSAGES + 100))
        # one more where the writer was waiting for the next
        assert MAX_WAITING_MESSAGES <= taken <= MAX_WAITING_MESSAGES + 1
        dropped = relay.metrics.registry.get_sample_value("tocsin_dropped_total", {"reason": "mesh-queue-full"})
        assert dropped == MAX_WAITING_MESSAGES + 100 - taken
        await relay.wait_replaced(pid)


@pytest.mark.usefixtures("never_frozen")
async def test_signals_and_requests_go_from_relay_to_relay_and_again_after_a_death() -> None:
    async with open_pair() as (one, other):
        for round_number in (1, 2):
            publish: Publish = one.node.message(b"x" * 300)
            one.supervisor.send(publish)
            await wait_until(told(one, lambda m, p=publish: m == Published(1, p.sequence)))
            await wait_until(told(other, lambda m, p=publish: isinstance(m, Admitted) and p.envelope in m.envelopes))
            assert await ask(one, other, b"how many?") == b"as many as you like"
            if round_number == 1:
                pid = other.pid()
                os.kill(pid, signals.SIGKILL)
                await other.wait_replaced(pid)
                roster = make_roster([one.node, other.node])
                introduce(one, other, roster)
                await wait_until(told(one, lambda m: isinstance(m, PeerDown)))
                await wait_until(lambda: bool(one.supervisor.peers) and bool(other.supervisor.peers))


def told(relay: Relay, is_right: Callable[..., bool]) -> Callable[[], bool]:
    return lambda: any(is_right(message) for message in relay.told)


async def ask(one: Relay, other: Relay, request: bytes) -> bytes:
    """Ask through both meshes; the other relay answers."""
    other.told[:] = [message for message in other.told if not isinstance(message, Asked)]
    answers: list[bytes] = []
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            answers.append(await one.supervisor.ask(other.node.peer_id, request))

        nursery.start_soon(run)
        await wait_until(told(other, lambda m: isinstance(m, Asked)))
        asked = next(message for message in other.told if isinstance(message, Asked))
        assert (asked.peer_id, asked.request) == (one.node.peer_id, request)
        other.supervisor.send(Reply(asked.request_id, b"as many as you like"))
    return answers[0]


@pytest.mark.usefixtures("never_frozen")
async def test_a_request_under_way_fails_when_the_mesh_dies() -> None:
    async with open_pair() as (one, other), trio.open_nursery() as nursery:

        async def run() -> None:
            with pytest.raises(MeshError, match="the mesh went down"):
                await one.supervisor.ask(other.node.peer_id, b"request")

        nursery.start_soon(run)
        await wait_until(told(other, lambda m: isinstance(m, Asked)))
        os.kill(one.pid(), signals.SIGKILL)


async def test_a_request_to_who_is_not_there_says_why() -> None:
    async with open_alone() as relay:
        (stranger,) = make_nodes(1, "stranger")
        with pytest.raises(MeshError, match=r"\w"):
            await relay.supervisor.ask(stranger.peer_id, b"request")
