"""Nodes as real processes of this machine: started, asked, frozen, killed, and always stopped."""

from __future__ import annotations

import contextlib
import os
import signal as signals
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import trio

from tocsin_node.config import NodeConfig, load_config
from tocsin_node.control import call_control
from tocsin_node.control_verbs import Verb
from tocsin_node.errors import NodeError, NodeUnreachable
from tocsin_node.setup_node import NodeHome
from tocsin_node.store.reader import Reader

LOG_NAME = "node.log"
POLL_SECONDS = 0.05
STOP_SECONDS = 15.0
LOG_TAIL_BYTES = 4000


class NodeProcess:
    """One `tocsin run` (or `up`) with its home. Its log is `node.log` beside the config."""

    def __init__(self, home: NodeHome) -> None:
        self.home = home
        self.config: NodeConfig = load_config(home.config_path)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The member whose node it is."""
        return self.config.node.member

    @property
    def pid(self) -> int:
        """The relay's process id; raises NodeError when it does not run."""
        if self._process is None:
            raise NodeError(f"node {self.name} is not running")
        return self._process.pid

    def start(self, verb: str = "run") -> None:
        """Start it, without waiting."""
        command = [sys.executable, "-m", "tocsin_node.cli", verb, "--home", str(self.home.directory)]
        # Its keys were made for this run: their locks go with it.
        environment = os.environ | {"XDG_STATE_HOME": str(self.home.directory / "state")}
        with (self.home.directory / LOG_NAME).open("ab") as log:
            # A group of its own: what it started can be ended with it, and a Ctrl-C at the terminal is ours alone.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    async def wait_ready(self) -> None:
        """Wait until its control socket answers; raises NodeError with the log's end when it died instead."""
        while True:
            with contextlib.suppress(NodeUnreachable):
                await self.ask(Verb.STATUS)
                return
            if self._process is None or self._process.poll() is not None:
                raise NodeError(f"node {self.name} ended: {self.log_tail()}")
            await trio.sleep(POLL_SECONDS)

    async def ask(self, verb: str, /, **arguments: Any) -> dict[str, Any]:
        """Ask over the control socket; raises NodeUnreachable or ControlError."""
        return await call_control(self.config.control_path, verb, **arguments)

    async def wait_status(self, is_right: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Poll its status until it is right; deadlines are the caller's."""
        while True:
            with contextlib.suppress(NodeUnreachable):
                status = await self.ask(Verb.STATUS)
                if is_right(status):
                    return status
            await trio.sleep(POLL_SECONDS)

    def open_reader(self) -> Reader:
        """Its database, read-only."""
        return Reader(self.config.node.data_dir)

    def http(self) -> httpx.Client:
        """A client of its feed."""
        return httpx.Client(base_url=f"http://{self.config.feed.listen}", timeout=10, trust_env=False)

    def log_tail(self) -> str:
        """The end of its log."""
        data = (self.home.directory / LOG_NAME).read_bytes()
        return data[-LOG_TAIL_BYTES:].decode(errors="replace")

    def kill(self) -> None:
        """kill -9, its children included, as a power cut would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signals.SIGKILL)
            self._process.wait()
            self._process = None

    def kill_relay(self) -> None:
        """kill -9 of the relay alone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def stop(self) -> int:
        """SIGTERM and wait; returns the exit code, after STOP_SECONDS by force."""
        process = self._process
        if process is None:
            return 0
        process.terminate()
        with trio.move_on_after(STOP_SECONDS):
            await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
        self.kill()
        return process.returncode

    def mesh_pid(self) -> int | None:
        """The process id of its mesh, if one runs now."""
        return next((pid for pid, command in self._children() if b"tocsin_node.mesh" in command), None)

    def pids(self) -> list[int]:
        """The process ids of its relay and of all that the relay has started."""
        return [self.pid, *(pid for pid, _ in self._children())]

    def _children(self) -> Iterator[tuple[int, bytes]]:
        """Process ids and command lines."""
        # Processes are started from worker threads, too: each thread has children of its own.
        for children in Path(f"/proc/{self.pid}/task").glob("*/children"):
            # a thread or a child may end meanwhile
            with contextlib.suppress(OSError):
                for child in children.read_text().split():
                    yield int(child), Path(f"/proc/{child}/cmdline").read_bytes()


@contextlib.asynccontextmanager
async def open_nodes(homes: Sequence[NodeHome], verb: str = "run") -> AsyncIterator[list[NodeProcess]]:
    """Start a node for each home and wait until all are ready; they are stopped on leaving, whatever happens."""
    nodes = [NodeProcess(home) for home in homes]
    try:
        for node in nodes:
            node.start(verb)
        for node in nodes:
            await node.wait_ready()
        yield nodes
    finally:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    nursery.start_soon(node.stop)


async def wait_connected(nodes: Sequence[NodeProcess]) -> None:
    """Wait until every node is connected to every other and may publish."""
    others = len(nodes) - 1
    for node in nodes:
        await node.wait_status(lambda s: s["mesh"]["peers"] >= others and s["publishing"].startswith("open"))
