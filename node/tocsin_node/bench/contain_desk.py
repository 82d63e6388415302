"""A node's own journal for the bench of containment: every event on disk before the hook goes on."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from tocsin_protocol.containment.action import Action, Detail, new_action
from tocsin_protocol.containment.ledger import LEDGER_ID_BYTES
from tocsin_protocol.containment.life_cycle import Event

from tocsin_node.clock import now_ms
from tocsin_node.hooks.hook import Hook, Occasion
from tocsin_node.relay.ledger import Ledger
from tocsin_node.store.actions import FIRST_STEPS, append_event, insert_intent, set_arm
from tocsin_node.store.ledger import read_mark
from tocsin_node.store.writer import Store

DEADLINE_MS = 600_000


class Desk:
    """Makes intents and events durable as a relay does."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._epochs: dict[str, int] = {}

    async def arm(self, hook: Hook) -> None:
        """Arm for the next use."""
        arm = await self._store.writer.submit(
            lambda connection: set_arm(connection, hook.name, armed=True, now_ms=now_ms(), by="bench")
        )
        self._epochs[hook.name] = arm.epoch

    async def decide(self, hook: Hook) -> Action:
        """Make the intent to use an armed hook durable."""
        at_ms = now_ms()
        occasion = Occasion(b"\1" * 32, b"\2" * 8, "asset.drain", "critical", (), "bench", at_ms)
        action = new_action(
            ledger=bytes(LEDGER_ID_BYTES),
            hook=hook.name,
            target=hook.target,
            arm_epoch=self._epochs[hook.name],
            incident_id=occasion.incident_id,
            decision_id=occasion.decision_id,
            payload=hook.payload(occasion),
            created_ms=at_ms,
            deadline_ms=at_ms + DEADLINE_MS,
        )
        await self._store.writer.submit(lambda connection: insert_intent(connection, action, at_ms))
        return action

    async def record(self, action_id: bytes, event: Event, detail: Detail) -> Action:
        """Journal.record; with the anchor, as in a node, before the first bytes go out."""
        after, mark = await self._store.writer.submit(
            lambda connection: (append_event(connection, action_id, event, detail, now_ms()), read_mark(connection))
        )
        if event in FIRST_STEPS:
            await self._ledger.reach(action_id, mark)
        return after


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    """A desk with a database of its own, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        store = Store(Path(directory), b"\1" * 20, bytes(32), bytes(32))
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(store.writer.run_writer)
                ledger = Ledger(store, now_ms)
                await ledger.load()
                yield Desk(store, ledger)
                nursery.cancel_scope.cancel()
        finally:
            store.close()
