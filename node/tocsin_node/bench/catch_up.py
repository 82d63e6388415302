"""A node that missed many signals: how fast it catches up, over the rate at which it admits, and what it takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import trio
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import decode_roster
from tocsin_protocol.taxonomy import Severity

from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.demo.network import create_local_network
from tocsin_node.demo.processes import NodeProcess, open_nodes
from tocsin_node.keystore import open_keystore
from tocsin_node.roster_files import read_roster

from .admission import admissions_per_second
from .py_mesh import process_usage
from .result import HIGHER, LOWER, Result, measured
from .workload import seal_feed

MISSED = 50_000
RATE_GOAL = (HIGHER, 0.5)
# Flat: what grows between a tenth of the way and its end is noise of the allocator, not the backlog itself.
MEMORY_GOAL = (LOWER, 32.0)
CATCH_UP_SECONDS = 900.0
POLL_SECONDS = 0.1
_MEBIBYTE = 1024 * 1024


async def bench_catch_up(group: str, advance: Callable[[], None], missed: int = MISSED) -> list[Result]:
    """One node holds the feed of a member that is away; another starts with nothing."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        homes = create_local_network(Path(directory), ["holder", "late", "away"], now_ms())
        holder, late, away = homes
        config = load_config(away.config_path)
        secret = open_keystore(config.keys.keystore, config.read_passphrase()).publisher
        roster = RosterIndex(decode_roster(read_roster(config.network.genesis).body))
        envelopes = seal_feed(roster.roster.network_id, secret, missed, now_ms(), lane_severity=Severity.HIGH)
        data_dir = load_config(holder.config_path).node.data_dir
        rate = await admissions_per_second(data_dir, holder.entry.publisher.id, roster, envelopes)
        async with open_nodes([holder]), open_nodes([late]) as (node,):
            with trio.fail_after(CATCH_UP_SECONDS):
                seconds, growth = await _wait_caught_up(node, away.entry.publisher.id, missed, advance)
    return [
        measured(group, "admission rate of the same feed", rate, "1/s"),
        measured(group, "catching up", missed / seconds, "1/s"),
        measured(group, "catching up over admission", missed / seconds / rate, "ratio", RATE_GOAL),
        measured(group, "memory growth of the node while catching up", growth / _MEBIBYTE, "MiB", MEMORY_GOAL),
    ]


async def _wait_caught_up(
    node: NodeProcess, publisher: bytes, missed: int, advance: Callable[[], None]
) -> tuple[float, int]:
    """Seconds from the first signal to the last, and bytes grown from a tenth of the way to the end."""
    began, baseline = 0.0, 0
    while True:
        held = _held(node, publisher)
        if held and not began:
            began = time.perf_counter()
            first = held
        if held >= missed // 10 and not baseline:
            baseline = _memory(node)
        if held >= missed:
            seconds = time.perf_counter() - began
            advance()
            return seconds * missed / (missed - first), _memory(node) - baseline
        await trio.sleep(POLL_SECONDS)


def _held(node: NodeProcess, publisher: bytes) -> int:
    with node.open_reader() as reader:
        return max((feed.contiguous for feed in reader.feeds() if feed.publisher == publisher), default=0)


def _memory(node: NodeProcess) -> int:
    return sum(process_usage(pid).rss_bytes for pid in node.pids())
