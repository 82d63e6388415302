"""Drills: the whole way to a hook that has no effect, and what is measured on it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path as FilePath

import pytest
import trio
import trio.testing
from protocol_kit import NOW_MS, Feed, make_standard
from relay_kit import DEADLINE_SECONDS, Bench, open_bench
from store_kit import HOOK, OWN, Lever, arm
from tocsin_node.relay.brake import Cause
from tocsin_node.relay.drills import PEER_GAP_MS, Drills
from tocsin_node.store.actions import find_action, read_arms
from tocsin_node.store.arrivals import Path
from tocsin_node.store.drills import read_records
from tocsin_protocol.containment.life_cycle import Event, State
from tocsin_protocol.drill import DrillRecord, DrillStage, verify_record
from tocsin_protocol.model import Signal
from tocsin_protocol.taxonomy import Category, Severity

FAR = 1_000


def drill_signal(**changes: object) -> Signal:
    given = {"category": Category.META_DRILL, "severity": Severity.LOW, "drill": True}
    return make_standard(**given | changes)


@dataclass
class Ground:
    """A node with one lever that is armed and one hook for drills."""

    bench: Bench
    drill_hook: Lever
    alba: Feed = field(default_factory=lambda: Feed(OWN))

    async def records(self) -> list[DrillRecord]:
        signed = await self.bench.store.writer.submit(lambda c: read_records(c, FAR))
        return [verify_record(self.alba.key, body, signature) for body, signature in signed]

    async def wait_records(self, count: int) -> list[DrillRecord]:
        with trio.fail_after(DEADLINE_SECONDS):
            while len(records := await self.records()) < count:  # noqa: ASYNC110 - the database sets no event
                await trio.sleep(0.01)
        return records


@asynccontextmanager
async def open_ground(
    folder: FilePath, *, answer_peers: bool = False, last: Event = Event.CONFIRM, run: bool = True
) -> AsyncIterator[Ground]:
    async with open_bench(folder, organisations=1) as bench, trio.open_nursery() as nursery:
        hook = Lever(name="drill-vault", target="drill-target", last=last)
        bench.acting._hooks = {HOOK: bench.lever, hook.name: hook}
        drills = Drills(
            bench.store,
            bench.acting,
            bench.brake,
            {hook.name: hook},
            Feed(OWN).secret,
            answer_peers=answer_peers,
            metrics=bench.metrics,
            now_ms=lambda: bench.clock[0],
        )
        bench.intake.listeners.append(drills.filed)
        await bench.publishing.allow("the test said so")
        await bench.store.writer.submit(arm)
        if run:
            await nursery.start(drills.run_drills)
        yield Ground(bench, hook)
        nursery.cancel_scope.cancel()


async def test_an_own_drill_uses_the_drill_hook_and_nothing_else(tmp_path: FilePath) -> None:
    async with open_ground(tmp_path) as ground:
        sealing = await ground.bench.publishing.publish([drill_signal()])
        (record,) = await ground.wait_records(1)
        assert record.drill == sealing.envelopes[0].digest
        assert (record.hook, record.outcome, record.node) == ("drill-vault", "effective", ground.alba.publisher)
        reached = [stage for stage, _ in record.stages]
        assert reached == [
            DrillStage.PUBLISHED,
            DrillStage.HEARD,
            DrillStage.DECIDED,
            DrillStage.BROADCAST,
            DrillStage.EFFECTIVE,
        ]
        assert record.ttc_ms == 0  # the bench's clock stands
        assert ground.bench.lever.ran == []
        (posted,) = ground.drill_hook.posted
        with trio.fail_after(DEADLINE_SECONDS):
            while True:
                action = await ground.bench.store.writer.submit(lambda c: find_action(c, posted))
                if action is not None and action.state is State.LIFTED:
                    break
                await trio.sleep(0.01)
        arms = await ground.bench.store.writer.submit(read_arms)
        assert (arms["drill-vault"].armed, arms[HOOK].armed) == (False, True)


async def test_each_drill_is_one_use_and_a_repetition_is_none(tmp_path: FilePath) -> None:
    async with open_ground(tmp_path) as ground:
        first = await ground.bench.publishing.publish([drill_signal()])
        await ground.wait_records(1)
        await ground.bench.intake.admit([first.envelopes[0].encoded], Path.SYNC)
        await ground.bench.publishing.publish([drill_signal(text="again")])
        records = await ground.wait_records(2)
        assert len({record.drill for record in records}) == 2
        assert len(ground.drill_hook.posted) == 2


async def test_a_peers_drill_is_answered_where_the_operator_said_so_once_an_hour(tmp_path: FilePath) -> None:
    brook = Feed("brook")
    async with open_ground(tmp_path, answer_peers=True) as ground:
        for n in range(3):
            await ground.bench.intake.admit([brook.seal(drill_signal(text=f"{n}")).encoded], Path.GOSSIP)
        (record,) = await ground.wait_records(1)
        assert (record.publisher, record.node) == (brook.publisher, ground.alba.publisher)
        # drills are taken in the order they come: once this one is done, the others were passed over
        await ground.bench.publishing.publish([drill_signal()])
        publishers = [record.publisher for record in await ground.wait_records(2)]
        assert sorted(publishers) == sorted([brook.publisher, ground.alba.publisher])
        ground.bench.clock[0] += PEER_GAP_MS
        later = ground.bench.clock[0]
        fresh = drill_signal(issued_ms=later, detected_ms=later, expires_ms=later + 60_000)
        await ground.bench.intake.admit([brook.seal(fresh).encoded], Path.GOSSIP)
        await ground.wait_records(3)
        assert len(ground.drill_hook.posted) == 3


@pytest.mark.parametrize(
    "signal",
    [
        drill_signal(),  # a peer's, and nobody allowed it
        drill_signal(category=Category.ASSET_DRAIN, severity=Severity.HIGH),
        drill_signal(issued_ms=NOW_MS - 3_600_001, detected_ms=NOW_MS - 3_600_001, expires_ms=NOW_MS - 1),
        drill_signal(issued_ms=NOW_MS + 60_000, expires_ms=NOW_MS + 120_000),
    ],
)
async def test_nothing_else_sets_off_a_drill_hook(tmp_path: FilePath, signal: Signal) -> None:
    is_plain = signal == drill_signal()
    async with open_ground(tmp_path, answer_peers=not is_plain) as ground:
        await ground.bench.intake.admit([Feed("brook").seal(signal).encoded], Path.GOSSIP)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert ground.drill_hook.ran == []
        assert "drill-vault" not in await ground.bench.store.writer.submit(read_arms)


async def test_no_drill_while_the_node_stands_still(tmp_path: FilePath) -> None:
    async with open_ground(tmp_path) as ground:
        await ground.bench.brake.pull(Cause.DISK, "full")
        await ground.bench.publishing.publish([drill_signal()])
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert ground.drill_hook.ran == []


async def test_a_drill_that_fails_is_recorded_as_it_ended(tmp_path: FilePath) -> None:
    async with open_ground(tmp_path, last=Event.FAIL) as ground:
        await ground.bench.publishing.publish([drill_signal()])
        (record,) = await ground.wait_records(1)
        assert (record.outcome, record.ttc_ms) == ("failed", None)


def test_the_body_that_a_webhook_posts_is_marked(tmp_path: FilePath) -> None:
    from tocsin_node.hooks.hook import Occasion
    from tocsin_node.hooks.message_config import WebhookHookConfig
    from tocsin_node.hooks.messages import write_message

    occasion = Occasion(b"\1" * 32, b"\2" * 8, "meta.drill", "low", (), "A drill.", NOW_MS)
    given = {"kind": "webhook", "name": "n", "target": "t", "url": "https://a.example.org/", "secret_file": "s"}
    drilled, plain = (
        json.loads(write_message(WebhookHookConfig(**given, drill=drill), occasion))["data"]  # type: ignore[arg-type]
        for drill in (True, False)
    )
    assert drilled["drill"] is True
    assert "drill" not in plain
