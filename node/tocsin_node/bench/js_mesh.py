"""The js-libp2p mesh our own is measured against: as many processes, messages and signature checks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import trio

from tocsin_node.clock import now_ms

from .figures import MeshFigures, Usage, mesh_figures, shares

SCRIPT = "bench_mesh.mjs"
# As ours speaks it; with 1.2 the CPU a delivery was 0.8 to 1.1 times this, in the noise of the machine.
GOSSIPSUB = "/meshsub/1.1.0"
START_SECONDS = 60.0
# Deliveries are given up when none came for this long.
STALL_SECONDS = 10.0
POLL_SECONDS = 0.2
# Messages a node sends before the measure, so that start-up and compiling do not count.
WARM_UP_MESSAGES = 500
WARM_UP_RATE = 200
# Everybody starts sending at one moment, this far ahead.
HEAD_START_SECONDS = 0.5
READ_BYTES = 256 * 1024
MAX_ANSWER_BYTES = 64 * 1024 * 1024


class JsMeshError(Exception):
    """A js node died or reported an error. The message is the reason."""


async def run_js_mesh(
    js_dir: Path,
    nodes: int,
    rate: int | None,
    seconds: int,
    burst: int,
    size: int,
    *,
    publishers: int | None = None,
    gossipsub: str = GOSSIPSUB,
) -> MeshFigures:
    """Run a js-libp2p mesh of `nodes` processes, fully connected over loopback, and measure it.

    With a `rate` (messages/s of the whole mesh) for `seconds`; without, a burst of `burst` messages. The first
    `publishers` nodes (default all) share the sending. Raises JsMeshError.
    """
    senders = publishers or nodes
    async with _running_nodes(js_dir, nodes, gossipsub) as mesh:
        total = rate * seconds if rate is not None else burst
        await _send(mesh[:senders], mesh, WARM_UP_MESSAGES, WARM_UP_RATE, size)
        await _take_latencies(mesh)
        for node, count in zip(mesh[:senders], shares(total, senders), strict=True):
            await node.ask("prepare", count=count, size=size, first=WARM_UP_MESSAGES)
        before = [await node.usage() for node in mesh]
        await _send(mesh[:senders], mesh, total, rate, None)
        after = [await node.usage() for node in mesh]
        return mesh_figures(total, nodes, await _take_latencies(mesh), before, after)


class _Node:
    """One node process, asked one thing at a time."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._buffer = bytearray()
        self.peer = self.key = self.address = ""

    @classmethod
    async def start(cls, js_dir: Path, number: int, gossipsub: str) -> Self:
        process = await trio.lowlevel.open_process(
            ["node", SCRIPT], cwd=js_dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        node = cls(process)
        try:
            answer = await node.ask("start", seed=(number + 1).to_bytes(32, "big").hex(), protocol=gossipsub)
        except BaseException:
            await node.kill()
            raise
        node.peer, node.key, node.address = answer["peer"], answer["key"], answer["listen"][0]
        return node

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return its answer; raises JsMeshError."""
        if self._process.stdin is None or self._process.stdout is None:
            raise JsMeshError("node has no pipes")
        try:
            await self._process.stdin.send_all(json.dumps({"op": op, **fields}).encode() + b"\n")
        except trio.BrokenResourceError as exc:
            raise JsMeshError(f"js node died before {op}; is `make set-up` done?") from exc
        while b"\n" not in self._buffer:
            chunk = await self._process.stdout.receive_some(READ_BYTES)
            if not chunk or len(self._buffer) > MAX_ANSWER_BYTES:
                raise JsMeshError(f"js node gave no answer to {op}; is `make set-up` done?")
            self._buffer += chunk
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer = bytearray(rest)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise JsMeshError(f"js node failed at {op}: {answer['error']}")
        return answer

    async def usage(self) -> Usage:
        answer = await self.ask("measure")
        if answer["refused"]:
            raise JsMeshError(f"js node refused {answer['refused']} messages")
        return Usage(answer["cpuMs"], answer["rssBytes"])

    async def kill(self) -> None:
        self._process.kill()
        with trio.CancelScope(shield=True):
            await self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                await trio.aclose_forcefully(pipe)


@asynccontextmanager
async def _running_nodes(js_dir: Path, count: int, gossipsub: str) -> AsyncIterator[list[_Node]]:
    nodes: list[_Node] = []
    try:
        with trio.fail_after(START_SECONDS):
            for number in range(count):
                nodes.append(await _Node.start(js_dir, number, gossipsub))
            known = {node.peer: node.key for node in nodes}
            async with trio.open_nursery() as nursery:
                for number, node in enumerate(nodes):
                    dial = [other.address for other in nodes[:number]]
                    nursery.start_soon(_join, node, known, dial)
        yield nodes
    except trio.TooSlowError as exc:
        raise JsMeshError(f"js mesh was not connected within {START_SECONDS:.0f} s") from exc
    finally:
        for node in nodes:
            await node.kill()


async def _join(node: _Node, known: dict[str, str], dial: list[str]) -> None:
    await node.ask("join", known=known, dial=dial)


async def _send(senders: list[_Node], mesh: list[_Node], total: int, rate: int | None, size: int | None) -> None:
    """Send, and wait until everything came or nothing comes any more. With a size, prepare the messages first."""
    if size is not None:
        for node, count in zip(senders, shares(total, len(senders)), strict=True):
            await node.ask("prepare", count=count, size=size, first=0)
    start_ms = now_ms() + HEAD_START_SECONDS * 1000
    async with trio.open_nursery() as nursery:
        for number, node in enumerate(senders):
            # Senders take turns instead of sending at the same moments.
            offset_ms = 0.0 if rate is None else 1000 * number / rate
            share = None if rate is None else rate / len(senders)
            nursery.start_soon(_send_share, node, share, start_ms + offset_ms)
    await _wait_delivered(mesh, total * (len(mesh) - 1))


async def _send_share(node: _Node, rate: float | None, start_ms: float) -> None:
    await node.ask("send", rate=rate, startMs=start_ms)


async def _wait_delivered(mesh: list[_Node], expected: int) -> None:
    delivered, progress_at = 0, trio.current_time()
    while delivered < expected and trio.current_time() - progress_at < STALL_SECONDS:
        await trio.sleep(POLL_SECONDS)
        now_delivered = sum([(await node.ask("delivered"))["delivered"] for node in mesh])
        if now_delivered > delivered:
            delivered, progress_at = now_delivered, trio.current_time()


async def _take_latencies(mesh: list[_Node]) -> list[float]:
    latencies_ms: list[float] = []
    for node in mesh:
        latencies_ms += (await node.ask("latencies"))["latencies"]
    return latencies_ms
