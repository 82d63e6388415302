"""What is near its end on a real chain: the hook's check is asked, of as many endpoints as confirm a receipt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import trio
from chain_kit import Bench, open_proxy
from tocsin_node.clock import now_ms
from tocsin_node.demo.faults import Fault
from tocsin_node.demo.scenario_chain import is_paused, unpause
from tocsin_node.hooks.hook import Hook
from tocsin_node.relay.expiry import Expiry
from tocsin_node.relay.ledger import Ledger
from tocsin_node.relay.metrics import Metrics
from tocsin_node.store.actions import append_event, find_action, insert_intent, set_arm
from tocsin_node.store.writer import Connection, Store
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event, State


@asynccontextmanager
async def open_store(folder: Path) -> AsyncIterator[Store]:
    store = Store(folder, b"\1" * 20, b"\2" * 32, bytes(32))
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.writer.run_writer)
            await Ledger(store, now_ms).load()
            yield store
            nursery.cancel_scope.cancel()
    finally:
        store.close()


async def hold(store: Store, action: Action) -> None:
    """Let the record say that an action is in effect and that its end is near."""
    ending = replace(action, created_ms=now_ms() - 3_600_000, ends_ms=now_ms() + 1_000)

    def record(connection: Connection) -> None:
        set_arm(connection, action.hook, armed=True, now_ms=now_ms(), by="operator")
        insert_intent(connection, ending, now_ms())
        for event in (Event.SEND, Event.CONFIRM):
            append_event(connection, action.action_id, event, {}, now_ms())

    await store.writer.submit(record)


async def state_after_look(store: Store, hook: Hook, action: Action) -> State:
    await Expiry(store, {hook.name: hook}, Metrics(), now_ms).look()
    stored = await store.writer.submit(lambda connection: find_action(connection, action.action_id))
    assert stored is not None
    return stored.state


async def test_what_the_owner_has_lifted_is_lifted_in_the_record_and_what_he_has_not_is_not(
    bench: Bench, tmp_path: Path
) -> None:
    action = bench.intend()
    async with open_store(tmp_path) as store, bench.open_hook() as hook:
        assert (await hook.run(action, bench.journal)).state is State.EFFECTIVE
        await hold(store, action)
        assert await state_after_look(store, hook, action) is State.EXPIRING
        await unpause(bench.anvil, bench.scenario, bench.scenario.dex)
        assert await state_after_look(store, hook, action) is State.LIFTED
        assert not await is_paused(bench.anvil, bench.scenario.dex)


async def test_one_endpoint_alone_does_not_lift(bench: Bench, tmp_path: Path) -> None:
    action = bench.intend()
    async with (
        open_store(tmp_path) as store,
        open_proxy(bench.anvil) as second,
        bench.open_hook(bench.anvil.url, second.url) as hook,
    ):
        assert (await hook.run(action, bench.journal)).state is State.EFFECTIVE
        await hold(store, action)
        await unpause(bench.anvil, bench.scenario, bench.scenario.dex)
        second.fault = Fault.STATUS_500
        assert await state_after_look(store, hook, action) is State.EXPIRING
        second.fault = None
        assert await state_after_look(store, hook, action) is State.LIFTED
