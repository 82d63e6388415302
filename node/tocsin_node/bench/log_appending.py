"""Durable entries in the log, over bare inserts of the same rows with the same fsync and no tree."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import trio
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.encoding import encode_canonical

from tocsin_node.store.audit import append_audits
from tocsin_node.store.database import open_writer
from tocsin_node.store.writer import Store

from .figures import percentile
from .result import Result, measured

PUBLISHER, NETWORK_ID, SECRET = b"\1" * 20, bytes(32), b"\2" * 32
# Entries of one transaction, and how many transactions are measured.
BATCHES = ((1, 400), (100, 200), (1_000, 50))
CALLERS = 128
ENTRIES_EACH = 20

_DETAIL = encode_canonical({"path": "gossip", "verdict": "admitted"})
_Row = tuple[int, str, bytes, bytes]


def rows_of(first: int, count: int) -> list[_Row]:
    """Entries as they are about signals."""
    kind = EntryKind.SIGNAL.value
    return [(1_700_000_000_000 + n, kind, n.to_bytes(32, "big"), _DETAIL) for n in range(first, first + count)]


async def bench_appending(
    group: str,
    advance: Callable[[], None],
    batches: Sequence[tuple[int, int]] = BATCHES,
    callers: int = CALLERS,
    each: int = ENTRIES_EACH,
) -> list[Result]:
    """Entries per second by size of transaction, and how long 128 callers at once wait for one entry each."""
    results = []
    for size, rounds in batches:
        bare, ours = _bare_rate(size, rounds), await _rate(size, rounds)
        results += [
            measured(group, f"bare inserts, {size} a commit", bare, "1/s"),
            measured(group, f"durable entries, {size} a commit", ours, "1/s"),
            measured(group, f"durable entries over bare inserts, {size} a commit", ours / bare, "ratio"),
        ]
        advance()
    waits = await _waits_ms(callers, each)
    results += [
        measured(group, f"entry of one of {callers} callers, p50", percentile(waits, 50), "ms"),
        measured(group, f"entry of one of {callers} callers, p99", percentile(waits, 99), "ms"),
    ]
    advance()
    return results


def _bare_rate(size: int, rounds: int) -> float:
    """The same rows into the same table by a loop, committed as often."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        connection, lock = open_writer(Path(directory), PUBLISHER, NETWORK_ID)
        batches = [rows_of(number * size, size) for number in range(rounds)]
        began = time.perf_counter()
        for rows in batches:
            connection.execute("BEGIN IMMEDIATE")
            append_audits(connection, rows)
            connection.execute("COMMIT")
        seconds = time.perf_counter() - began
        connection.close()
        lock.close()
    return size * rounds / seconds


async def _rate(size: int, rounds: int) -> float:
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        store = Store(Path(directory), PUBLISHER, NETWORK_ID, SECRET)
        batches = [rows_of(number * size, size) for number in range(rounds)]
        async with trio.open_nursery() as nursery:
            await nursery.start(store.writer.run_writer)
            began = time.perf_counter()
            for rows in batches:
                await store.writer.submit(partial(append_audits, rows=rows))
            seconds = time.perf_counter() - began
            nursery.cancel_scope.cancel()
        store.close()
    return size * rounds / seconds


async def _waits_ms(callers: int, each: int) -> list[float]:
    waits: list[float] = []

    async def call(caller: int) -> None:
        for number in range(each):
            began = time.perf_counter()
            await store.writer.submit(partial(append_audits, rows=rows_of(caller * each + number, 1)))
            waits.append((time.perf_counter() - began) * 1000)

    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        store = Store(Path(directory), PUBLISHER, NETWORK_ID, SECRET)
        async with trio.open_nursery() as nursery:
            await nursery.start(store.writer.run_writer)
            async with trio.open_nursery() as calling:
                for caller in range(callers):
                    calling.start_soon(call, caller)
            nursery.cancel_scope.cancel()
        store.close()
    return waits
