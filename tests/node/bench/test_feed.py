"""The bench of the feed runs to its end on a small record, and what it counts is right."""

from __future__ import annotations

from tocsin_node.bench.feed import STEPS, Load, bench_feed


async def test_the_bench_of_the_feed_runs_and_loses_nothing() -> None:
    steps: list[None] = []
    load = Load(signals=3_000, questions=40, asking_seconds=1, listeners=5, events=20)
    results = {result.name: result for result in await bench_feed("feed", lambda: steps.append(None), load)}
    assert len(steps) == STEPS
    assert results["lost by 5 listeners, 50/s"].value == 0
    assert results["filtered query: p50"].value > 0
    assert results["requests a second of one core"].value > 0
