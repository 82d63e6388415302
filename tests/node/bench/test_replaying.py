"""The bench of replays flies what it says: as many signals as it counts, by all members, and levers are used."""

from __future__ import annotations

import pytest
from tocsin_node.bench import replaying
from tocsin_node.sim.fitting import DEFAULT_POLICY, load_any_policy
from tocsin_node.sim.replay import replay


async def test_every_length_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "TIMES", (2, 4))
    steps: list[None] = []
    results = await replaying.bench_replaying("decide", lambda: steps.append(None))
    assert len(steps) == 2
    assert [result.name for result in results] == [
        "replay of 400",
        "replay of 800",
        "replay: exponent of time over signals",
    ]
    # The slope of two short flights is the machine's, and may be below zero.
    assert all(result.value > 0 for result in results[:-1])


def test_a_slope_of_one_is_linear_and_of_two_quadratic() -> None:
    assert replaying._slope([10, 20, 40], [1, 2, 4]) == pytest.approx(1)
    assert replaying._slope([10, 20, 40], [1, 4, 16]) == pytest.approx(2)


def test_what_is_measured_is_decided_on() -> None:
    outcome = replay(replaying._history(2), load_any_policy(DEFAULT_POLICY).policy, seed=0)
    assert outcome.refused == 0
    assert outcome.actions
