"""What a node sees in itself: each condition disarms, and none can be brought about by one endpoint or a peer."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import pytest
import trio
from protocol_kit import NOW_MS, VAULT
from relay_kit import Bench, open_bench
from store_kit import HOOK, arm
from tocsin_node.chain.client import Answer
from tocsin_node.relay import self_watch as self_watch_module
from tocsin_node.relay.brake import Cause
from tocsin_node.relay.self_watch import MAX_HEAD_AHEAD_MS, MIN_FREE_BYTES, SelfWatch
from tocsin_node.store.actions import insert_intent, read_arms, set_arm
from tocsin_node.store.writer import Connection
from tocsin_protocol.containment.action import new_action
from trio.testing import MockClock


@dataclass
class Heads:
    """What the endpoints of one chain say the newest block's time is, in seconds after our clock."""

    ahead_s: Sequence[object] = ()

    async def ask_all(self, requests: Sequence[object]) -> list[Answer]:
        def shown(ahead: object) -> Any:
            return {"timestamp": hex(NOW_MS // 1000 + ahead)} if isinstance(ahead, int) else ahead

        return [Answer(place, [shown(ahead)]) for place, ahead in enumerate(self.ahead_s)]


@dataclass
class Eyes:
    """A node, and what it is shown."""

    bench: Bench
    watch: SelfWatch
    heads: Heads = field(default_factory=Heads)
    free: int = 2 * MIN_FREE_BYTES

    async def is_armed(self) -> bool:
        return (await self.bench.store.writer.submit(read_arms))[HOOK].armed


@asynccontextmanager
async def open_eyes(folder: FilePath, max_actions: int = 2) -> AsyncIterator[Eyes]:
    async with open_bench(folder, tasks=False) as bench:
        heads, eyes = Heads(), None

        def free_bytes(path: object) -> int:
            assert eyes is not None
            return eyes.free

        clients: Any = {"eip155:1": heads}
        watch = SelfWatch(bench.store, bench.brake, clients, max_actions, lambda: bench.clock[0], free_bytes)
        eyes = Eyes(bench, watch, heads)
        await bench.store.writer.submit(arm)
        yield eyes


async def test_a_clock_that_steps_disarms_and_may_be_armed_again_when_it_runs(
    tmp_path: FilePath, mock_clock: MockClock
) -> None:
    """The clock that only runs stands still here: how long the test takes is no step of the other one."""
    async with open_eyes(tmp_path) as eyes:
        await eyes.watch.look_at_clock()
        eyes.bench.clock[0] += 4_000
        await eyes.watch.look_at_clock()
        assert await eyes.is_armed()
        eyes.bench.clock[0] -= 3_600_000
        await eyes.watch.look_at_clock()
        assert not await eyes.is_armed()
        assert "the clock stepped by -3600" in eyes.bench.brake.holding[Cause.CLOCK]
        await eyes.watch.look_at_clock()
        assert eyes.bench.brake.holding == {}


@pytest.mark.parametrize(
    "ahead_s",
    [
        (10_000,),
        (10_000, 0),
        (10_000, -5, -12),
        (10_000, None, "0x", {"timestamp": "soon"}),
        (MAX_HEAD_AHEAD_MS // 1000, MAX_HEAD_AHEAD_MS // 1000),
        (-86_400, -86_400, -86_400),
        (),
    ],
)
async def test_no_single_endpoint_and_no_halted_chain_disarms(tmp_path: FilePath, ahead_s: tuple[object, ...]) -> None:
    async with open_eyes(tmp_path) as eyes:
        eyes.heads.ahead_s = ahead_s
        await eyes.watch.look_at_heads()
        assert await eyes.is_armed()
        assert eyes.bench.brake.holding == {}


async def test_a_clock_behind_two_endpoints_disarms_until_it_is_right(tmp_path: FilePath) -> None:
    async with open_eyes(tmp_path) as eyes:
        eyes.heads.ahead_s = (120, 61, -3)
        await eyes.watch.look_at_heads()
        assert not await eyes.is_armed()
        assert "eip155:1 show a block from 61 s ahead" in eyes.bench.brake.holding[Cause.CLOCK]
        eyes.heads.ahead_s = (1, 0)
        await eyes.watch.look_at_heads()
        assert eyes.bench.brake.holding == {}
        assert not await eyes.is_armed()


async def test_a_disk_that_is_nearly_full_disarms(tmp_path: FilePath) -> None:
    async with open_eyes(tmp_path) as eyes:
        await eyes.watch.look_at_disk()
        assert await eyes.is_armed()
        eyes.free = MIN_FREE_BYTES - 1
        await eyes.watch.look_at_disk()
        assert not await eyes.is_armed()
        assert list(eyes.bench.brake.holding) == [Cause.DISK]


async def test_a_store_that_refuses_to_write_disarms(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(connection: Connection, now_ms: int) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    async with open_eyes(tmp_path) as eyes:
        await eyes.watch.look_at_store()
        assert await eyes.is_armed()
        with monkeypatch.context() as broken:
            broken.setattr(self_watch_module, "_write_and_count", refuse)
            await eyes.watch.look_at_store()
        assert not await eyes.is_armed()
        assert "disk is full" in eyes.bench.brake.holding[Cause.STORE]


async def test_a_store_that_is_only_slow_does_not_disarm(tmp_path: FilePath) -> None:
    async with open_eyes(tmp_path) as eyes, trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(eyes.bench.store.writer.submit, lambda c: c.execute("SELECT 1").fetchone())
        await eyes.watch.look_at_store()
        assert await eyes.is_armed()


def use(connection: Connection, number: int, *, charged: bool = False, ends: bool = True) -> None:
    """One use of a lever just now, charged to a foreign member or not."""
    action = new_action(
        ledger=bytes(16),
        hook=f"lever-{number}",
        target=VAULT,
        arm_epoch=1,
        incident_id=b"\1" * 32,
        decision_id=bytes(8),
        payload=b"pause",
        created_ms=NOW_MS + 1,
        deadline_ms=NOW_MS + 60_000,
        ends_ms=NOW_MS + 60_000 if ends else None,
    )
    insert_intent(connection, action, NOW_MS)
    if charged:
        values = (action.action_id, "brook", action.incident_id, 15, NOW_MS)
        connection.execute("INSERT INTO charges VALUES (?, ?, ?, ?, ?, 0)", values)


async def test_more_uses_than_allowed_disarm_and_an_arming_counts_anew(tmp_path: FilePath) -> None:
    async with open_eyes(tmp_path, max_actions=2) as eyes:
        for number in range(3):
            await eyes.watch.look_at_store()
            assert await eyes.is_armed()
            await eyes.bench.store.writer.submit(lambda c, n=number: use(c, n))
        await eyes.watch.look_at_store()
        assert not await eyes.is_armed()
        assert "3 levers were used within an hour, and 2 are allowed" in eyes.bench.brake.holding[Cause.ACTIONS]
        # the operator has looked, and arms again
        arm_again = {"armed": True, "now_ms": NOW_MS + 10, "by": "operator"}
        await eyes.bench.store.writer.submit(lambda c: set_arm(c, HOOK, **arm_again))
        await eyes.watch.look_at_store()
        assert await eyes.is_armed()
        assert eyes.bench.brake.holding == {}


async def test_what_other_members_set_off_does_not_count(tmp_path: FilePath) -> None:
    async with open_eyes(tmp_path, max_actions=2) as eyes:
        for number in range(20):
            await eyes.bench.store.writer.submit(lambda c, n=number: use(c, n, charged=True))
            await eyes.bench.store.writer.submit(lambda c, n=number: use(c, 100 + n, ends=False))
        await eyes.watch.look_at_store()
        assert await eyes.is_armed()
