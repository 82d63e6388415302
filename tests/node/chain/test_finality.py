"""An action that is effective stays watched until its block is final."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from chain_kit import DEADLINE_S, Bench, open_bench, open_proxy
from test_acting import open_desk
from tocsin_node.chain.finality import _Sight, judge_sights
from tocsin_node.demo.anvil import open_anvil
from tocsin_node.demo.scenario_chain import is_paused
from tocsin_protocol.containment.life_cycle import Event, State


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A chain whose blocks are final two blocks later."""
    async with open_anvil("--slots-in-an-epoch", "1") as anvil:
        yield await open_bench(anvil)


async def test_a_reorg_after_it_was_effective_has_the_same_bytes_sent_again(bench: Bench) -> None:
    before = await bench.anvil.snapshot()
    with trio.fail_after(DEADLINE_S):
        # what is sent again because no receipt is seen yet may arrive after the reorg
        async with bench.open_hook(watch_ms=20, rebroadcast_ms=60_000) as hook:
            first = await hook.run(bench.intend(), bench.journal)
            assert first.state is State.EFFECTIVE
            await bench.anvil.restore(before)
            assert not await is_paused(bench.anvil, bench.scenario.dex)
            await bench.wait_for(lambda: Event.REORG in bench.journal.events)
            # Whoever keeps the journal takes up what was taken back.
            again = await hook.run(bench.journal.actions[first.action_id], bench.journal)
    assert again.state is State.EFFECTIVE
    assert [item.raw for item in again.transactions] == [item.raw for item in first.transactions]
    assert await bench.count_pauses() == 1


async def test_the_watch_ends_when_the_block_is_final(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy, bench.open_hook(proxy.url, watch_ms=20) as hook:
        await hook.run(bench.intend(), bench.journal)
        await bench.anvil.mine(3)
        with trio.fail_after(DEADLINE_S):
            while hook._sender._watched:  # noqa: ASYNC110 - nothing tells of the end but that nobody asks any more
                await trio.sleep(0.01)
    assert Event.REORG not in bench.journal.events


async def test_an_effective_action_is_watched_again_after_a_restart(bench: Bench) -> None:
    before = await bench.anvil.snapshot()
    done = await bench.run(bench.intend())
    async with bench.open_hook(watch_ms=20) as hook:
        assert await hook.run(done, bench.journal) == done
        await bench.anvil.restore(before)
        await bench.wait_for(lambda: Event.REORG in bench.journal.events)
    assert bench.journal.actions[done.action_id].state is State.BROADCAST


async def test_what_was_lifted_meanwhile_is_not_sent_again(bench: Bench) -> None:
    before = await bench.anvil.snapshot()
    # what is sent again because no receipt is seen yet may arrive after that
    once = {"watch_ms": 20, "rebroadcast_ms": 60_000}
    async with open_proxy(bench.anvil) as proxy, bench.open_hook(proxy.url, **once) as hook:
        done = await hook.run(bench.intend(), bench.journal)
        lifted = await bench.journal.record(done.action_id, Event.LIFT, {})
        proxy.asked.clear()
        await bench.anvil.restore(before)
        await bench.wait_for(lambda: not hook._sender._watched)
        assert "eth_sendRawTransaction" not in proxy.asked
    assert bench.journal.actions[done.action_id] == lifted


async def test_the_relay_takes_up_what_a_reorg_took_back(bench: Bench, tmp_path: Path) -> None:
    before = await bench.anvil.snapshot()
    action = bench.intend()
    async with bench.open_hook(watch_ms=20) as hook, open_desk(tmp_path, hook) as desk:
        await desk.arm()
        await desk.decide(action)
        assert (await desk.wait_final(action)).state is State.EFFECTIVE
        await bench.anvil.restore(before)
        await bench.wait_paused()
        assert (await desk.wait_final(action)).state is State.EFFECTIVE
    assert await bench.count_pauses() == 1


async def test_a_fault_in_the_journal_ends_the_watch_and_nothing_else(bench: Bench) -> None:
    before = await bench.anvil.snapshot()

    def fail(event: Event) -> None:
        raise RuntimeError("the disk is gone")

    async with bench.open_hook(watch_ms=20) as hook:
        await hook.run(bench.intend(), bench.journal)
        bench.journal.on_record = fail
        await bench.anvil.restore(before)
        await bench.wait_for(lambda: not hook._sender._watched)


HERE, GONE = _Sight(True, 5), _Sight(False, 5)


@pytest.mark.parametrize(
    ("sights", "block", "witnesses", "stays"),
    [
        ([], 5, 1, None),
        ([HERE], 5, 1, True),
        ([HERE], 6, 1, None),
        ([HERE], 5, 2, None),
        ([GONE], 5, 1, False),
        ([GONE], 5, 2, None),
        ([HERE, GONE], 5, 2, None),
        ([GONE, GONE], 5, 2, False),
        ([HERE, GONE, GONE], 5, 2, False),
        ([HERE, HERE, GONE], 5, 2, True),
        ([HERE, _Sight(True, 4)], 5, 2, None),
    ],
)
def test_one_endpoint_neither_ends_the_watch_nor_calls_for_a_second_sending(
    sights: list[_Sight], block: int, witnesses: int, stays: bool | None
) -> None:
    assert judge_sights(sights, block, witnesses) is stays
