"""A process that dies at any await around the hook leaves one pause on chain once it has been started again."""

from __future__ import annotations

import trio
from chain_kit import DEADLINE_S, Bench, Killer
from tocsin_node.demo.scenario_chain import is_paused
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import State

MAX_STEPS = 400
"""More than a run has; the loop ends with the first run that is over before its death."""
MAX_DEATHS_IN_A_ROW = 40


async def run_until_killed(bench: Bench, action: Action, at_step: int, *urls: str) -> bool:
    """Run the hook and say whether it died before its end."""
    scope = trio.CancelScope()
    killer = Killer(trio.lowlevel.current_task(), scope, at_step)
    with trio.fail_after(DEADLINE_S), scope:
        async with bench.open_hook(*urls) as hook:
            trio.lowlevel.add_instrument(killer)
            try:
                await hook.run(action, bench.journal)
            finally:
                trio.lowlevel.remove_instrument(killer)
    return scope.cancelled_caught


async def test_one_death_at_every_await_leaves_one_pause(bench: Bench) -> None:
    for at_step in range(1, MAX_STEPS):
        before = await bench.anvil.snapshot()
        bench.journal.actions.clear()
        action = bench.intend()
        is_killed = await run_until_killed(bench, action, at_step)
        action = bench.intend()  # what a restarted process finds: the same intent, in the state that is durable
        done = await bench.run(action)
        assert done.state is State.EFFECTIVE, (at_step, done)
        assert await bench.count_sent() == 1, at_step
        assert await bench.count_pauses() == 1, at_step
        assert len(done.transactions) == 1, at_step
        await bench.anvil.restore(before)
        if not is_killed:
            assert at_step > 10, "the run has fewer awaits than it should"
            return
    raise AssertionError("the run never came to its end")


async def test_death_after_death_leaves_one_pause(bench: Bench) -> None:
    for stride in (3, 5, 7, 11):
        before = await bench.anvil.snapshot()
        bench.journal.actions.clear()
        for _ in range(MAX_DEATHS_IN_A_ROW):
            action = bench.intend()
            if action.is_settled or not await run_until_killed(bench, action, stride):
                break
            stride += 1
        done = await bench.run(bench.intend())
        assert done.state is State.EFFECTIVE
        assert await bench.count_sent() == 1
        assert await is_paused(bench.anvil, bench.scenario.dex)
        await bench.anvil.restore(before)


async def test_death_while_the_transaction_waits_for_a_block_leaves_one_pause(bench: Bench) -> None:
    await bench.anvil.call("evm_setAutomine", False)

    async def mine_now_and_then() -> None:
        while True:
            await trio.sleep(0.05)
            await bench.anvil.mine()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine_now_and_then)
        for epoch, at_step in enumerate(range(10, 150, 7), 1):
            await run_until_killed(bench, bench.intend(epoch=epoch), at_step)
            done = await bench.run(bench.intend(epoch=epoch))
            assert done.state is State.EFFECTIVE, (at_step, done)
            assert await bench.count_sent() == epoch, at_step
            await bench.unpause()
        nursery.cancel_scope.cancel()
