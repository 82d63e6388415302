"""Actions from the real store through a real hook to a chain, and what the operator or a fault does in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path as FilePath

import pytest
import trio
from chain_kit import DEADLINE_S, Bench, open_proxy
from tocsin_node.chain.raw import read_signed
from tocsin_node.clock import now_ms
from tocsin_node.demo.scenario_chain import is_paused
from tocsin_node.hooks.evm import EvmHook
from tocsin_node.never_touch import NeverTouch
from tocsin_node.relay import acting as acting_module
from tocsin_node.relay.acting import Acting
from tocsin_node.relay.brake import Brake
from tocsin_node.relay.ledger import Ledger
from tocsin_node.relay.metrics import Metrics
from tocsin_node.store.actions import find_action, insert_intent, set_arm
from tocsin_node.store.arrivals import Filed, Path
from tocsin_node.store.decisions import Decided
from tocsin_node.store.writer import Store
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import State
from tocsin_protocol.signing import Domain


@dataclass
class Desk:
    """The operator's side of one hook: its store, and the task that runs its actions."""

    store: Store
    acting: Acting
    metrics: Metrics

    @property
    def faults(self) -> float:
        return self.metrics.registry.get_sample_value("tocsin_dropped_total", {"reason": "hook-fault"}) or 0.0

    def count_events(self, event: str) -> float:
        return self.metrics.registry.get_sample_value("tocsin_action_events_total", {"event": event}) or 0.0

    async def arm(self, *, armed: bool = True) -> None:
        await self.store.writer.submit(
            lambda connection: set_arm(connection, "pause-pool", armed=armed, now_ms=now_ms(), by="operator")
        )

    async def decide(self, action: Action) -> None:
        """Make the intent durable and hand it over, as a decision does."""
        await self.store.writer.submit(lambda connection: insert_intent(connection, action, now_ms()))
        self.acting.start(Filed(decided=[Decided(action.incident_id, "", (action,))]), Path.OWN)

    async def wait_final(self, action: Action) -> Action:
        with trio.fail_after(DEADLINE_S):
            while True:
                stored = await self.store.writer.submit(lambda connection: find_action(connection, action.action_id))
                if stored is not None and stored.is_settled:
                    return stored
                await trio.sleep(0.02)


@asynccontextmanager
async def open_desk(folder: FilePath, hook: EvmHook) -> AsyncIterator[Desk]:
    store, metrics = Store(folder, b"\1" * 20, b"\2" * 32, bytes(32)), Metrics()
    ledger = Ledger(store, now_ms)
    brake = Brake(store, ledger, Domain(b"\2" * 32), (), metrics, now_ms)
    acting = Acting(store, ledger, brake, NeverTouch(frozenset()), {hook.name: hook}, metrics, now_ms)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.writer.run_writer)
            await ledger.load()
            await nursery.start(acting.run_acting)
            yield Desk(store, acting, metrics)
            nursery.cancel_scope.cancel()
    finally:
        store.close()


async def test_an_armed_hook_acts(bench: Bench, tmp_path: FilePath) -> None:
    action = bench.intend()
    async with bench.open_hook() as hook, open_desk(tmp_path, hook) as desk:
        await desk.arm()
        await desk.decide(action)
        done = await desk.wait_final(action)
    assert done.state is State.EFFECTIVE
    assert await is_paused(bench.anvil, bench.scenario.dex)


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ((False,), "the hook was disarmed before anything was sent"),
        ((False, True), "the hook was armed anew (epoch 2) before anything was sent"),
    ],
)
async def test_what_is_disarmed_before_it_is_signed_is_never_sent(
    bench: Bench, tmp_path: FilePath, then: tuple[bool, ...], reason: str
) -> None:
    action = bench.intend()
    async with open_proxy(bench.anvil) as proxy:
        proxy.is_down = True
        async with bench.open_hook(proxy.url) as hook, open_desk(tmp_path, hook) as desk:
            await desk.arm()
            await desk.decide(action)
            for armed in then:
                await desk.arm(armed=armed)
            proxy.is_down = False
            done = await desk.wait_final(action)
            # counted once it is written, so a moment after the state can be read
            await bench.wait_for(lambda: desk.count_events("lapse") == 1)
    assert done.state is State.LAPSED
    assert done.reason == reason
    assert done.transactions == ()
    assert "eth_sendRawTransaction" not in proxy.asked
    assert await bench.count_sent() == 0


async def test_a_store_that_fails_for_a_while_ends_no_pursuit(
    bench: Bench, tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting_module, "FIRST_RETRY_SECONDS", 0.01)
    action = bench.intend()
    async with open_proxy(bench.anvil) as proxy:
        proxy.is_down = True
        async with bench.open_hook(proxy.url) as hook, open_desk(tmp_path, hook) as desk:
            await desk.arm()
            await desk.decide(action)
            await bench.wait_for(lambda: desk.count_events("check") == 1)
            await desk.store.writer.submit(lambda c: c.execute("ALTER TABLE actions RENAME TO away"))
            proxy.is_down = False
            # the first fault is the hook's, which cannot sign; the next ones are met while its state is read
            await bench.wait_for(lambda: desk.faults >= 3)
            await desk.store.writer.submit(lambda c: c.execute("ALTER TABLE away RENAME TO actions"))
            done = await desk.wait_final(action)
    assert done.state is State.EFFECTIVE
    assert await bench.count_sent() == 1


async def test_a_restart_remembers_nonces_and_costs_of_the_ledger(bench: Bench, tmp_path: FilePath) -> None:
    async with bench.open_hook() as hook, open_desk(tmp_path, hook) as desk:
        await desk.arm()
        first = bench.intend(epoch=1)
        await desk.decide(first)
        signed = (await desk.wait_final(first)).transactions[0]
    await bench.unpause()
    cap = read_signed(signed.raw).most_wei * 3 // 2
    async with open_proxy(bench.anvil) as one, open_proxy(bench.anvil) as two:
        # Two endpoints that lag: they know nothing of it.
        one.lie = two.lie = lambda method, result: "0x0" if method == "eth_getTransactionCount" else result
        async with bench.open_hook(one.url, two.url) as hook, open_desk(tmp_path, hook) as desk:
            await desk.arm()
            second = bench.intend(epoch=2)
            await desk.decide(second)
            assert (await desk.wait_final(second)).transactions[0].nonce == 1
        await bench.unpause()
        clock = [now_ms()]
        capped = bench.open_hook(max_day_spend_wei=cap, clock=lambda: clock[0])
        async with capped as hook, open_desk(tmp_path, hook) as desk:
            await desk.arm()
            third = bench.intend(epoch=3)
            await desk.decide(third)
            await bench.wait_for(lambda: desk.count_events("check") == 1)
            clock[0] = third.deadline_ms + 1
            done = await desk.wait_final(third)
    assert done.state is State.LAPSED
    assert "the spend cap is reached" in done.reason
