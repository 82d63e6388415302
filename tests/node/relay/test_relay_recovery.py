"""The way back in the relay: watched, approved, opened in order, and closed again by a new alarm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import pytest
from approval_kit import address
from protocol_kit import VAULT, make_signal
from recovery_watch_kit import INCIDENT, PEOPLE, SECOND_MS, UNPAUSE, open_watch
from store_kit import HOOK, SCOPE, Lever, arm
from tocsin_node.cli.output import Output
from tocsin_node.cli.recover_view import show_plan
from tocsin_node.errors import ControlError
from tocsin_node.hooks.hook import Proposal
from tocsin_node.people import People, Undoing
from tocsin_node.relay.recovery import LONGEST_LOOK_SECONDS, look_seconds
from tocsin_node.relay.waiting import read_waiting
from tocsin_node.store.actions import append_event
from tocsin_node.store.tracks import read_tracks
from tocsin_protocol.approval.policy import ApprovalPolicy, ApprovalRule
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event, State
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.recovery.plan import EndKind
from tocsin_protocol.recovery.stages import Stage
from tocsin_protocol.recovery.track import MAX_TICK_MS
from tocsin_protocol.taxonomy import Category


async def test_a_lever_in_effect_starts_the_way_back_of_what_it_holds(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.look()
        assert (await watch.plan())["scopes"] == []
        await watch.fire()
        await watch.look()
        scope = await watch.scope()
        assert (scope["scope"], scope["stage"], scope["allowed"]) == (SCOPE, "halted", [])
        assert scope["held_by"][0]["hook"] == HOOK
        (waiting,) = await watch.bench.store.writer.submit(
            lambda c: read_waiting(c, watch.rules(), watch.bench.clock[0])
        )
        assert waiting == f"{SCOPE} is halted: see tocsin recover {INCIDENT.hex()[:12]}"
        steps = (await watch.plan())["steps"]
        assert [step["to"] for step in steps] == ["exit-only", "canary-1", "canary-5", "canary-25", "normal"]
        assert [call["effect"] for step in steps for call in step["calls"]] == ["unpause()", "setCap(1 %)"]
        assert steps[0]["waits"]["advice"]["all_clear_asked"] == 3


async def test_two_of_three_and_calm_open_every_stage_and_nothing_less_does(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        action = await watch.fire()
        await watch.look(times=7)
        # calm for its time, and not approved
        assert (await watch.plan())["proposals"] == []
        with pytest.raises(ControlError, match="have not approved") as caught:
            await watch.open()
        assert caught.value.code == "not-approved"
        await watch.approve("ben")
        assert (await watch.plan())["steps"][0]["waits"]["advice"]["approvals"] == 1
        with pytest.raises(ControlError, match="have not approved"):
            await watch.open()
        await watch.approve("ann")
        (proposal,) = (await watch.plan())["proposals"]
        assert (proposal["kind"], proposal["calls"][0]["data"]) == ("reopen", "0x3f4ba83a")
        assert (await watch.action(action)).state is State.EFFECTIVE
        assert await watch.open() == "exit-only"
        # what the step undid is lifted in the ledger
        await watch.look()
        assert (await watch.action(action)).state is State.LIFTED
        await watch.climb(Stage.NORMAL)
        await watch.look(times=6)
        assert (await watch.scope())["over"]


async def test_what_is_approved_and_opened_too_early_does_not_count(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look(times=2)
        await watch.approve()
        with pytest.raises(ControlError, match="calm for its time") as caught:
            await watch.open()
        assert caught.value.code == "too-early"
        assert (await watch.scope())["stage"] == "halted"
        await watch.look(times=5)
        assert await watch.open() == "exit-only"


async def test_a_new_use_of_a_lever_steps_back_and_voids_what_was_asked(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look()
        await watch.climb(Stage.CANARY_5)
        request = await watch.ask()
        await watch.hand_in("ann", request)
        await watch.fire(b"\5" * 32)
        await watch.look()
        scope = await watch.scope()
        assert (scope["stage"], scope["note"], scope["backs"], scope["approved"]) == (
            "halted",
            "stepped-back",
            1,
            False,
        )
        assert any(b"stepped-back" in alarm for alarm in await watch.alarms())
        with pytest.raises(ControlError) as caught:
            await watch.hand_in("ben", request)
        assert caught.value.code == "not-open"
        assert "past or void" in str(caught.value)
        # twice as long as before
        assert scope["dwell_left_ms"] == 2 * 5 * SECOND_MS


async def test_belief_in_a_new_incident_steps_back_to_exits(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look()
        await watch.climb(Stage.CANARY_1)
        # loud and pinned voices, and our own detector, of the vault: not enough to use a lever that is used up
        await watch.bench.store.writer.submit(lambda c: arm(c, armed=False))
        await watch.bench.publishing.publish([make_signal(issued_ms=watch.bench.clock[0])])
        await watch.hear("brook", "cedar", "delta")
        await watch.look()
        scope = await watch.scope()
        assert (scope["stage"], scope["level"], scope["note"]) == ("exit-only", "alarm", "stepped-back")
        # an alarm lasts until belief is calm
        await watch.look(times=7)
        assert (await watch.scope())["dwell_left_ms"] == 10 * SECOND_MS


async def test_it_survives_a_restart_and_time_asleep_is_not_calm(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look(times=3)
        request = await watch.ask()
        await watch.hand_in("ann", request)
        before = await watch.scope()
    async with open_watch(tmp_path) as watch:
        watch.bench.clock[0] += 10 * MAX_TICK_MS
        await watch.look()
        after = await watch.scope()
        assert (after["stage"], after["step"]) == (before["stage"], before["step"])
        assert after["dwell_left_ms"] >= before["dwell_left_ms"] - SECOND_MS
        assert (await watch.hand_in("ben", request))["state"] == "granted"
        assert (await watch.scope())["approved"]


async def test_a_clock_that_steps_back_starts_the_dwell_over(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look(times=5)
        assert (await watch.scope())["dwell_left_ms"] < 5 * SECOND_MS
        await watch.look(-10 * MAX_TICK_MS)
        assert (await watch.scope())["dwell_left_ms"] == 5 * SECOND_MS


async def test_the_same_step_is_asked_once_and_anew_when_it_has_expired(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look()
        first = await watch.ask()
        assert await watch.ask() == first
        assert (first.tier, first.lever, first.purpose) == (2, "recovery", "reopen")
        watch.bench.clock[0] = first.expires_ms
        second = await watch.ask()
        assert second.expires_ms > first.expires_ms
        assert second.payload == first.payload
        # the two are of one use: what was signed for the first does not count for the second
        with pytest.raises(ControlError) as caught:
            await watch.hand_in("ann", first)
        assert caught.value.code == "expired"


async def test_calls_that_are_changed_after_they_were_approved_are_not_approved(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look(times=7)
        await watch.approve()
        assert [p["kind"] for p in (await watch.plan())["proposals"]] == ["reopen"]
        drain = replace(UNPAUSE, data=b"\xde\xad\xbe\xef")
        watch.people[0] = replace(PEOPLE, undoing={HOOK: Undoing(drain, Stage.EXIT_ONLY, EndKind.PEOPLE)})
        assert (await watch.plan())["proposals"] == []
        with pytest.raises(ControlError, match="have not approved"):
            await watch.open()
        scope = await watch.scope()
        assert (scope["approved"], scope["dwell_left_ms"]) == (False, 0)
        assert any(b"not those that were approved" in alarm for alarm in await watch.alarms())
        # asked anew, they are what is approved
        await watch.approve()
        assert [c["data"] for p in (await watch.plan())["proposals"] for c in p["calls"]] == ["0xdeadbeef"]


async def test_a_step_not_made_within_the_window_of_its_approval_is_asked_anew(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look(times=7)
        request = await watch.ask()
        await watch.approve()
        assert (await watch.scope())["approved_until_ms"] == request.expires_ms
        assert "reopen" in [p["kind"] for p in (await watch.plan())["proposals"]]
        watch.bench.clock[0] = request.expires_ms
        with pytest.raises(ControlError, match="has expired; ask them anew") as caught:
            await watch.open()
        assert caught.value.code == "expired"
        assert "reopen" not in [p["kind"] for p in (await watch.plan())["proposals"]]
        scope = await watch.scope()
        assert (scope["stage"], scope["note"], scope["approved"]) == ("halted", "expired", False)
        # a clock set back revives nothing
        watch.bench.clock[0] = request.expires_ms - 1
        with pytest.raises(ControlError, match="have not approved"):
            await watch.open()
        watch.bench.clock[0] = request.expires_ms
        await watch.look(times=7)
        await watch.approve()
        assert await watch.open() == "exit-only"


async def test_an_operator_who_is_removed_after_he_approved_counts_no_more(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look(times=7)
        request = await watch.ask()
        await watch.approve("ann", "ben")
        operators = {address(name): name for name in ("ben", "cam")}
        rule = replace(PEOPLE.approvals.rules[0], operators=frozenset(operators))
        watch.people[0] = replace(PEOPLE, approvals=ApprovalPolicy(operators, (rule,), frozenset({address("ann")})))
        with pytest.raises(ControlError, match="have not approved"):
            await watch.open()
        assert any(b"may do so still" in alarm for alarm in await watch.alarms())
        # nor does what he signs from now on
        again = await watch.ask()
        assert again.epoch == request.epoch + 1
        with pytest.raises(ControlError) as caught:
            await watch.hand_in("ann", again)
        assert caught.value.code == "removed-operator"
        await watch.approve("ben", "cam")
        assert await watch.open() == "exit-only"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"node": b"\7" * 20}, "wrong-node"),
        ({"payload": b"\7" * 32}, "wrong-payload"),
        ({"tier": 1}, "other-request"),
        ({"incident": b"\7" * 32}, "other-request"),
        ({"effect": "Open nothing."}, "other-request"),
        ({"epoch": 77}, "unknown-request"),
    ],
)
async def test_an_approval_of_another_step_names_what_differs(
    tmp_path: FilePath, changes: dict[str, Any], code: str
) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look(times=7)
        request = await watch.ask()
        for name in ("ann", "ben"):
            with pytest.raises(ControlError) as caught:
                await watch.hand_in(name, replace(request, **changes))
            assert caught.value.code == code
        with pytest.raises(ControlError, match="have not approved"):
            await watch.open()


async def test_a_lever_of_a_higher_tier_asks_for_the_approval_of_that_tier(tmp_path: FilePath) -> None:
    everybody = frozenset(PEOPLE.approvals.operators)
    rules = (*PEOPLE.approvals.rules, ApprovalRule(3, everybody, tier=int(Tier.PAUSE)))
    people = replace(PEOPLE, approvals=replace(PEOPLE.approvals, rules=rules))
    async with open_watch(tmp_path, people) as watch:
        await watch.fire()
        await watch.look()
        asked = await watch.ask()
        watch.tiers[0] = Tier.PAUSE
        await watch.fire(b"\5" * 32)
        await watch.look()
        for name, code in (("ann", "not-open"), ("ben", "not-open")):
            with pytest.raises(ControlError) as caught:
                await watch.hand_in(name, asked)
            assert caught.value.code == code
        await watch.look(times=7)
        await watch.approve("ann", "ben")
        assert (await watch.ask()).tier == int(Tier.PAUSE)
        with pytest.raises(ControlError, match="have not approved"):
            await watch.open()
        await watch.approve("cam")
        assert await watch.open() == "exit-only"


async def test_an_approval_of_one_step_is_not_one_of_the_next(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look()
        request = await watch.ask()
        await watch.climb(Stage.EXIT_ONLY)
        with pytest.raises(ControlError) as caught:
            await watch.hand_in("ben", request)
        assert caught.value.code == "used"
        assert not (await watch.scope())["approved"]


async def test_the_peers_all_clear_is_counted_and_decides_nothing(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.bench.publishing.publish([make_signal()])
        (incident,) = await watch.bench.store.writer.submit(lambda c: c.execute("SELECT id FROM incidents").fetchone())
        await watch.fire(incident)
        clear = make_signal(category=Category.META_ALL_CLEAR, text="The attacker is gone.")
        await watch.hear("brook", signal=clear)
        await watch.look(times=2)
        (scope,) = (await watch.plan(incident))["scopes"]
        waits = (await watch.plan(incident))["steps"][0]["waits"]
        assert (waits["advice"]["all_clear_seen"], waits["advice"]["all_clear_asked"]) == (1, 3)
        assert (scope["stage"], scope["approved"]) == ("halted", False)


async def test_what_the_operator_says_is_lifted_is_proposed_no_more(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        action = await watch.fire()
        await watch.look()
        lift = {"reason": "by hand"}
        await watch.bench.store.writer.submit(
            lambda c: append_event(c, action.action_id, Event.LIFT, lift, watch.bench.clock[0])
        )
        assert (await watch.plan())["steps"][0]["calls"] == []


async def test_a_lever_past_its_time_that_no_contract_ends_is_proposed_to_be_undone(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look()
        await watch.look(3_600_000)
        assert [p["kind"] for p in (await watch.plan())["proposals"]] == ["undo"]
        assert (await watch.scope())["stage"] == "halted"


async def test_a_lever_that_the_contract_ends_leaves_its_scope_restricted(tmp_path: FilePath) -> None:
    undoing = {HOOK: Undoing(UNPAUSE, Stage.EXIT_ONLY, EndKind.CONTRACT)}
    async with open_watch(tmp_path, replace(PEOPLE, undoing=undoing)) as watch:
        await watch.fire()
        await watch.look()
        await watch.look(3_600_000)
        assert (await watch.scope())["stage"] == "restricted"


class TellingLever(Lever):
    """A lever whose hook knows how it is undone."""

    def undo(self, action: Action) -> Proposal:
        return Proposal("unfreeze it", VAULT, b"undo " + action.payload)


async def test_where_the_policy_names_no_way_back_the_hook_does(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path, replace(PEOPLE, undoing={}), lever=TellingLever(ends_after_minutes=60)) as watch:
        await watch.fire()
        await watch.look()
        (call,) = (await watch.plan())["steps"][0]["calls"]
        assert (call["to"], call["effect"], call["data"]) == (VAULT, "unfreeze it", "0x" + b"undo pause".hex())
        await watch.look(3_600_000)
        assert (await watch.scope())["stage"] == "restricted"


async def test_a_scope_that_is_not_under_recovery_is_named_with_those_that_are(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look()
        for verb in (watch.recovery.ask, watch.recovery.opened):
            with pytest.raises(ControlError, match=f"'moon' is not under recovery .these are: {SCOPE}"):
                await verb({"scope": "moon"})
        with pytest.raises(ControlError, match="not hex"):
            await watch.recovery.show({"incident": "moon"})


async def test_without_a_rule_nobody_can_be_asked(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path, replace(PEOPLE, approvals=People().approvals)) as watch:
        await watch.fire()
        await watch.look()
        with pytest.raises(ControlError, match="No rule says who approves") as caught:
            await watch.ask()
        assert caught.value.code == "no-rule"
        assert (await watch.approving.requests({}))["requests"] == []


async def test_a_second_containment_goes_on_above_every_step_of_the_first(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look()
        await watch.climb(Stage.NORMAL)
        await watch.look(times=6)
        before = (await watch.bench.store.writer.submit(read_tracks))[SCOPE].track
        await watch.fire(b"\6" * 32)
        await watch.look()
        after = (await watch.bench.store.writer.submit(read_tracks))[SCOPE].track
        assert (after.stage, after.incident) == (Stage.HALTED, b"\6" * 32)
        assert after.step > before.step


def test_looks_are_short_enough_to_count_and_long_enough_to_rest() -> None:
    assert look_seconds(People()) == LONGEST_LOOK_SECONDS < MAX_TICK_MS / 1000
    assert look_seconds(PEOPLE) == 1.25


async def test_the_plan_is_told_to_people(tmp_path: FilePath, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_watch(tmp_path) as watch:
        await watch.fire()
        await watch.look(times=3)
        await watch.approve("ann")
        show_plan(Output(as_json=False), await watch.plan())
        asked = capsys.readouterr().out
        for words in ("vault is halted", "people may: nothing", f"held by {HOOK} (effective)", "approval (1 of 2)"):
            assert words in asked
        assert "advice: belief 0 %, all-clear 0 of 3" in asked
        assert "4 s of calm" in asked
        await watch.approve("ben")
        await watch.look(times=5)
        show_plan(Output(as_json=False), await watch.plan())
        ready = capsys.readouterr().out
        assert "governance: it may be taken now" in ready
        assert "its next step is approved, until 20" in ready
        assert "Proposed to governance: reopen vault: Open vault from halted to exit-only" in ready
        assert "0x3f4ba83a" in ready
        assert await watch.open() == "exit-only"
        await watch.fire(b"\7" * 32)
        await watch.look()
        show_plan(Output(as_json=False), await watch.plan())
        assert "stepped back 1 time" in capsys.readouterr().out
