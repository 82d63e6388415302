"""Decisions: a tier opens by its table, the cheapest lever that helps is chosen, and no one group can cost us much."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tocsin_protocol.belief.independence import Reporter
from tocsin_protocol.decision.budget import (
    GROUP_BUDGET_MS,
    Charge,
    rests_until_ms,
    spent_minutes,
    tokens_left,
)
from tocsin_protocol.decision.decide import Decision, LeverState, Situation, Stake, Verdict, decide
from tocsin_protocol.decision.levers import Lever
from tocsin_protocol.decision.policy import LossLimit, Policy
from tocsin_protocol.decision.tiers import NEEDS, Condition, Quorum, Tier, is_open, missing
from tocsin_protocol.errors import PolicyError

NOW_MS = 1_700_000_000_000
MINUTE_MS = 60_000
USD = 1_000_000
POOL, VAULT = "eip155:1/erc20:0x" + "aa" * 20, "eip155:1:0x" + "bb" * 20


def make_lever(hook: str = "freeze-pool", **changes: Any) -> Lever:
    lever = Lever(
        hook=hook,
        tier=Tier.FREEZE,
        scopes=frozenset({POOL}),
        effectiveness_percent=90,
        cost_micro_usd=20_000 * USD,
        minutes=60,
        cooldown_minutes=30,
        tokens=2,
        refill_minutes=24 * 60,
    )
    return replace(lever, **changes)


NOTIFY = make_lever("page", tier=Tier.NOTIFY, effectiveness_percent=0, cost_micro_usd=0, minutes=0)
CAPS = make_lever("caps", tier=Tier.TIGHTEN, effectiveness_percent=35, cost_micro_usd=4_000 * USD, minutes=15)
FREEZE = make_lever()
PAUSE = make_lever(
    "pause", tier=Tier.PAUSE, scopes=frozenset({POOL, VAULT}), effectiveness_percent=98, cost_micro_usd=150_000 * USD
)


def reporters(*labels: Iterable[str]) -> tuple[Reporter, ...]:
    return tuple(Reporter(bytes([n]) * 20, frozenset(own), 3.9) for n, own in enumerate(labels, 1))


def make_situation(groups: int = 2, **changes: Any) -> Situation:
    """So many independent foreign groups, evidence confirmed, 8 M USD of the pool at stake."""
    foreign = changes.pop("reporters", reporters(*([f"member {n}"] for n in range(groups))))
    situation = Situation(
        probability=0.9,
        signals=groups,
        members=7,
        own_detector=False,
        own_labels=frozenset(),
        reporters=foreign,
        member_of={r.publisher: sorted(r.labels)[0].removeprefix("member ") for r in foreign},
        pinned=frozenset(),
        is_confirmed=True,
        is_contradicted=False,
        outflow=frozenset(),
        stakes=(Stake(POOL, 8_000_000 * USD),),
    )
    return replace(situation, **changes)


def ask(
    situation: Situation, *levers: Lever, states: dict[str, LeverState] | None = None, charges: tuple[Charge, ...] = ()
) -> Decision:
    policy = Policy(levers=levers or (FREEZE,))
    armed = {lever.hook: LeverState(is_armed=True) for lever in policy.levers}
    return decide(policy, situation, armed | (states or {}), charges, NOW_MS)


def verdicts(decision: Decision) -> dict[str, Verdict]:
    return {choice.lever.hook: choice.verdict for choice in decision.choices}


def fired(decision: Decision) -> set[str]:
    return {choice.lever.hook for choice in decision.fired}


@pytest.mark.parametrize(
    ("changes", "opens"),
    [
        ({"groups": 0, "signals": 0, "is_confirmed": False}, set()),
        ({"groups": 1, "is_confirmed": False}, {Tier.NOTIFY}),
        ({"groups": 0, "signals": 1, "own_detector": True, "is_confirmed": False}, {Tier.NOTIFY, Tier.TIGHTEN}),
        ({"groups": 1, "pinned": frozenset({b"\x01" * 20}), "is_confirmed": False}, {Tier.NOTIFY, Tier.TIGHTEN}),
        ({"groups": 2, "is_confirmed": False}, {Tier.NOTIFY, Tier.TIGHTEN}),
        ({"groups": 1}, {Tier.NOTIFY}),
        ({"groups": 2}, {Tier.NOTIFY, Tier.TIGHTEN, Tier.FREEZE}),
        ({"groups": 1, "own_detector": True}, {Tier.NOTIFY, Tier.TIGHTEN, Tier.FREEZE}),
        ({"groups": 0, "signals": 1, "own_detector": True}, {Tier.NOTIFY, Tier.TIGHTEN}),
        ({"groups": 0, "signals": 1, "outflow": frozenset({POOL}), "is_confirmed": False}, {Tier.NOTIFY, Tier.FREEZE}),
        ({"groups": 3}, {Tier.NOTIFY, Tier.TIGHTEN, Tier.FREEZE, Tier.PAUSE}),
        ({"groups": 3, "members": 13}, {Tier.NOTIFY, Tier.TIGHTEN, Tier.FREEZE}),
        ({"groups": 5, "members": 13}, {Tier.NOTIFY, Tier.TIGHTEN, Tier.FREEZE, Tier.PAUSE}),
        ({"groups": 5, "is_confirmed": False}, {Tier.NOTIFY, Tier.TIGHTEN}),
    ],
    ids=str,
)
def test_a_tier_opens_as_its_table_says(changes: dict[str, Any], opens: set[Tier]) -> None:
    decision = ask(make_situation(**changes), NOTIFY, CAPS, FREEZE, PAUSE)
    closed = {choice.lever.tier for choice in decision.choices if choice.verdict is Verdict.TIER_CLOSED}
    assert set(Tier) - closed == opens


def test_reporters_who_share_a_label_are_one_group() -> None:
    sybils = reporters(*(["member a", "vendor x"] for _ in range(10)))
    assert verdicts(ask(make_situation(reporters=sybils)))["freeze-pool"] is Verdict.TIER_CLOSED


def test_a_group_that_runs_our_own_detector_is_no_second_voice() -> None:
    same = reporters(["member a", "vendor x"])
    situation = make_situation(reporters=same, own_detector=True, own_labels=frozenset({"vendor x"}))
    assert verdicts(ask(situation))["freeze-pool"] is Verdict.TIER_CLOSED
    assert fired(ask(replace(situation, own_labels=frozenset({"vendor y"})))) == {"freeze-pool"}


def test_contradicted_evidence_closes_what_it_would_have_opened() -> None:
    decision = ask(make_situation(3, is_contradicted=True), CAPS, FREEZE, PAUSE)
    assert verdicts(decision) == {
        "caps": Verdict.FIRES,
        "freeze-pool": Verdict.CONTRADICTED,
        "pause": Verdict.CONTRADICTED,
    }


def test_own_outflow_opens_no_lever_that_covers_more_than_its_asset() -> None:
    wide = make_lever("freeze-both", scopes=frozenset({POOL, VAULT}))
    situation = make_situation(0, signals=1, outflow=frozenset({POOL}), is_confirmed=False)
    assert verdicts(ask(situation, FREEZE, wide)) == {"freeze-pool": Verdict.FIRES, "freeze-both": Verdict.TIER_CLOSED}


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (LeverState(is_armed=False), Verdict.DISARMED),
        (LeverState(is_armed=True, is_in_effect=True), Verdict.IN_EFFECT),
        (LeverState(is_armed=True, is_spent=True), Verdict.SPENT),
        (LeverState(is_armed=True, uses_ms=(NOW_MS - 29 * MINUTE_MS,)), Verdict.RESTING),
        (LeverState(is_armed=True, uses_ms=(NOW_MS - 30 * MINUTE_MS,)), Verdict.FIRES),
        (LeverState(is_armed=True, uses_ms=(NOW_MS - 50 * MINUTE_MS, NOW_MS - 40 * MINUTE_MS)), Verdict.NO_TOKEN),
    ],
    ids=str,
)
def test_the_state_of_a_lever_keeps_it_from_firing(state: LeverState, verdict: Verdict) -> None:
    assert verdicts(ask(make_situation(), states={"freeze-pool": state}))["freeze-pool"] is verdict


def test_a_lever_that_covers_nothing_at_stake_is_left_alone() -> None:
    situation = make_situation(stakes=(Stake(VAULT, 8_000_000 * USD),))
    assert verdicts(ask(situation))["freeze-pool"] is Verdict.NOT_AT_STAKE


@pytest.mark.parametrize(
    ("probability", "chosen"), [(0.0001, set()), (0.002, {"caps"}), (0.02, {"freeze-pool"}), (0.2, {"pause-pool"})]
)
def test_the_cheapest_lever_on_the_ladder_is_chosen(probability: float, chosen: set[str]) -> None:
    freeze = replace(FREEZE, effectiveness_percent=60)
    pause = replace(PAUSE, hook="pause-pool", scopes=frozenset({POOL}))
    assert fired(ask(make_situation(3, probability=probability), CAPS, freeze, pause)) == chosen


def test_a_broad_lever_replaces_narrow_ones_where_it_costs_less_than_all_of_them() -> None:
    narrow = [FREEZE, make_lever("freeze-vault", scopes=frozenset({VAULT}))]
    both = (Stake(POOL, 8_000_000 * USD), Stake(VAULT, 8_000_000 * USD))
    situation = make_situation(3, stakes=both)
    assert fired(ask(situation, *narrow, PAUSE)) == {"pause"}
    dear = replace(PAUSE, cost_micro_usd=50_000_000 * USD)
    assert fired(ask(situation, *narrow, dear)) == {"freeze-pool", "freeze-vault"}


def test_of_equals_the_lower_tier_the_narrower_and_the_first_by_name_is_chosen() -> None:
    same = [make_lever(name) for name in ("b", "a")]
    assert fired(ask(make_situation(), *same)) == {"a"}
    assert fired(
        ask(make_situation(), *same, replace(CAPS, effectiveness_percent=90, cost_micro_usd=20_000 * USD))
    ) == {"caps"}
    wide = make_lever("A", scopes=frozenset({POOL, VAULT}))
    assert fired(ask(make_situation(), *same, wide)) == {"a"}


def test_what_a_lever_in_effect_averts_is_no_longer_at_stake() -> None:
    full = replace(FREEZE, effectiveness_percent=100)
    states = {"freeze-pool": LeverState(is_armed=True, is_in_effect=True)}
    assert verdicts(ask(make_situation(3), full, PAUSE, states=states)) == {
        "freeze-pool": Verdict.IN_EFFECT,
        "pause": Verdict.NOT_WORTH_IT,
    }


def test_what_is_tightened_does_not_keep_a_freeze_from_paying() -> None:
    full = replace(CAPS, effectiveness_percent=100)
    states = {"caps": LeverState(is_armed=True, is_in_effect=True)}
    assert fired(ask(make_situation(), full, FREEZE, states=states)) == {"freeze-pool"}


def test_groups_are_charged_for_a_lever_that_needed_them_and_only_then() -> None:
    assert [choice.charged for choice in ask(make_situation()).fired] == [("0", "1")]
    own = make_situation(0, signals=1, own_detector=True)
    assert [choice.charged for choice in ask(own, CAPS).fired] == [()]
    pinned = make_situation(1, pinned=frozenset({b"\x01" * 20}))
    assert [choice.charged for choice in ask(pinned, CAPS).fired] == [("0",)]


def test_a_group_without_budget_does_not_count_until_its_incident_is_confirmed_or_old() -> None:
    charge = Charge("0", b"earlier", 15, NOW_MS - 1)
    situation = make_situation()
    assert fired(ask(situation)) == {"freeze-pool"}
    assert verdicts(ask(situation, charges=(charge,)))["freeze-pool"] is Verdict.TIER_CLOSED
    assert fired(ask(situation, charges=(replace(charge, is_refunded=True),))) == {"freeze-pool"}
    assert fired(ask(situation, charges=(replace(charge, at_ms=NOW_MS - GROUP_BUDGET_MS),))) == {"freeze-pool"}


def test_a_clock_set_back_gives_no_budget_back() -> None:
    assert spent_minutes((Charge("a", b"old", 30, NOW_MS + 10**9),), "a", b"", NOW_MS) == 30


def test_a_bucket_fills_by_one_each_refill_and_never_over() -> None:
    lever = make_lever(tokens=2, refill_minutes=10)
    uses = (NOW_MS, NOW_MS + MINUTE_MS)
    assert [tokens_left(lever, uses, NOW_MS + n * MINUTE_MS) for n in (1, 9, 10, 19, 20, 1000)] == [0, 0, 1, 1, 2, 2]
    assert tokens_left(lever, (), NOW_MS) == 2
    assert tokens_left(lever, uses, NOW_MS - 10**9) == 0


def test_a_lever_rests_after_its_last_use() -> None:
    assert rests_until_ms(make_lever(), ()) == 0
    assert rests_until_ms(make_lever(), (NOW_MS, NOW_MS - 5)) == NOW_MS + 30 * MINUTE_MS


@given(
    st.floats(0, 1),
    st.lists(st.tuples(st.integers(1, 100), st.integers(1, 10**6), st.integers(0, 2)), max_size=6),
    st.lists(st.integers(0, 10**8), min_size=1, max_size=2),
)
@settings(deadline=None, max_examples=150)
def test_no_other_choice_of_single_levers_would_cost_less(
    probability: float, terms: list[tuple[int, int, int]], losses: list[int]
) -> None:
    scopes = (POOL, VAULT)
    levers = [
        make_lever(
            f"l{n}",
            effectiveness_percent=e,
            cost_micro_usd=cost * USD,
            scopes=frozenset(scopes[:1] if which == 0 else scopes[1:] if which == 1 else scopes),
        )
        for n, (e, cost, which) in enumerate(terms)
    ]
    stakes = tuple(Stake(scope, loss * USD) for scope, loss in zip(scopes, losses, strict=False))
    situation = make_situation(3, probability=probability, stakes=stakes)
    chosen = ask(situation, *(levers or [NOTIFY])).fired
    covered = [scope for choice in chosen for scope in choice.scopes]
    assert len(covered) == len(set(covered))
    spent = sum(choice.cost_micro_usd for choice in chosen) + sum(
        probability * stake.loss_micro_usd for stake in stakes if stake.scope not in covered
    )
    singles = [[None, *(lever for lever in levers if stake.scope in lever.scopes)] for stake in stakes]
    for pick in product(*singles):
        if any(lever is not None and len(lever.scopes) > 1 for lever in pick):
            continue
        cost = sum(
            probability * stake.loss_micro_usd
            if lever is None
            else probability * (1 - lever.effectiveness) * stake.loss_micro_usd
            + (1 - probability) * lever.cost_micro_usd
            for stake, lever in zip(stakes, pick, strict=True)
        )
        assert spent <= cost * (1 + 1e-9) + 1e-3


@given(st.permutations(list(range(5))))
@settings(deadline=None, max_examples=30)
def test_the_order_of_reporters_changes_nothing(order: list[int]) -> None:
    foreign = reporters(["member a"], ["member b", "vendor x"], ["member c", "vendor x"], ["member d"], ["member e"])
    situation = make_situation(reporters=foreign)
    assert ask(situation) == ask(replace(situation, reporters=tuple(foreign[n] for n in order)))


def test_missing_names_what_each_row_still_needs() -> None:
    held = {Condition.SIGNAL, Condition.OWN_DETECTOR, Condition.LOCAL_EVIDENCE}
    assert not is_open(Tier.FREEZE, held)
    assert missing(Tier.FREEZE, held)[1] == {Condition.GROUPS_BESIDE_OWN}
    assert len(missing(Tier.FREEZE, held)) == len(NEEDS[Tier.FREEZE])


@pytest.mark.parametrize(
    "changes",
    [
        {"effectiveness_percent": 101},
        {"effectiveness_percent": 0},
        {"cost_micro_usd": 0},
        {"effectiveness_percent": -1},
        {"effectiveness_percent": 0.5},
        {"cost_micro_usd": -1},
        {"cost_micro_usd": float("nan")},
        {"minutes": -1},
        {"minutes": 10**6},
        {"tokens": 0},
        {"tokens": True},
        {"refill_minutes": 0},
        {"scopes": frozenset()},
    ],
    ids=str,
)
def test_a_lever_out_of_bounds_is_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match=f"freeze-pool.*{next(iter(changes))}"):
        make_lever(**changes)


def test_to_notify_holds_nothing_still_and_costs_nothing() -> None:
    for changes in ({"effectiveness_percent": 1}, {"cost_micro_usd": 1}):
        with pytest.raises(PolicyError, match=r"page.*notify"):
            replace(NOTIFY, **changes)


def test_notifying_is_done_whenever_its_tier_is_open() -> None:
    assert fired(ask(make_situation(1, probability=0.0001), NOTIFY, CAPS)) == {"page"}


def test_a_policy_that_contradicts_itself_is_refused() -> None:
    limit = LossLimit(POOL, 5_000_000 * USD, 50_000 * 3600 * USD, 48_000)
    for parts in ({"levers": (FREEZE, FREEZE)}, {"limits": (limit, limit)}, {"budget_minutes": -1}):
        with pytest.raises(PolicyError):
            Policy(**parts)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="quorum: tighten"):
        Quorum(tighten=0)


def test_what_keeps_a_policy_from_being_armed_is_said() -> None:
    kept = LossLimit(POOL, 5_000_000 * USD, 50_000 * 3600 * USD, 48_000)
    lost = replace(kept, drain_micro_usd_per_hour=200_000 * 3600 * USD)
    assert Policy((NOTIFY, FREEZE), (kept,)).faults() == ()
    assert "0.52" in Policy((FREEZE,), (lost,)).faults()[0]
    assert Policy((FREEZE,), (replace(lost, is_acknowledged=True),)).faults() == ()
    assert "has no end" in Policy((replace(FREEZE, minutes=0),)).faults()[0]
    assert "one foreign group alone" in Policy((FREEZE,), quorum=Quorum(freeze=1)).faults()[0]


def test_within_one_incident_a_gentle_lever_never_stands_in_the_way_of_a_stronger_one() -> None:
    earlier = (Charge("0", b"this", 15, NOW_MS), Charge("1", b"this", 15, NOW_MS))
    assert fired(ask(make_situation(incident=b"this"), charges=earlier)) == {"freeze-pool"}
    assert fired(ask(make_situation(incident=b"next"), charges=earlier)) == set()


def test_levers_of_one_incident_are_charged_as_the_longest_of_them() -> None:
    charges = (Charge("a", b"one", 15, NOW_MS), Charge("a", b"one", 60, NOW_MS), Charge("a", b"two", 15, NOW_MS))
    assert spent_minutes(charges, "a", b"", NOW_MS) == 75


def test_a_pause_that_asks_needs_nobody_else_and_one_that_does_not_does() -> None:
    alone = make_situation(0, signals=1, own_detector=True, probability=0.5)
    assert fired(ask(alone, replace(PAUSE, asks=True))) == {"pause"}
    assert fired(ask(alone, PAUSE)) == set()
    # it is still the operators' own tier alone: to freeze takes what it took
    assert fired(ask(alone, replace(FREEZE, asks=True))) == set()


def test_a_lever_that_asks_stands_in_for_none_that_acts_at_once() -> None:
    situation = make_situation(2, probability=0.9)
    better = replace(FREEZE, hook="freeze-well", effectiveness_percent=99, cost_micro_usd=1 * USD)
    assert fired(ask(situation, FREEZE, better)) == {"freeze-well"}
    assert fired(ask(situation, FREEZE, replace(better, asks=True))) == {"freeze-pool", "freeze-well"}
    # and it is not asked for where it would not be used
    assert fired(ask(situation, better, replace(FREEZE, asks=True))) == {"freeze-well"}
