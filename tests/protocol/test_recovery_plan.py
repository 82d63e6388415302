"""Plans: which scope waits for which, what is proposed when, and when everything can be open again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from approval_kit import BEGINS_MS
from exposure_kit import FEED, account, holding, token
from hypothesis import given
from hypothesis import strategies as st
from recovery_kit import CAP, POLICY, POOL, QUICK, UNPAUSE, Driver, make_track
from strategies_kit import FIXED
from tocsin_protocol.errors import RecoveryError
from tocsin_protocol.exposure.manifest import Dependency, Link, Manifest, SubjectId, Token, TokenKind
from tocsin_protocol.recovery.order import hangs_on, waits_for
from tocsin_protocol.recovery.plan import (
    EVERYWHERE,
    MAX_REMEDIES,
    EndKind,
    Plan,
    Proposal,
    ProposalKind,
    Scene,
    UsedLever,
    View,
    is_let_go,
    make_plan,
    upstream_stage,
)
from tocsin_protocol.recovery.policy import DEFAULT_DWELL_MS
from tocsin_protocol.recovery.stages import Stage
from tocsin_protocol.recovery.steps import Call
from tocsin_protocol.recovery.track import Level, Track

NONE: frozenset[str] = frozenset()
# The vault holds receipts of the market, the pool those of the vault.
CHAIN = {"market": NONE, "vault": frozenset({"market"}), "pool": frozenset({"vault"})}
PATH = (Stage.EXIT_ONLY, Stage.CANARY_1, Stage.CANARY_5, Stage.CANARY_25, Stage.NORMAL)


def lever(*scopes: str, **changes: Any) -> UsedLever:
    fields: dict[str, Any] = {
        "hook": "pause",
        "scopes": frozenset(scopes),
        "end": EndKind.PEOPLE,
        "ends_ms": BEGINS_MS + 1,
        "undo": UNPAUSE,
        "undo_at": Stage.EXIT_ONLY,
    }
    return UsedLever(**{**fields, **changes})


def scene(*tracks: Track, **changes: Any) -> Scene:
    return Scene(**{"policy": POLICY, "tracks": {track.scope: track for track in tracks}, **changes})


def steps_of(plan: Plan, scope: str) -> list[Stage]:
    return [one.step.after for one in plan.steps if one.step.scope == scope]


def depends(name: str, subject: SubjectId, link: Link = Link.COLLATERAL) -> Dependency:
    return Dependency(name, link, subject, "", 1_000_000)


def test_holdings_hang_on_those_whose_subjects_and_tokens_they_name() -> None:
    manifest = Manifest(
        "lender",
        (holding("market", account(1)), holding("pool", account(2)), holding("vault", account(3))),
        (Token(token(9).value, TokenKind.RECEIPT, "market"),),
        (
            depends("vault", token(9)),
            depends("pool", account(3), Link.LP),
            depends("pool", FEED, Link.ORACLE),
            depends("market", account(1)),
            depends("market", SubjectId(account(2).kind, account(2).value), Link.SIMILAR_CODE),
        ),
    )
    assert hangs_on(manifest) == CHAIN


def test_a_dependency_of_no_holding_is_one_of_all_and_a_token_of_none_is_on_all() -> None:
    manifest = Manifest(
        "lender",
        (holding("market", account(1)), holding("vault", account(3))),
        (Token(token(9).value, TokenKind.LP, ""),),
        (depends("", account(1)), depends("vault", token(9))),
    )
    assert hangs_on(manifest) == {"market": NONE, "vault": frozenset({"market"})}


def test_upstream_is_first_and_also_over_a_scope_that_was_never_closed() -> None:
    assert list(waits_for(["pool", "vault", "market"], CHAIN)) == ["market", "vault", "pool"]
    assert waits_for(["pool", "market"], CHAIN) == {"market": NONE, "pool": frozenset({"market"})}


def test_those_in_a_circle_or_under_one_lever_do_not_wait_for_each_other() -> None:
    circle = {**CHAIN, "market": frozenset({"vault"})}
    waiting = waits_for(circle, circle)
    assert waiting["market"] == waiting["vault"] == NONE
    assert waiting["pool"] == {"market", "vault"}
    assert waits_for(CHAIN, CHAIN, [frozenset(CHAIN)]) == dict.fromkeys(CHAIN, NONE)


@FIXED
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.frozensets(st.sampled_from("abcdef"), max_size=3), max_size=6),
    st.sets(st.sampled_from("abcdefg")),
    st.lists(st.frozensets(st.sampled_from("abcdef"), max_size=3), max_size=2),
)
def test_nobody_waits_for_himself_and_everybody_comes_after_what_he_waits_for(
    hanging: dict[str, frozenset[str]], scopes: set[str], together: list[frozenset[str]]
) -> None:
    waiting = waits_for(scopes, hanging, together)
    assert set(waiting) == scopes
    done: set[str] = set()
    for scope, others in waiting.items():
        assert others <= done
        done.add(scope)


def test_a_plan_goes_stage_by_stage_with_upstream_ahead() -> None:
    plan = make_plan(scene(*(make_track(name) for name in CHAIN), hanging=CHAIN), BEGINS_MS)
    for scope in CHAIN:
        assert steps_of(plan, scope) == list(PATH)
    for after in PATH:
        at = {one.step.scope: place for place, one in enumerate(plan.steps) if one.step.after is after}
        assert at["market"] < at["vault"] < at["pool"]
    assert [one.step.number for one in plan.steps if one.step.scope == "market"] == [3, 4, 5, 6, 7]


def test_the_earliest_times_are_the_dwells_one_after_the_other() -> None:
    plan = make_plan(scene(make_track(level=Level.CALM, calm_ms=60_000, backs=1)), BEGINS_MS)
    dwells = [DEFAULT_DWELL_MS[s] * 2 for s in (Stage.HALTED, *PATH[:-1])]
    expected = [BEGINS_MS + sum(dwells[: n + 1]) - 60_000 for n in range(len(PATH))]
    assert [one.earliest_ms for one in plan.steps] == expected
    assert [one.waits is not None for one in plan.steps] == [True] + [False] * 4


def test_what_hangs_on_a_slower_scope_is_as_late() -> None:
    market = make_track("market", backs=3)
    vault = make_track("vault", Stage.EXIT_ONLY)
    plan = make_plan(scene(market, vault, hanging=CHAIN), BEGINS_MS)
    earliest = {(one.step.scope, one.step.after): one.earliest_ms for one in plan.steps}
    for after in PATH[1:]:
        assert earliest["vault", after] >= earliest["market", after]
    waits = next(one.waits for one in plan.steps if one.step.scope == "vault" and one.waits is not None)
    assert waits.upstream == ("market",)
    assert not waits.is_ready


def test_a_plan_waits_as_the_tracks_do() -> None:
    market, vault = make_track("market", Stage.CANARY_1), make_track("vault", Stage.EXIT_ONLY)
    both = scene(market, vault, hanging=CHAIN)
    assert upstream_stage(both, "market") is None
    assert upstream_stage(both, "vault") is Stage.CANARY_1
    assert upstream_stage(scene(make_track(stage=Stage.NORMAL)), "market") is None


def ready_track(scope: str = "market") -> Track:
    driver = Driver(make_track(scope))
    driver.observe()
    driver.observe()
    driver.approve()
    return driver.track


def test_calls_are_proposed_when_the_step_may_be_taken_and_not_before() -> None:
    ready = ready_track()
    made = make_plan(scene(ready, policy=QUICK, levers=(lever("market"),)), BEGINS_MS)
    (proposal,) = made.proposals
    assert (proposal.kind, proposal.scope, proposal.by) == (ProposalKind.REOPEN, "market", Stage.EXIT_ONLY)
    assert proposal.calls == (UNPAUSE,)
    for waiting in (replace(ready, approved=None), replace(ready, calm_ms=0)):
        assert make_plan(scene(waiting, policy=QUICK, levers=(lever("market"),)), BEGINS_MS).proposals == ()


@pytest.mark.parametrize("seen", [0, 5])
def test_the_all_clear_of_peers_changes_nothing_but_what_is_shown(seen: int) -> None:
    view = View(900_000, seen, 5)
    made = make_plan(scene(ready_track(), policy=QUICK, views={"market": view}), BEGINS_MS)
    waits = made.steps[0].waits
    assert waits is not None
    assert waits.view == view
    assert waits.is_ready
    bare = make_plan(scene(ready_track(), policy=QUICK), BEGINS_MS)
    assert [one.step for one in made.steps] == [one.step for one in bare.steps]
    assert made.proposals == bare.proposals


def test_a_lever_past_its_end_is_proposed_to_be_undone_only_where_no_contract_ends_it() -> None:
    levers = (
        lever("market", hook="b"),
        lever("market", hook="a"),
        lever("market", hook="by-contract", end=EndKind.CONTRACT),
        lever("market", hook="no-call", undo=None),
        lever("market", hook="still", ends_ms=BEGINS_MS + 2),
    )
    there = scene(make_track(), levers=levers)
    assert make_plan(there, BEGINS_MS).proposals == ()
    due = make_plan(there, BEGINS_MS + 1).proposals
    assert [one.kind for one in due] == [ProposalKind.UNDO] * 2
    assert [one.why for one in due] == [f"the time of {name} is over and no contract ends it" for name in "ab"]


def test_limits_are_set_before_the_lever_is_undone() -> None:
    there = scene(make_track(), levers=(lever("market"),), limits={("market", Stage.EXIT_ONLY): (CAP,)})
    first, second, *_ = make_plan(there, BEGINS_MS).steps
    assert first.step.calls == (CAP, UNPAUSE)
    assert second.step.calls == ()


def test_one_lever_over_several_scopes_is_undone_with_the_last_of_them() -> None:
    there = scene(*(make_track(name) for name in CHAIN), hanging=CHAIN, levers=(lever(EVERYWHERE),))
    steps = {(one.step.scope, one.step.after): one for one in make_plan(there, BEGINS_MS).steps}
    undone = [key for key, one in steps.items() if UNPAUSE in one.step.calls]
    assert len(undone) == 1
    assert undone[0][1] is Stage.EXIT_ONLY
    for scope in CHAIN:
        waits = steps[scope, Stage.EXIT_ONLY].waits
        assert waits is not None
        assert waits.upstream == ()
        assert upstream_stage(there, scope) is None
        assert set(waits.beside) == set(CHAIN) - {scope}
    # From the next stage on, each has its own limits and its own order.
    opened = scene(*(make_track(n, Stage.EXIT_ONLY) for n in CHAIN), hanging=CHAIN, levers=(lever(EVERYWHERE),))
    assert upstream_stage(opened, "pool") is Stage.EXIT_ONLY


def test_a_lever_over_several_scopes_is_undone_only_when_all_of_them_are_ready() -> None:
    unpause = lever("market", "vault")
    ready = [ready_track("market"), ready_track("vault")]

    def proposed(*tracks: Track) -> list[Call]:
        there = scene(*tracks, policy=QUICK, hanging=CHAIN, levers=(unpause,))
        return [call for one in make_plan(there, BEGINS_MS).proposals for call in one.calls]

    assert proposed(*ready) == [UNPAUSE]
    for late in range(2):
        for changes in ({"approved": None}, {"calm_ms": 0}):
            assert proposed(*(replace(t, **changes) if n == late else t for n, t in enumerate(ready))) == []
    # Each comes as late as the latest of them.
    slow = scene(replace(ready[0], calm_ms=0, backs=3), ready[1], policy=QUICK, hanging=CHAIN, levers=(unpause,))
    firsts = [one for one in make_plan(slow, BEGINS_MS).steps if one.waits is not None]
    assert [one.earliest_ms for one in firsts] == [BEGINS_MS + 8_000] * 2


def test_a_scope_two_stages_behind_is_not_ready_for_the_lever_that_holds_both() -> None:
    ahead = Driver(make_track("market", Stage.EXIT_ONLY, level=Level.CALM, calm_ms=1_000))
    ahead.approve()
    unpause = lever("market", "vault", undo_at=Stage.CANARY_1)
    there = scene(ahead.track, ready_track("vault"), policy=QUICK, levers=(unpause,))
    market = next(one.waits for one in make_plan(there, BEGINS_MS).steps if one.step.scope == "market")
    assert market is not None
    assert market.beside == ("vault",)


def test_scopes_under_different_levers_do_not_wait_for_each_other() -> None:
    levers = (lever("market"), lever("vault", hook="other"))
    there = scene(ready_track("market"), make_track("vault"), policy=QUICK, levers=levers)
    (proposal,) = make_plan(there, BEGINS_MS).proposals
    assert (proposal.scope, proposal.calls) == ("market", (UNPAUSE,))


def test_a_lever_that_is_undone_already_is_not_proposed_again() -> None:
    opened = scene(make_track(stage=Stage.EXIT_ONLY), levers=(lever("market"),))
    assert make_plan(opened, BEGINS_MS + 1).proposals == ()


def test_a_scope_is_let_go_when_its_last_lever_is_lifted_or_ended_by_its_contract() -> None:
    contract = lever("market", end=EndKind.CONTRACT)
    people = lever("vault", EVERYWHERE)
    later = lever("market", end=EndKind.CONTRACT, ends_ms=BEGINS_MS + 9)
    at = BEGINS_MS + 1
    assert is_let_go([], "market", at)
    assert is_let_go([contract], "vault", at)
    assert not is_let_go([contract], "market", at - 1)
    assert is_let_go([contract], "market", at)
    assert not is_let_go([contract, later], "market", at)
    assert is_let_go([contract, later], "market", BEGINS_MS + 9)
    assert not is_let_go([contract, people], "market", at)


def test_a_step_whose_approval_has_expired_is_not_proposed() -> None:
    ready = ready_track()
    at = ready.approved_until_ms
    made = make_plan(scene(ready, policy=QUICK, levers=(lever("market", ends_ms=at + 1),)), at)
    assert made.proposals == ()
    assert made.steps[0].waits is not None
    assert not made.steps[0].waits.is_approved


def test_remedies_are_proposed_as_the_operator_has_them() -> None:
    root = Call(POOL, bytes(32), "setRoot")
    remedies = tuple(
        Proposal(kind, "market", Stage.CANARY_1, (root,), "after the loss")
        for kind in (ProposalKind.FUND, ProposalKind.MIGRATE, ProposalKind.CLAIMS)
    )
    assert make_plan(scene(make_track(), remedies=remedies), BEGINS_MS).proposals == remedies


def test_a_scope_that_is_open_has_no_steps() -> None:
    assert make_plan(scene(make_track(stage=Stage.NORMAL)), BEGINS_MS).steps == ()
    assert steps_of(make_plan(scene(make_track(stage=Stage.RESTRICTED)), BEGINS_MS), "market") == list(PATH)
    assert steps_of(make_plan(scene(make_track(stage=Stage.CANARY_5)), BEGINS_MS), "market") == list(PATH[3:])


@FIXED
@given(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from(Stage), min_size=1, max_size=4),
    st.dictionaries(st.sampled_from("abcd"), st.frozensets(st.sampled_from("abcd"), max_size=2), max_size=4),
)
def test_a_plan_opens_every_scope_one_stage_after_the_other(
    stages: dict[str, Stage], hanging: dict[str, frozenset[str]]
) -> None:
    there = scene(*(make_track(scope, stage) for scope, stage in stages.items()), hanging=hanging)
    plan = make_plan(there, BEGINS_MS)
    at = dict(stages)
    for one in plan.steps:
        assert at[one.step.scope] is one.step.before
        at[one.step.scope] = one.step.after
        assert one.earliest_ms >= BEGINS_MS
        assert (one.waits is not None) == (one.step.before is stages[one.step.scope])
    assert set(at.values()) == {Stage.NORMAL}
    assert plan == make_plan(there, BEGINS_MS)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: lever("market", undo_at=Stage.HALTED), "undo_at is halted"),
        (lambda: lever("market", undo_at=Stage.RESTRICTED), "undo_at is restricted"),
        (lambda: scene(*(make_track(str(n)) for n in range(257))), "257 tracks"),
        (lambda: scene(make_track(), levers=(lever("market"),) * 257), "257 levers"),
        (
            lambda: scene(
                make_track(), remedies=(Proposal(ProposalKind.FUND, "m", Stage.NORMAL, (), ""),) * (MAX_REMEDIES + 1)
            ),
            "65 remedies",
        ),
    ],
)
def test_bad_scenes_are_named(make: Any, named: str) -> None:
    with pytest.raises(RecoveryError, match=named):
        make()
