"""Effects near their end: the chain is asked first, people are woken for what it does not say is over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath

import pytest
import trio
from recovery_watch_kit import PEOPLE, SECOND_MS, Watch, open_watch
from store_kit import HOOK, Lever
from tocsin_node.relay import expiry as expiry_module
from tocsin_node.relay.expiry import Expiry
from tocsin_node.store.actions import append_event
from tocsin_protocol.containment.action import EXPIRY_NOTICE_MS, Action
from tocsin_protocol.containment.life_cycle import Event, State

LEVER_MS = 3_600 * SECOND_MS


class Stumbling(Lever):
    """A lever whose look at its effect fails."""

    async def read_effect(self, action: Action) -> bool | None:
        raise ZeroDivisionError("a fault of the hook")


class Silent(Lever):
    """A lever whose chain never answers."""

    async def read_effect(self, action: Action) -> bool | None:
        await trio.sleep_forever()


def expiry_of(watch: Watch, *, is_configured: bool = True) -> Expiry:
    hooks = {HOOK: watch.bench.lever} if is_configured else {}
    return Expiry(watch.bench.store, hooks, watch.bench.metrics, lambda: watch.bench.clock[0])


async def fire_and_wait(watch: Watch, left_ms: int) -> Action:
    """Use the lever, and let all of its time pass but this."""
    action = await watch.fire()
    await watch.look()
    watch.bench.clock[0] = (action.ends_ms or 0) - left_ms
    return action


@pytest.mark.parametrize("left_ms", [EXPIRY_NOTICE_MS, 0, -LEVER_MS])
async def test_what_the_chain_says_is_over_is_lifted_and_wakes_nobody(tmp_path: FilePath, left_ms: int) -> None:
    async with open_watch(tmp_path, lever=Lever(is_in_effect=False)) as watch:
        action = await fire_and_wait(watch, left_ms)
        await expiry_of(watch).look()
        lifted = await watch.action(action)
        assert (lifted.state, lifted.reason) == (State.LIFTED, "the chain says that it is over")
        assert await watch.alarms() == []
        assert watch.bench.counted("tocsin_action_events", event="lift") == 1
        # nothing holds its scope any more, and nobody has opened it
        await watch.look()
        assert (await watch.scope())["stage"] == "restricted"


async def test_before_its_end_is_near_the_chain_is_not_asked(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path, lever=Stumbling()) as watch:
        action = await fire_and_wait(watch, EXPIRY_NOTICE_MS + 1)
        await expiry_of(watch).look()
        assert (await watch.action(action)).state is State.EFFECTIVE


@pytest.mark.parametrize("lever", [Lever(is_in_effect=True), Lever(), Stumbling(), Silent()])
async def test_what_the_chain_does_not_say_is_over_wakes_people_once(
    tmp_path: FilePath, lever: Lever, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_module, "EFFECT_LOOK_SECONDS", 0.01)
    async with open_watch(tmp_path, lever=lever) as watch:
        action = await fire_and_wait(watch, EXPIRY_NOTICE_MS)
        for _ in range(2):
            await expiry_of(watch).look()
            assert (await watch.action(action)).state is State.EXPIRING
        (alarm,) = await watch.alarms()
        assert b"its end is near" in alarm
        # once its contract has ended it
        lever.is_in_effect = False
        await Expiry(
            watch.bench.store, {HOOK: Lever(is_in_effect=False)}, watch.bench.metrics, lambda: watch.bench.clock[0]
        ).look()
        assert (await watch.action(action)).state is State.LIFTED


async def test_a_hook_that_is_not_configured_any_more_says_nothing(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path, lever=Lever(is_in_effect=False)) as watch:
        action = await fire_and_wait(watch, 0)
        await expiry_of(watch, is_configured=False).look()
        assert (await watch.action(action)).state is State.EXPIRING


async def test_what_an_approved_step_is_about_to_lift_is_left_to_that_step(tmp_path: FilePath) -> None:
    async with open_watch(tmp_path, lever=Lever(is_in_effect=False)) as watch:
        action = await fire_and_wait(watch, 0)
        # what was looked at before a jump of the clock does not count
        await watch.look(times=7)
        await watch.approve()
        # governance has made the calls, and nobody has told the node yet
        await expiry_of(watch).look()
        assert (await watch.action(action)).state is State.EXPIRING
        await watch.look()
        assert (await watch.scope())["approved"]
        assert await watch.open() == "exit-only"
        lifted = await watch.action(action)
        assert (lifted.state, lifted.reason) == (State.LIFTED, "reopened to exit-only by the operators")


async def test_what_the_operator_lifts_while_the_chain_is_asked_stays_lifted(tmp_path: FilePath) -> None:
    class Lifting(Lever):
        async def read_effect(self, action: Action) -> bool | None:
            def lift(connection: object) -> None:
                append_event(connection, action.action_id, Event.LIFT, {"reason": "by hand"}, 1)  # type: ignore[arg-type]

            await watch.bench.store.writer.submit(lift)
            return False

    async with open_watch(tmp_path, lever=Lifting()) as watch:
        action = await fire_and_wait(watch, 0)
        await expiry_of(watch).look()
        assert (await watch.action(action)).reason == "by hand"


async def test_a_fault_of_one_look_does_not_end_the_node(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry_module, "EXPIRY_POLL_SECONDS", 0.01)
    async with open_watch(tmp_path, replace(PEOPLE), lever=Lever()) as watch, trio.open_nursery() as nursery:
        action = await fire_and_wait(watch, 0)
        clock = watch.bench.clock
        faults = [ZeroDivisionError("a fault of ours")] * 2

        def now_ms() -> int:
            if faults:
                raise faults.pop()
            return clock[0]

        await nursery.start(Expiry(watch.bench.store, {}, watch.bench.metrics, now_ms).run_expiry)
        with trio.fail_after(60):
            while (await watch.action(action)).state is not State.EXPIRING:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.01)
        assert watch.bench.counted("tocsin_dropped", reason="expiry-fault") == 2
        nursery.cancel_scope.cancel()
