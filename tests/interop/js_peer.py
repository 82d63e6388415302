"""A js-libp2p roster member in a process of its own, driven over its standard streams."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio
from mesh_kit import Node

DEADLINE_SECONDS = 180

T = TypeVar("T")


class JsError(Exception):
    """The js peer refused a request; the message is its own."""


class JsPeer:
    """The running peer: requests, and the events it told of."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._answers: dict[int, dict[str, Any]] = {}
        self._asked = 0
        self._ended = False
        self.events: list[dict[str, Any]] = []
        self.news = trio.Event()
        self.peer_id = ""
        self.listen: list[str] = []

    async def call(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return its answer; raises JsError."""
        self._asked += 1
        number = self._asked
        await self._stdin.send_all(json.dumps({"id": number, "op": op, **fields}).encode() + b"\n")
        await self.wait_for(lambda: number in self._answers)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise JsError(answer["error"])
        return answer

    async def wait_for(self, found: Callable[[], T], seconds: float = DEADLINE_SECONDS) -> T:
        """Wait until `found` returns something true; looked at whenever the peer says something."""
        with trio.fail_after(seconds):
            while not (value := found()):
                assert not self._ended, f"the js peer ended with {self._process.returncode}"
                await self.news.wait()
            return value

    async def poll(self, found: Callable[[dict[str, Any]], T], seconds: float = DEADLINE_SECONDS) -> T:
        """Ask for the peer's state until `found` finds something true in it."""
        with trio.fail_after(seconds):
            while True:
                value = found(await self.call("state"))
                if value:
                    return value
                await trio.sleep(0.1)

    def signals(self, publisher: bytes, lane: int = 1) -> list[int]:
        """Sequences of a feed the peer admitted, in the order they came."""
        return [
            event["sequence"]
            for event in self.events
            if event["event"] == "signal" and event["publisher"] == publisher.hex() and event["lane"] == lane
        ]

    async def run_receiver(self) -> None:
        """Take what the peer writes, until it ends."""
        buffer = bytearray()
        while chunk := await self._stdout.receive_some(256 * 1024):
            buffer += chunk
            *lines, rest = buffer.split(b"\n")
            buffer = bytearray(rest)
            for line in lines:
                value = json.loads(line)
                if "event" in value:
                    self.events.append(value)
                else:
                    self._answers[value["id"]] = value
            self._tell()
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        self.news.set()
        self.news = trio.Event()


@asynccontextmanager
async def running_js(
    node: Node, roster: bytes, js_dir: Path, dial: dict[str, list[str]] | None = None, listen: str = ""
) -> AsyncIterator[JsPeer]:
    """Start a js peer with a member's keys; it is ended with the block. `dial`: addresses by peer id."""
    process = await trio.lowlevel.open_process(
        ["node", "peer.mjs"], cwd=js_dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    peer = JsPeer(process)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.run_receiver)
            started = await peer.call(
                "start",
                seed=node.seed.hex(),
                secret=node.secret.hex(),
                roster=roster.hex(),
                listen=[listen or "/ip4/127.0.0.1/tcp/0"],
                dial={p: [without_peer(a) for a in addresses] for p, addresses in (dial or {}).items()},
            )
            peer.peer_id, peer.listen = started["peer"], [without_peer(a) for a in started["listen"]]
            yield peer
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            await trio.aclose_forcefully(stream)


def without_peer(address: str) -> str:
    """A multiaddr without its /p2p part."""
    return address.split("/p2p/", 1)[0]
