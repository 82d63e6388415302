"""A node killed with -9 and started again: how long after reconnecting until a peer has its next signal."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import trio
from tocsin_protocol.taxonomy import CRITICAL, Severity

from tocsin_node.clock import now_ms
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.network import create_local_network
from tocsin_node.demo.processes import NodeProcess, open_nodes, wait_connected
from tocsin_node.signal_json import signal_to_json

from .result import LOWER, Result, measured
from .workload import sample_signal

RESTARTS = 100
GOAL = (LOWER, 2.0)
START_SECONDS = 90.0
ROUND_SECONDS = 60.0
POLL_SECONDS = 0.005


async def bench_restart(group: str, advance: Callable[[], None], restarts: int = RESTARTS) -> list[Result]:
    """Kill, start, and be heard, again and again."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        homes = create_local_network(Path(directory), ["restarted", "listener", "other"], now_ms())
        async with open_nodes(homes) as nodes:
            with trio.fail_after(START_SECONDS):
                await wait_connected(nodes)
            heard = []
            for number in range(restarts):
                with trio.fail_after(ROUND_SECONDS):
                    heard.append(await _restart_once(nodes[0], nodes[1], number))
                advance()
    return [
        measured(group, "restarted node is heard: p50", median(heard), "s", GOAL),
        measured(group, "restarted node is heard: worst", max(heard), "s", GOAL),
    ]


async def _restart_once(restarted: NodeProcess, listener: NodeProcess, number: int) -> float:
    """Seconds from the listener's seeing it connected until the listener holds its next signal."""
    publisher = "0x" + restarted.home.entry.publisher.id.hex()

    def is_connected(status: dict[str, object]) -> bool:
        peers = status["peers"]
        assert isinstance(peers, list)  # noqa: S101 - what status documents
        return any(peer["publisher"] == publisher and peer["connected"] for peer in peers)

    restarted.kill()
    await listener.wait_status(lambda status: not is_connected(status))
    restarted.start()
    await listener.wait_status(is_connected)
    began = time.perf_counter()
    await restarted.wait_status(lambda status: status["publishing"].startswith("open"))
    signal = sample_signal(number, now_ms(), severity=Severity.CRITICAL)
    answer = await restarted.ask(Verb.PUBLISH, signals=[signal_to_json(signal)])
    sequence = answer["sealed"][0]["sequence"]
    while not _holds(listener, restarted.home.entry.publisher.id, sequence):  # noqa: ASYNC110 - in another process
        await trio.sleep(POLL_SECONDS)
    return time.perf_counter() - began


def _holds(node: NodeProcess, publisher: bytes, sequence: int) -> bool:
    with node.open_reader() as reader:
        return any(f.publisher == publisher and f.lane == CRITICAL and f.head >= sequence for f in reader.feeds())
