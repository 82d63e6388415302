"""Keeps a mesh process running: starts it, talks to it, and replaces it when it dies or freezes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
import trio

from tocsin_node.meshlink import (
    PULSE_INTERVAL_SECONDS,
    Answered,
    Ask,
    Configure,
    Link,
    LinkError,
    Message,
    PeerDown,
    PeerUp,
    Pulse,
    Ready,
)

from .metrics import Metrics
from .stuck import wait_stuck

# Eight pulses missed: the process hangs, whatever the reason. Counted in turns of our own: while we stand still
# ourselves, with the machine or by ourselves, what it says waits for us.
FROZEN_SECONDS = 2.0
START_SECONDS = 30.0
# After this long a mesh counts as healthy, and the next failure starts from the shortest back-off.
HEALTHY_SECONDS = 10.0
FIRST_BACK_OFF_SECONDS = 0.05
LONGEST_BACK_OFF_SECONDS = 5.0
ASK_SECONDS = 12.0
MAX_WAITING_MESSAGES = 8192
MESSAGES_PER_WRITE = 256
# Between two looks at what else there is to do, while a busy mesh talks.
MESSAGES_PER_TURN = 64
# What the child may see of our environment: no credentials, no keys.
KEPT_ENVIRONMENT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "TMPDIR")

_log = structlog.get_logger("tocsin.mesh")


class MeshError(Exception):
    """A request that the mesh could not carry; the message says why."""


class MeshSupervisor:
    """The relay's end of the link. Sending never waits: what a frozen mesh does not read is dropped and counted."""

    def __init__(self, configure: Callable[[], Configure], is_member: Callable[[str], bool], metrics: Metrics) -> None:
        self._configure = configure
        self._is_member = is_member
        # Who takes which message; each returns at once.
        self.routes: Mapping[type[Any], Callable[[Any], None]] = {}
        self._metrics = metrics
        self._to_mesh: trio.MemorySendChannel[Message] | None = None
        self._asks: dict[int, trio.MemorySendChannel[Answered]] = {}
        self._next_ask = 0
        # How often in a row we looked and the mesh had said nothing.
        self._silent_turns = 0
        self.pid: int | None = None
        self.listen: list[str] = []
        self.peers: set[str] = set()
        self.up = trio.Event()

    def send(self, *messages: Message) -> bool:
        """Queue messages for the mesh; False when there is none or it does not keep up."""
        if self._to_mesh is None:
            return False
        try:
            for message in messages:
                self._to_mesh.send_nowait(message)
        except (trio.WouldBlock, trio.BrokenResourceError):
            self._metrics.dropped.labels("mesh-queue-full").inc()
            return False
        return True

    async def ask(self, peer_id: str, request: bytes) -> bytes:
        """Send a sync request to a peer and return its response; raises MeshError."""
        self._next_ask += 1
        number = self._next_ask
        send, receive = trio.open_memory_channel[Answered](1)
        self._asks[number] = send
        try:
            if not self.send(Ask(number, peer_id, request)):
                raise MeshError("the mesh is down")
            with trio.fail_after(ASK_SECONDS):
                answer = await receive.receive()
        except trio.TooSlowError as exc:
            raise MeshError(f"no answer within {ASK_SECONDS:.0f} s") from exc
        except trio.EndOfChannel as exc:
            raise MeshError("the mesh went down") from exc
        finally:
            self._asks.pop(number, None)
        if answer.error:
            raise MeshError(answer.error)
        return answer.response

    async def run_supervisor(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run one mesh process after another until cancelled. Nothing else of the relay waits for one."""
        back_off, why = FIRST_BACK_OFF_SECONDS, "first"
        task_status.started()
        while True:
            self._metrics.mesh_starts.labels(why).inc()
            began = trio.current_time()
            try:
                why = await self._run_once()
            except OSError as exc:
                # No room for a process, a socket or a folder: that may pass, and the relay goes on without a mesh.
                _log.error("mesh cannot be started", why=str(exc))
                why = "start-failed"
            if trio.current_time() - began > HEALTHY_SECONDS:
                back_off = FIRST_BACK_OFF_SECONDS
            _log.warning("mesh ended", why=why, restart_in_seconds=back_off)
            await trio.sleep(back_off)
            back_off = min(2 * back_off, LONGEST_BACK_OFF_SECONDS)

    async def _run_once(self) -> str:
        """Run one mesh process to its end and say why it ended."""
        with tempfile.TemporaryDirectory(prefix="tocsin-") as directory:
            path = Path(directory) / "mesh.sock"
            listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
            with listener:
                await listener.bind(str(path))
                listener.listen(1)
                environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
                process = _start(path, environment)
                self.pid = process.pid
                try:
                    connection = None
                    with trio.move_on_after(START_SECONDS) as starting:
                        async with trio.open_nursery() as nursery:
                            nursery.start_soon(_cancel_at_exit, process, nursery.cancel_scope)
                            nursery.start_soon(_cancel_when_stuck, process.pid, nursery.cancel_scope)
                            connection, _ = await listener.accept()
                            nursery.cancel_scope.cancel()
                    if starting.cancelled_caught:
                        return "start-too-slow"
                    if process.poll() is not None:
                        return "died"
                    if connection is None:
                        return "frozen"
                    return await self._talk(Link(trio.SocketStream(connection)), process.pid)
                finally:
                    self.pid = None
                    process.kill()
                    with trio.CancelScope(shield=True):
                        await _wait(process)

    async def _talk(self, link: Link, pid: int) -> str:
        """Serve one mesh until it dies, freezes or breaks the rules of the link."""
        send, receive = trio.open_memory_channel[Message](MAX_WAITING_MESSAGES)
        ended = "died"
        try:
            async with trio.open_nursery() as nursery:
                alive = trio.CancelScope(deadline=trio.current_time() + START_SECONDS)
                with alive:
                    # Configure goes alone: nothing else is taken until the mesh says that it is ready.
                    await link.send(self._configure())
                    nursery.start_soon(_write, link, receive)
                    starting = await nursery.start(_watch_start, pid, alive)
                    while (messages := await link.receive()) is not None:
                        self._silent_turns = 0
                        if not starting.cancel_called:
                            starting.cancel()
                            alive.deadline = math.inf
                            nursery.start_soon(self._watch_pulse, alive)
                        for number, message in enumerate(messages, start=1):
                            if isinstance(message, Ready):
                                self._to_mesh = send
                            self._take(message)
                            if number % MESSAGES_PER_TURN == 0:
                                await trio.lowlevel.checkpoint()
                        await trio.lowlevel.checkpoint()
                if alive.cancelled_caught:
                    ended = "frozen"
                nursery.cancel_scope.cancel()
        except* LinkError as group:
            _log.warning("mesh link failed", why=str(group.exceptions[0]))
            ended = "link-failed"
        finally:
            self._down()
            with trio.move_on_after(1, shield=True):
                await link.aclose()
        return ended

    async def _watch_pulse(self, alive: trio.CancelScope) -> None:
        """End `alive` when the mesh, which has spoken, is silent."""
        while self._silent_turns * PULSE_INTERVAL_SECONDS < FROZEN_SECONDS:
            await trio.sleep(PULSE_INTERVAL_SECONDS)
            self._silent_turns += 1
        alive.cancel()

    def _take(self, message: Message) -> None:
        try:
            self._take_unsafe(message)
        except Exception as exc:
            # The mesh is trusted for nothing: whatever it said, it ends itself and never the relay.
            _log.exception("message of the mesh could not be taken", kind=type(message).__name__)
            raise LinkError(f"{type(message).__name__} could not be taken") from exc

    def _take_unsafe(self, message: Message) -> None:
        match message:
            case Pulse(counters):
                self._metrics.use_mesh_counters(counters)
            case Answered():
                waiting = self._asks.get(message.request_id)
                if waiting is not None:
                    waiting.send_nowait(message)
                    del self._asks[message.request_id]
            case Ready(listen):
                self.listen = listen
                self.up.set()
                _log.info("mesh listens", addresses=listen, pid=self.pid)
            case PeerUp(peer_id):
                if not self._is_member(peer_id):
                    return
                self.peers.add(peer_id)
            case PeerDown(peer_id):
                self.peers.discard(peer_id)
        self._route(message)

    def _route(self, message: Message) -> None:
        take = self.routes.get(type(message))
        if take is not None:
            take(message)

    def _down(self) -> None:
        self._to_mesh = None
        if self.up.is_set():
            # Who waits for an event that was never set goes on waiting for the same one.
            self.up = trio.Event()
        for peer_id in tuple(self.peers):
            self.peers.discard(peer_id)
            self._route(PeerDown(peer_id))
        for waiting in self._asks.values():
            waiting.close()
        self._asks.clear()


def _start(path: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A mesh that is frozen when we are killed would keep its port from the next relay, so it asks the kernel to be
    # killed with the thread that started it. That must be this one: trio's own way takes a worker, which soon ends.
    command = [sys.executable, "-P", "-m", "tocsin_node.mesh", str(path), str(os.getpid())]
    return subprocess.Popen(command, env=environment)


async def _wait(process: subprocess.Popen[bytes]) -> None:
    await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)


async def _cancel_at_exit(process: subprocess.Popen[bytes], scope: trio.CancelScope) -> None:
    await _wait(process)
    scope.cancel()


async def _cancel_when_stuck(pid: int, scope: trio.CancelScope) -> None:
    await wait_stuck(pid)
    scope.cancel()


async def _watch_start(pid: int, alive: trio.CancelScope, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    """End `alive` when the start is stuck; cancel the scope it hands out once the mesh speaks for itself."""
    with trio.CancelScope() as watching:
        task_status.started(watching)
        await _cancel_when_stuck(pid, alive)


async def _write(link: Link, receive: trio.MemoryReceiveChannel[Message]) -> None:
    async for first in receive:
        batch = [first]
        while len(batch) < MESSAGES_PER_WRITE:
            try:
                batch.append(receive.receive_nowait())
            except trio.WouldBlock:
                break
        await link.send(*batch)
