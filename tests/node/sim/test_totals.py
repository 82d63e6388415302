"""Figures over seeds, their intervals, and thresholds on them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from sim_kit import HEAD, all_scenarios, default_policy, load, report
from tocsin_node.sim.intervals import estimate_mean, estimate_share, percentile
from tocsin_node.sim.replay import replay
from tocsin_node.sim.runner import Plan, run_all
from tocsin_node.sim.thresholds import find_failures, parse_threshold
from tocsin_node.sim.totals import FIGURES, sum_up, total_of


def test_shares_have_wilsons_interval() -> None:
    none = estimate_share(0, 1_000)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(0.3827, abs=1e-3)
    half = estimate_share(50, 100)
    assert (half.low, half.high) == pytest.approx((40.383, 59.617), abs=1e-2)


def test_mean_lies_in_its_interval_and_gives_the_same_twice() -> None:
    values = [float(n % 7) for n in range(100)]
    mean = estimate_mean(values)
    assert mean.low < mean.value < mean.high
    assert estimate_mean(values) == mean
    same = estimate_mean([3.0, 3.0])
    assert same.low == same.value == same.high == 3.0


def test_what_never_came_counts_in_percentiles() -> None:
    assert percentile([1.0, 2.0, math.inf], 50) == 2.0
    assert percentile([1.0, 2.0, math.inf], 95) == math.inf


def test_figures_are_those_that_are_listed(tmp_path: Path) -> None:
    scenario = load(tmp_path)
    summary = sum_up(scenario, [replay(scenario, default_policy(), seed) for seed in range(3)])
    assert summary.figures().keys() == FIGURES.keys()
    assert summary.figures()["in_time_percent"] == 100
    total = total_of([summary])
    assert (total.attack_runs, total.in_time_runs, total.control_runs) == (3, 3, 0)


def test_infinite_time_is_null_in_json(tmp_path: Path) -> None:
    scenario = load(tmp_path, HEAD + report("one"))
    summary = sum_up(scenario, [replay(scenario, default_policy(), 0)])
    assert summary.figures()["ttc_p95_s"] == math.inf
    assert json.loads(json.dumps(summary.as_json(), allow_nan=False))["ttc_p95_s"] is None


@pytest.mark.parametrize("text", ["ttc_p95_s >", "speed > 1", "ttc_p95_s + 1.0", ""])
def test_threshold_that_cannot_be_asked_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_threshold(text)


def test_threshold_names_scenario_and_figure(tmp_path: Path) -> None:
    scenario = load(tmp_path, HEAD + report("one"))
    summary = sum_up(scenario, [replay(scenario, default_policy(), 0)])
    (failure,) = find_failures([parse_threshold("ttc_p95_s > 600")], [summary])
    assert "small" in failure
    assert "ttc_p95_s is infinite" in failure
    assert not find_failures([parse_threshold("false_pause_minutes > 0")], [summary])


def test_limits_are_asked_only_by_kind() -> None:
    scenario = all_scenarios()["rescue-unannounced"]
    summary = sum_up(scenario, [replay(scenario, default_policy(), 0)])
    assert not find_failures([parse_threshold("false_pause_minutes > 0")], [summary])
    assert find_failures([parse_threshold('kind == "limit" && false_pause_minutes > 0')], [summary])


def test_processes_change_no_outcome(tmp_path: Path) -> None:
    scenarios = (all_scenarios()["ronin-cap"], all_scenarios()["drill"])
    plan = Plan(scenarios, default_policy(), seeds=25, control_seeds=40, traced=2)
    runs = []
    alone = run_all(plan, 1, lambda: runs.append(1))
    assert len(runs) == plan.runs == 65
    assert run_all(plan, 2, lambda: None) == alone
    assert [len(one.outcomes) for one in alone] == [25, 40]
    assert alone[0].traced is not None
