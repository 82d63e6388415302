"""What `make simulate` shows over many seeds, in short: attacks contained in time, nothing frozen in any control."""

from __future__ import annotations

from functools import cache

import pytest
from sim_kit import all_scenarios, default_policy, weakened_policy
from tocsin_node.sim.flight import prepare
from tocsin_node.sim.replay import fly
from tocsin_node.sim.scenario import Kind
from tocsin_node.sim.totals import Summary, sum_up

ATTACK_SEEDS, CONTROL_SEEDS = 20, 10
# A month of cries every ten minutes takes as long as all others together.
FEW = {"crying-wolf": 2}

controls = sorted(name for name, scenario in all_scenarios().items() if scenario.kind is Kind.CONTROL)
limits = sorted(name for name, scenario in all_scenarios().items() if scenario.kind is Kind.LIMIT)
timed = sorted(name for name, scenario in all_scenarios().items() if scenario.people is not None)


@cache
def flown(name: str, seeds: int) -> Summary:
    scenario = all_scenarios()[name]
    flight = prepare(scenario, default_policy())
    return sum_up(scenario, [fly(flight, seed) for seed in range(seeds)])


@pytest.mark.parametrize("name", controls)
def test_control_freezes_nothing(name: str) -> None:
    summary = flown(name, FEW.get(name, CONTROL_SEEDS))
    assert summary.frozen_runs == 0
    assert summary.false_pause_minutes_max == 0


@pytest.mark.parametrize("name", timed)
def test_attack_is_contained_before_the_people(name: str) -> None:
    summary = flown(name, ATTACK_SEEDS)
    assert summary.in_time_runs is not None
    # Some runs lack a voice: reports are missed, and those of two families are two incidents.
    assert summary.in_time_runs >= 0.85 * summary.runs
    assert summary.loss_with_usd.value <= summary.loss_people_usd


@pytest.mark.parametrize("name", limits)
def test_limit_is_still_one(name: str) -> None:
    """Else it is no limit any more, and belongs with the controls."""
    assert flown(name, 3).frozen_runs


def test_weakened_policy_freezes_in_controls() -> None:
    """So that the controls can fail at all."""
    fell = set()
    for name in ("vendor-misfire", "borrowed-labels", "white-hat"):
        flight = prepare(all_scenarios()[name], weakened_policy())
        fell |= {name for seed in range(3) if fly(flight, seed).false_pause_ms}
    assert fell == {"vendor-misfire", "borrowed-labels", "white-hat"}
