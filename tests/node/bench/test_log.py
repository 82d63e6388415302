"""The bench of the log in short: what it makes is whole, and every figure is measured."""

from __future__ import annotations

from tocsin_node.bench.log_appending import bench_appending
from tocsin_node.bench.log_reading import READS, bench_reading


async def test_every_size_of_commit_is_measured_beside_bare_inserts() -> None:
    steps: list[None] = []
    results = await bench_appending("log", lambda: steps.append(None), batches=((1, 5), (10, 5)), callers=4, each=3)
    assert len(steps) == 3
    assert len(results) == 8
    assert all(result.value > 0 for result in results)


async def test_proofs_opening_and_hashing_are_measured() -> None:
    steps: list[None] = []
    results = await bench_reading("log", lambda: steps.append(None), entries=5_000)
    assert len(steps) == READS
    assert [result.goal for result in results if result.goal] == ["<= 3", "<= 3", "<= 1"]
    assert all(result.value > 0 for result in results)
