"""A log of a million entries: proofs from it, opening it again, and every entry hashed anew."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import trio
from tocsin_protocol.log.bundle import verify_proof_bundle
from tocsin_protocol.log.trust import NO_QUORUM, TrustPolicy

from tocsin_node.errors import NodeError
from tocsin_node.record.checking import check_log
from tocsin_node.record.proving import Prover
from tocsin_node.store.audit import append_audits
from tocsin_node.store.log_files import StoreLog
from tocsin_node.store.writer import Store

from .figures import percentile
from .log_appending import NETWORK_ID, PUBLISHER, SECRET, rows_of
from .result import LOWER, Result, measured

ENTRIES = 1_000_000
ENTRIES_A_COMMIT = 4_096
PROOFS = 1_000
OPENINGS = 10
READS = 4
GOAL_PROOF_MS = (LOWER, 3.0)
GOAL_OPEN_S = (LOWER, 1.0)


async def bench_reading(group: str, advance: Callable[[], None], entries: int = ENTRIES) -> list[Result]:
    """Figures of a log of so many entries; raises NodeError where a proof or the log does not hold."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        data_dir = Path(name)
        began = time.perf_counter()
        await _fill(data_dir, entries)
        filling = entries / (time.perf_counter() - began)
        advance()
        with closing(StoreLog(data_dir)) as own:
            results = [measured(group, f"entries, {ENTRIES_A_COMMIT} a commit", filling, "1/s"), *_prove(group, own)]
            advance()
            began = time.perf_counter()
            if faults := check_log(own, own.head):
                raise NodeError(f"the log of the bench is not whole: {faults[0]}")
            hashing = time.perf_counter() - began
            advance()
        seconds = _open_seconds(data_dir)
        advance()
    return [
        *results,
        measured(group, f"hash {entries} entries anew", hashing, "s"),
        measured(group, f"hash {entries} entries anew", entries / hashing, "1/s"),
        measured(group, f"open a log of {entries}, slowest of {OPENINGS}", seconds, "s", GOAL_OPEN_S),
    ]


async def _fill(data_dir: Path, entries: int) -> None:
    store = Store(data_dir, PUBLISHER, NETWORK_ID, SECRET)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.writer.run_writer)
        for first in range(0, entries, ENTRIES_A_COMMIT):
            rows = rows_of(first, min(ENTRIES_A_COMMIT, entries - first))
            await store.writer.submit(partial(append_audits, rows=rows))
        nursery.cancel_scope.cancel()
    store.close()


def _prove(group: str, own: StoreLog) -> list[Result]:
    """Each proof by a prover of its own, which has read no tile before."""
    rng, head, note = random.Random(1), own.head, own.checkpoint()  # noqa: S311 - no secret
    trust = TrustPolicy((own.key,), {}, {}, NO_QUORUM)
    inclusion, consistency = [], []
    for _ in range(PROOFS):
        index, old = rng.randrange(head.size), rng.randrange(1, head.size)
        began = time.perf_counter()
        bundle = Prover(own, head, note).prove_entry(index)
        inclusion.append((time.perf_counter() - began) * 1000)
        verify_proof_bundle(bundle, trust)
        began = time.perf_counter()
        Prover(own, head, note).prove_growth(old)
        consistency.append((time.perf_counter() - began) * 1000)
    return [
        measured(group, "inclusion proof, p50", percentile(inclusion, 50), "ms", GOAL_PROOF_MS),
        measured(group, "inclusion proof, p99", percentile(inclusion, 99), "ms"),
        measured(group, "consistency proof, p50", percentile(consistency, 50), "ms", GOAL_PROOF_MS),
        measured(group, "consistency proof, p99", percentile(consistency, 99), "ms"),
    ]


def _open_seconds(data_dir: Path) -> float:
    slowest = 0.0
    for _ in range(OPENINGS):
        began = time.perf_counter()
        store = Store(data_dir, PUBLISHER, NETWORK_ID, SECRET)
        slowest = max(slowest, time.perf_counter() - began)
        store.close()
        if store.record.fault:
            raise NodeError(store.record.fault)
    return slowest
