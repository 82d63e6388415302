"""The bench of containment in short: what it counts is there, and all of it is measured."""

from __future__ import annotations

from tocsin_node.bench.contain_chains import bench_chains
from tocsin_node.bench.contain_latency import bench_latency


async def test_every_action_on_every_chain_is_done_once() -> None:
    steps: list[None] = []
    results = await bench_chains("contain", lambda: steps.append(None), chains=3, actions_each=9)
    assert len(steps) == 2
    assert [(result.name.partition(": ")[2], result.value) for result in results[:3]] == [
        ("effective", 27),
        ("effects on chain", 27),
        ("done twice", 0),
    ]
    assert all(result.met for result in results[:3])


async def test_the_bench_of_latency_measures_every_case() -> None:
    steps: list[None] = []
    results = await bench_latency("contain", lambda: steps.append(None), rounds=2)
    assert len(steps) == 2
    assert [result.goal for result in results if result.goal] == ["<= 20", "<= 2", "<= 2"]
    assert all(result.value > 0 for result in results)
