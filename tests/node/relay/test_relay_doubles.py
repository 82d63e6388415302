"""A guardian that moves without us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import pytest
import trio
from protocol_kit import NOW_MS, VAULT
from relay_kit import Bench, open_bench
from store_kit import HOOK, arm
from tocsin_node.chain.client import Answer
from tocsin_node.relay import doubles as doubles_module
from tocsin_node.relay.brake import Cause
from tocsin_node.relay.doubles import Doubles
from tocsin_node.store.actions import append_event, insert_intent, read_arms
from tocsin_node.store.standstills import read_standstills
from tocsin_node.store.writer import Connection
from tocsin_protocol.containment.action import new_action
from tocsin_protocol.containment.life_cycle import Event

GUARDIAN = "0x" + "9a" * 20


@dataclass
class Config:
    witnesses: int = 2
    chain_id: int = 1


@dataclass
class Chain:
    """Endpoints, and how many transactions of the guardian each of them says there are."""

    counts: Sequence[object] = (0, 0)
    config: Config = field(default_factory=Config)

    @property
    def endpoints(self) -> Sequence[object]:
        return self.counts

    async def ask_all(self, requests: Sequence[object]) -> list[Answer]:
        chain = hex(self.config.chain_id)
        return [Answer(n, [chain, hex(c) if isinstance(c, int) else c]) for n, c in enumerate(self.counts)]


def doubles(bench: Bench, chain: Any) -> Doubles:
    return Doubles(bench.store, bench.brake, GUARDIAN, {"eip155:1": chain})


async def is_armed(bench: Bench) -> bool:
    return (await bench.store.writer.submit(read_arms))[HOOK].armed


def sign(connection: Connection, nonce: int) -> None:
    """An action of ours on the chain, signed with a nonce."""
    action = new_action(
        ledger=bytes(16),
        hook=HOOK,
        target=VAULT,
        arm_epoch=1,
        incident_id=b"\1" * 32,
        decision_id=bytes(8),
        payload=b"pause",
        created_ms=NOW_MS,
        deadline_ms=NOW_MS + 60_000,
    )
    insert_intent(connection, action, NOW_MS)
    signed = {"raw": b"\2", "hash": b"\3" * 32, "nonce": nonce, "max_fee_wei": 5, "priority_fee_wei": 1}
    append_event(connection, action.action_id, Event.SIGN, signed, NOW_MS)


async def test_what_was_there_at_the_first_look_and_what_we_signed_is_ours(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, tasks=False) as bench:
        chain = Chain((7, 7))
        await bench.store.writer.submit(arm)
        await doubles(bench, chain).look()
        await bench.store.writer.submit(lambda c: sign(c, 7))
        chain.counts = (8, 8)
        await doubles(bench, chain).look()
        assert await is_armed(bench)


async def test_a_guardian_that_moved_while_we_were_down_or_beside_us_disarms_once(tmp_path: FilePath) -> None:
    chain = Chain((7, 7))
    async with open_bench(tmp_path, tasks=False) as bench:
        await doubles(bench, chain).look()
    async with open_bench(tmp_path, tasks=False) as bench:
        await bench.store.writer.submit(arm)
        chain.counts = (9, 9)
        await doubles(bench, chain).look()
        assert not await is_armed(bench)
        (still,) = await bench.store.writer.submit(read_standstills)
        assert still.cause == Cause.DOUBLE
        assert still.sentence.startswith(f"2 transactions of {GUARDIAN} on eip155:1 are not of this node")
        # the operator has looked, and arms again
        assert bench.brake.holding == {}
        await bench.store.writer.submit(arm)
        await doubles(bench, chain).look()
        assert await is_armed(bench)


@pytest.mark.parametrize("counts", [(90,), (90, 7), (90, None), ("0x", "0x"), (7, 7, 90)])
async def test_no_single_endpoint_can_say_that_there_is_another(tmp_path: FilePath, counts: tuple[object, ...]) -> None:
    async with open_bench(tmp_path, tasks=False) as bench:
        chain = Chain((7, 7))
        await doubles(bench, chain).look()
        await bench.store.writer.submit(arm)
        chain.counts = counts
        await doubles(bench, chain).look()
        assert await is_armed(bench)


async def test_endpoints_that_do_not_answer_hold_a_start_up_for_a_bounded_time(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass
    class Silent(Chain):
        async def ask_all(self, requests: Sequence[object]) -> list[Answer]:
            await trio.sleep_forever()
            return []

    monkeypatch.setattr(doubles_module, "FIRST_LOOK_SECONDS", 0.05)
    async with open_bench(tmp_path, tasks=False) as bench, trio.open_nursery() as nursery:
        with trio.fail_after(60):
            await nursery.start(doubles(bench, Silent()).run_doubles)
        nursery.cancel_scope.cancel()
