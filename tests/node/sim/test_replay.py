"""One run: real signals through the core, levers that take blocks to bite, losses that stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sim_kit import HEAD, LENDER, POOL, all_scenarios, default_policy, load, report, weakened_policy
from tocsin_node.sim.fitting import DEFAULT_POLICY, PROPOSED_PIN, fit_policy, load_any_policy
from tocsin_node.sim.flight import prepare
from tocsin_node.sim.replay import fly, replay
from tocsin_node.sim.script import write_script
from tocsin_protocol.decision.policy import LossLimit
from tocsin_protocol.decision.tiers import Tier

USD = 1_000_000


def test_two_voices_and_evidence_freeze(tmp_path: Path) -> None:
    outcome = replay(load(tmp_path), default_policy(), 0, traced=True)
    (freeze,) = outcome.held
    assert freeze.tier is Tier.FREEZE
    assert "2 other members" in freeze.sentence
    assert freeze.begins_ms > freeze.decided_ms
    assert outcome.ttc_ms is not None
    assert 0 < outcome.ttc_ms < 240_000
    assert outcome.without_micro_usd == 9_000_000 * USD
    assert outcome.people_micro_usd == 7_000_000 * USD
    # the first million left before anything; of the rest a tenth, while it lasts
    assert 1_000_000 * USD < outcome.with_micro_usd < 3_500_000 * USD
    assert outcome.false_pause_ms == 0
    assert outcome.trace is not None
    assert outcome.trace.nearest


BOTH = report("one") + report("two")
NEVER_ENOUGH = {
    "one voice": HEAD + report("one"),
    "contradicted": HEAD + report("one", answer="contradicted") + report("two", answer="contradicted"),
    "unknown": HEAD + report("one", answer="unknown") + report("two", answer="unknown"),
    "split": HEAD + report("one", answer="split") + report("two", answer="split"),
    "drills": HEAD + BOTH.replace("confidence = 90", "confidence = 90\ndrill = true"),
    "late": HEAD + BOTH.replace("confidence = 90", "confidence = 90\narrives_s = 3_000"),
    "named as attacker": HEAD + BOTH.replace("confidence = 90", 'confidence = 90\nrole = "attacker"'),
    "evidence of another kind": HEAD + BOTH.replace('"balance"', '"price"'),
    "one vendor": HEAD.replace('vendor = "v2"', 'vendor = "v1"') + BOTH,
    "not pinned": HEAD.replace('rpc_groups = ["c"]', 'rpc_groups = ["c"], pinned = false') + BOTH,
    "a stranger": HEAD.replace('rpc_groups = ["c"]', 'rpc_groups = ["c"], in_roster = false') + BOTH,
}


@pytest.mark.parametrize("text", NEVER_ENOUGH.values(), ids=NEVER_ENOUGH)
def test_less_than_that_does_not(tmp_path: Path, text: str) -> None:
    assert not replay(load(tmp_path, text), default_policy(), 0).held


def test_evidence_of_one_is_enough_for_two(tmp_path: Path) -> None:
    scenario = load(tmp_path, HEAD + report("one") + report("two", answer="unknown"))
    assert replay(scenario, default_policy(), 0).held


def test_equal_arguments_give_equal_outcomes(tmp_path: Path) -> None:
    flight = prepare(all_scenarios()["euler-balancer"], default_policy())
    kept = [fly(flight, seed) for seed in (3, 4, 3)]
    assert kept[0] == kept[2] != kept[1]
    assert kept[0] == replay(all_scenarios()["euler-balancer"], default_policy(), 3)


def test_to_watch_changes_nothing() -> None:
    scenario = all_scenarios()["kelp-aave"]
    watched = replay(scenario, default_policy(), 1, traced=True)
    assert replace(watched, trace=None) == replay(scenario, default_policy(), 1)


def test_policy_changes_no_signal() -> None:
    scenario = all_scenarios()["kelp-aave"]
    casts = [prepare(scenario, policy).judge.cast for policy in (default_policy(), weakened_policy())]
    assert write_script(scenario, casts[0], 5) == write_script(scenario, casts[1], 5)


def test_retraction_takes_the_voice_back(tmp_path: Path) -> None:
    taken_back = report("one", at_s=60).replace(
        "confidence = 90", 'confidence = 90\nrelation = "retracts"\nto = "first"'
    )
    taken_back = taken_back.replace("asset.drain", "meta.retraction")
    first = report("one").replace("[[report]]", '[[report]]\nid = "first"')
    assert replay(load(tmp_path, HEAD + first + report("two", at_s=120)), default_policy(), 0).held
    assert not replay(load(tmp_path, HEAD + first + taken_back + report("two", at_s=120)), default_policy(), 0).held


def test_levers_are_put_on_the_scenarios_scopes() -> None:
    fitted = fit_policy(default_policy(), all_scenarios()["vyper-curve"])
    covered = {lever.hook: lever.scopes for lever in fitted.levers}
    both = {"aleth-eth", "crv-eth"}
    assert covered["page-on-call"] == covered["pause-everything"] == both
    assert covered["freeze (aleth-eth)"] == {"aleth-eth"}
    assert covered["tighten-caps (crv-eth)"] == {"crv-eth"}
    assert fitted.pins["auditor-a"] == PROPOSED_PIN
    assert "curve" not in fitted.pins


def test_named_scopes_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(DEFAULT_POLICY.read_text().replace('scopes = ["*"]', 'scopes = ["crv-eth"]'))
    fitted = fit_policy(load_any_policy(path).policy, all_scenarios()["vyper-curve"])
    assert {lever.scopes for lever in fitted.levers} == {frozenset({"crv-eth"})}


def test_own_outflow_past_its_limit_freezes_alone(tmp_path: Path) -> None:
    limit = LossLimit("elsewhere", 2_000_000 * USD, 0, 0, opens_freeze=True)
    # With less at stake the tier opens and is not worth its cost: by our own detector alone belief is 0.15 %.
    head = HEAD.replace("at_stake_usd = 10_000_000", "at_stake_usd = 40_000_000")
    quiet = load(tmp_path, head + report("one", subject=POOL.replace("11", "33")))
    assert not replay(quiet, default_policy(), 0).held
    outcome = replay(quiet, replace(default_policy(), limits=(limit,)), 0)
    (freeze,) = outcome.held
    assert "our own detector" in freeze.sentence
    # two million are gone 500 s after the steady drain began
    assert freeze.decided_ms - quiet.starts_ms == 600_000 + 500_000


def test_condition_bars_what_is_above_notify(tmp_path: Path) -> None:
    barred = replace(default_policy(), condition='belief > 0.5 || category == "key.compromise"')
    assert not replay(load(tmp_path), barred, 0).actions
    allowed = replace(default_policy(), condition='severity == "critical" && confirmed')
    assert replay(load(tmp_path), allowed, 0).held


def test_lever_that_was_used_waits_for_people(tmp_path: Path) -> None:
    again = (report("one") + report("two")).replace("confidence = 90", "confidence = 90\nevery_s = 300\ntimes = 20")
    outcome = replay(load(tmp_path, HEAD + again), default_policy(), 0)
    first, second = (action for action in outcome.held[:2])
    assert second.decided_ms - first.decided_ms >= 3_600_000


def test_subject_that_is_not_ours_costs_nothing(tmp_path: Path) -> None:
    far = LENDER.replace("22", "44")
    outcome = replay(
        load(tmp_path, HEAD + report("one", subject=far) + report("two", subject=far)), default_policy(), 0
    )
    assert not outcome.actions
    assert not outcome.notices


def test_a_lever_that_asks_people_is_never_used_for_them(tmp_path: Path) -> None:
    policy = default_policy()
    asking = replace(policy, levers=tuple(replace(lever, asks=True) for lever in policy.levers))
    outcome = replay(load(tmp_path), asking, 0)
    assert (outcome.actions, outcome.notices) == ((), 0)
    assert outcome.with_micro_usd == outcome.people_micro_usd
