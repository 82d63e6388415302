"""Whole nodes of ours, relay and mesh, under the load the meshes get: every signal signed, stored and decided on."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio
from msgspec import structs
from tocsin_protocol.body import encode_body
from tocsin_protocol.roster_model import RateClass

from tocsin_node.clock import now_ms
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.network import create_local_network
from tocsin_node.demo.processes import NodeProcess, open_nodes, wait_connected
from tocsin_node.errors import NodeError
from tocsin_node.signal_json import signal_to_json
from tocsin_node.store.reader import MAX_PAGE

from .figures import MeshFigures, Usage, mesh_figures, shares
from .py_mesh import STALL_SECONDS, WARM_UP_MESSAGES, WARM_UP_RATE, process_usage
from .workload import sample_signal

START_SECONDS = 120.0
POLL_SECONDS = 0.25
# Signals of one request, as a detector hands in what it found at once.
BURST_REQUEST = 100
# What an envelope is longer than its body.
ENVELOPE_OVERHEAD_BYTES = 136


@dataclass(frozen=True, slots=True)
class NodesFigures:
    """The whole of each node, relay and mesh together, and the mesh's share of the CPU."""

    whole: MeshFigures
    mesh_cpu_ms_per_delivery: float


async def run_py_nodes(
    nodes: int, rate: int | None, seconds: int, burst: int, size: int, *, publishers: int | None = None
) -> NodesFigures:
    """Run `nodes` whole nodes over loopback and measure them; a delivery is a signal durable in another's store.

    With a `rate` (signals/s of the whole network) for `seconds`; without, a burst of `burst` signals. The first
    `publishers` nodes (default all) share the publishing; envelopes are about `size` bytes. Latency is from issue to
    the receiver's clock of arrival, in whole ms. Raises NodeError.
    """
    total = rate * seconds if rate is not None else burst
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        homes = create_local_network(
            Path(folder), [f"bench-{number}" for number in range(nodes)], now_ms(), rate_class=RateClass.HIGH
        )
        async with open_nodes(homes) as running:
            with trio.move_on_after(START_SECONDS) as starting:
                await wait_connected(running)
            if starting.cancelled_caught:
                raise NodeError(f"the nodes were not connected within {START_SECONDS:.0f} s")
            senders = running[: publishers or nodes]
            await _publish(senders, running, WARM_UP_MESSAGES, WARM_UP_RATE, size, 0)
            marks = [_last_row(node) for node in running]
            relays, meshes = _usage(running)
            await _publish(senders, running, total, rate, size, WARM_UP_MESSAGES)
            relays_after, meshes_after = _usage(running)
            latencies_ms = [
                latency
                for node, mark in zip(running, marks, strict=True)
                for latency in await _latencies_ms(node, mark)
            ]
    mesh = mesh_figures(total, nodes, latencies_ms, meshes, meshes_after)
    relay = mesh_figures(total, nodes, latencies_ms, relays, relays_after)
    whole = replace(
        relay,
        cpu_ms_per_delivery=relay.cpu_ms_per_delivery + mesh.cpu_ms_per_delivery,
        rss_growth_bytes=max(
            after.rss_bytes + mesh_after.rss_bytes - before.rss_bytes - mesh_before.rss_bytes
            for before, after, mesh_before, mesh_after in zip(relays, relays_after, meshes, meshes_after, strict=True)
        ),
    )
    return NodesFigures(whole, mesh.cpu_ms_per_delivery)


def _usage(nodes: Sequence[NodeProcess]) -> tuple[list[Usage], list[Usage]]:
    """What relays and meshes have used; raises NodeError where a mesh is down."""
    relays: list[Usage] = []
    meshes: list[Usage] = []
    for node in nodes:
        mesh = node.mesh_pid()
        if mesh is None:
            raise NodeError("a mesh died under load")
        meshes.append(process_usage(mesh))
        used = [process_usage(pid) for pid in node.pids() if pid != mesh]
        relays.append(Usage(sum(u.cpu_ms for u in used), sum(u.rss_bytes for u in used)))
    return relays, meshes


async def _publish(
    senders: Sequence[NodeProcess], nodes: Sequence[NodeProcess], total: int, rate: int | None, size: int, first: int
) -> None:
    """Publish, and wait until every node holds everything or nothing comes any more."""
    expected = {node.name: _held(node) + total for node in nodes}
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number, (node, count) in enumerate(zip(senders, shares(total, len(senders)), strict=True)):
            # Senders take turns, and no two signals of the run are alike.
            numbers = range(first + number, first + number + count * len(senders), len(senders))
            if rate is None:
                nursery.start_soon(_publish_burst, node, numbers, size)
            else:
                nursery.start_soon(_publish_at_rate, node, numbers, size, start + number / rate, len(senders) / rate)
    await _wait_held(nodes, expected)


async def _publish_at_rate(node: NodeProcess, numbers: range, size: int, start: float, step: float) -> None:
    async with trio.open_nursery() as nursery:
        for place, number in enumerate(numbers):
            await trio.sleep_until(start + place * step)
            nursery.start_soon(_publish_some, node, [number], size)


async def _publish_burst(node: NodeProcess, numbers: range, size: int) -> None:
    for place in range(0, len(numbers), BURST_REQUEST):
        await _publish_some(node, numbers[place : place + BURST_REQUEST], size)


async def _publish_some(node: NodeProcess, numbers: Sequence[int], size: int) -> None:
    await node.ask(Verb.PUBLISH, signals=[_document(number, size) for number in numbers])


def _document(number: int, size: int) -> dict[str, Any]:
    """A signal as a detector hands it in, its text as long as the envelope's size asks for."""
    signal = sample_signal(number, now_ms())
    short = size - ENVELOPE_OVERHEAD_BYTES - len(encode_body(signal))
    document = signal_to_json(structs.replace(signal, text=signal.text + "." * max(0, short)))
    del document["issued_ms"]
    return document


async def _wait_held(nodes: Sequence[NodeProcess], expected: dict[str, int]) -> None:
    held, progress_at = 0, trio.current_time()
    while trio.current_time() - progress_at < STALL_SECONDS:
        counts = {node.name: _held(node) for node in nodes}
        if all(counts[name] >= wanted for name, wanted in expected.items()):
            return
        if sum(counts.values()) > held:
            held, progress_at = sum(counts.values()), trio.current_time()
        await trio.sleep(POLL_SECONDS)


def _held(node: NodeProcess) -> int:
    """How many signals its database holds, as far as feeds have no gaps (in these runs they close)."""
    with node.open_reader() as reader:
        return sum(feed.contiguous for feed in reader.feeds())


def _last_row(node: NodeProcess) -> int:
    with node.open_reader() as reader:
        return max((row.id for row in reader.signals(limit=1)), default=0)


async def _latencies_ms(node: NodeProcess, mark: int) -> list[float]:
    """From issue to arrival, of each signal of others stored after the mark."""
    own = bytes.fromhex((await node.ask(Verb.STATUS))["publisher"].removeprefix("0x"))
    latencies_ms: list[float] = []
    with node.open_reader() as reader:
        while rows := reader.signals(after=mark, limit=MAX_PAGE):
            mark = rows[-1].id
            latencies_ms += [
                float(row.received_ms - row.signal.issued_ms)
                for row in rows
                if row.signal is not None and row.envelope.publisher != own
            ]
    return latencies_ms
