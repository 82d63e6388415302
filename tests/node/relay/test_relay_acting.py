"""Actions on their way: what they wait for, and what has them taken up again."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path as FilePath

import pytest
import trio
import trio.testing
from protocol_kit import NOW_MS, VAULT, make_signal
from relay_kit import DEADLINE_SECONDS, Bench, open_bench, wait_until
from store_kit import HOOK, Lever, arm
from tocsin_node.action_words import next_step
from tocsin_node.errors import ControlError
from tocsin_node.hooks.hook import Journal
from tocsin_node.relay import acting as acting_module
from tocsin_node.relay import ledger as ledger_module
from tocsin_node.relay.expiry import Expiry
from tocsin_node.relay.ledger_desk import LedgerDesk
from tocsin_node.relay.waiting import read_waiting
from tocsin_node.store.actions import append_event, find_action, insert_intent
from tocsin_node.store.arrivals import Filed, Path
from tocsin_node.store.audit import read_audit
from tocsin_node.store.database import DATABASE_NAME
from tocsin_node.store.decisions import Decided
from tocsin_node.store.ledger import ANCHOR_NAME, read_anchor, read_mark, write_anchor
from tocsin_node.store.writer import Connection
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.action import Action, new_action
from tocsin_protocol.containment.ledger import LedgerMark
from tocsin_protocol.containment.life_cycle import Event, State


@dataclass
class ChainLever(Lever):
    """A lever whose effect is in a block."""

    async def run(self, action: Action, journal: Journal) -> Action:
        self.ran.append(action.action_id)
        signed = {"raw": b"\2", "hash": b"\3" * 32, "nonce": 4, "max_fee_wei": 5, "priority_fee_wei": 1}
        if action.is_unsigned:
            await journal.record(action.action_id, Event.SIGN, signed)
        block = {"block_number": 7 + len(self.ran), "block_hash": b"\6" * 32, "hash": b"\3" * 32}
        await journal.record(action.action_id, Event.INCLUDE, block)
        return await journal.record(action.action_id, Event.CONFIRM, {})


@dataclass
class WatchingLever(ChainLever):
    """A lever that looks at the block of what is in effect, as one on a chain does."""

    async def run(self, action: Action, journal: Journal) -> Action:
        if not action.is_settled:
            return await super().run(action, journal)
        self.ran.append(action.action_id)
        return action


async def the_action(bench: Bench) -> Action:
    (row,) = await bench.store.writer.submit(lambda c: c.execute("SELECT id FROM actions").fetchall())
    found = await bench.store.writer.submit(lambda c: find_action(c, row[0]))
    assert found is not None
    return found


async def wait_state(bench: Bench, state: State) -> Action:
    with trio.fail_after(DEADLINE_SECONDS):
        while (action := await the_action(bench)).state is not state:  # noqa: ASYNC110 - no event for it
            await trio.sleep(0.005)
    return action


def lose_database(folder: FilePath) -> None:
    for path in folder.glob(DATABASE_NAME + "*"):
        path.unlink()


async def set_off(bench: Bench) -> None:
    """Arm the lever, and let our own detector see a drain."""
    await bench.store.writer.submit(arm)
    await bench.publishing.publish([make_signal()])


async def test_the_anchor_tells_of_an_intent_before_its_first_bytes_go_out(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked, may_write = threading.Event(), threading.Event()

    def write_when_told(data_dir: FilePath, mark: LedgerMark) -> None:
        is_asked.set()
        assert may_write.wait(DEADLINE_SECONDS)
        write_anchor(data_dir, mark)

    async with open_bench(tmp_path, organisations=1, lever=Lever()) as bench:
        monkeypatch.setattr(ledger_module, "write_anchor", write_when_told)
        try:
            await set_off(bench)
            await trio.to_thread.run_sync(is_asked.wait)
            # the hook has its record on disk and waits to be told so
            await wait_state(bench, State.BROADCAST)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert bench.lever.posted == []
        finally:
            may_write.set()
        await wait_state(bench, State.EFFECTIVE)
        anchor = read_anchor(tmp_path)
        assert anchor == await bench.store.writer.submit(read_mark)
        assert anchor.sequence == 2  # the arming and the intent


async def test_an_anchor_that_cannot_be_written_keeps_the_action_from_going_out(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting_module, "FIRST_RETRY_SECONDS", 0.01)
    async with open_bench(tmp_path, organisations=1) as bench:
        (tmp_path / ANCHOR_NAME).unlink()
        (tmp_path / ANCHOR_NAME).mkdir()
        await set_off(bench)
        with trio.fail_after(DEADLINE_SECONDS):
            while bench.counted("tocsin_dropped", reason="hook-fault") < 3:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.005)
        assert len(bench.lever.ran) == 1
        assert bench.lever.posted == []
        (tmp_path / ANCHOR_NAME).rmdir()
        await wait_state(bench, State.EFFECTIVE)
        assert len(bench.lever.posted) == 1


async def test_nothing_left_is_taken_up_while_the_ledger_is_in_doubt(tmp_path: FilePath) -> None:
    lever = Lever()
    async with open_bench(tmp_path, organisations=1, lever=lever, tasks=False) as bench:
        await set_off(bench)
        left = await the_action(bench)
        await bench.ledger.write_anchor()
    (tmp_path / ANCHOR_NAME).unlink()
    async with open_bench(tmp_path, organisations=1, lever=lever) as bench:
        assert "no anchor" in bench.ledger.doubt
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert (lever.ran, lever.claimed) == ([], [])
        assert not (tmp_path / ANCHOR_NAME).exists()
        await bench.ledger.confirm()
        assert (await wait_state(bench, State.LAPSED)).action_id == left.action_id
        assert (tmp_path / ANCHOR_NAME).exists()
        # what the operator arms from here on acts
        action = await bench.store.writer.submit(intend)
        bench.acting.start(Filed(decided=[Decided(action.incident_id, "", (action,))]), Path.OWN)
        with trio.fail_after(DEADLINE_SECONDS):
            await lever.done.wait()
    assert left.action_id not in lever.ran


def intend(connection: Connection) -> Action:
    action = new_action(
        ledger=bytes(16),
        hook=HOOK,
        target=VAULT,
        arm_epoch=arm(connection),
        incident_id=b"\1" * 32,
        decision_id=b"\2" * 8,
        payload=b"pause",
        created_ms=NOW_MS,
        deadline_ms=NOW_MS + 60_000,
        ends_ms=NOW_MS + 60_000,
    )
    insert_intent(connection, action, NOW_MS)
    return action


async def test_what_awaits_approval_runs_once_it_is_granted(tmp_path: FilePath) -> None:
    def ask(connection: Connection) -> Action:
        return append_event(connection, intend(connection).action_id, Event.ASK, {}, NOW_MS)

    async with open_bench(tmp_path, tasks=False) as bench:
        asked = await bench.store.writer.submit(ask)
    async with open_bench(tmp_path) as bench:
        await bench.acting.record(asked.action_id, Event.APPROVE, {"approval": b"one of two"})
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert bench.lever.ran == []
        await bench.acting.record(asked.action_id, Event.GRANT, {})
        await wait_state(bench, State.EFFECTIVE)
        assert bench.lever.ran == [asked.action_id]


async def test_what_a_reorg_takes_back_is_taken_up_again_and_its_end_is_told(tmp_path: FilePath) -> None:
    lever = ChainLever()
    async with open_bench(tmp_path, lever=lever, tasks=False) as bench:
        action = await bench.store.writer.submit(intend)
    async with open_bench(tmp_path, lever=lever) as bench, trio.open_nursery() as nursery:
        await wait_state(bench, State.EFFECTIVE)
        await bench.acting.record(action.action_id, Event.REORG, {"reason": "block 8 was replaced"})
        await bench.store.writer.submit(lambda connection: None)
        held = await wait_state(bench, State.EFFECTIVE)
        assert (len(lever.ran), held.block_number, len(held.transactions)) == (2, 9, 1)
        bench.clock[0] += 40_000
        expiry = Expiry(bench.store, {}, bench.metrics, lambda: bench.clock[0])
        await nursery.start(expiry.run_expiry)
        await wait_state(bench, State.EXPIRING)
        # counted once it is written, so a moment after the state can be read
        await wait_until(lambda: bench.counted("tocsin_action_events", event="expire") == 1)
        nursery.cancel_scope.cancel()


async def test_a_reorg_of_a_lifted_effect_alarms_and_is_not_taken_up(tmp_path: FilePath) -> None:
    lever = ChainLever()
    async with open_bench(tmp_path, lever=lever, tasks=False) as bench:
        action = await bench.store.writer.submit(intend)
    async with open_bench(tmp_path, lever=lever) as bench:
        await wait_state(bench, State.EFFECTIVE)
        await bench.acting.record(action.action_id, Event.LIFT, {"reason": "by hand"})
        after = await bench.acting.record(action.action_id, Event.REORG, {"reason": "block 8 was replaced"})
        assert (after.state, after.reason, after.block_number) == (State.LIFTED, "by hand", 8)
        entries = await bench.store.writer.submit(lambda c: read_audit(c, 0, 1000))
        (alarm,) = [entry.detail for entry in entries if entry.kind is EntryKind.ALARM]
        assert b"look whether it is lifted still" in alarm
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(lever.ran) == 1


async def test_a_block_that_was_not_final_is_watched_again_after_a_restart(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, organisations=1, lever=WatchingLever()) as bench:
        await set_off(bench)
        action = await wait_state(bench, State.EFFECTIVE)
    async with open_bench(tmp_path, organisations=1, lever=WatchingLever()) as bench:
        with trio.fail_after(DEADLINE_SECONDS):
            while bench.lever.ran != [action.action_id]:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.005)
        assert (await the_action(bench)).state is State.EFFECTIVE


async def test_a_database_that_is_gone_leaves_every_hook_disarmed(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, organisations=1) as bench:
        await bench.store.writer.submit(arm)
        await bench.ledger.write_anchor()
    lose_database(tmp_path)
    async with open_bench(tmp_path, organisations=1) as bench:
        await bench.publishing.publish([make_signal()])
        assert await bench.store.writer.submit(lambda c: c.execute("SELECT COUNT(*) FROM decisions").fetchone()) == (1,)
        assert await bench.store.writer.submit(lambda c: c.execute("SELECT COUNT(*) FROM actions").fetchone()) == (0,)


@dataclass
class UnsureLever(Lever):
    """A lever that never learns what became of it, by a message or by signed bytes."""

    is_signed: bool = False

    async def run(self, action: Action, journal: Journal) -> Action:
        if action.state is State.UNKNOWN:
            return action
        signed = {"raw": b"\2", "hash": b"\3" * 32, "nonce": 4, "max_fee_wei": 5, "priority_fee_wei": 1}
        if self.is_signed:
            await journal.record(action.action_id, Event.SIGN, signed)
        await journal.record(action.action_id, Event.SEND, {})
        return await journal.record(action.action_id, Event.LOSE, {"reason": "cut off"})


@asynccontextmanager
async def open_unknown(folder: FilePath, *, is_signed: bool = False) -> AsyncIterator[tuple[Bench, LedgerDesk, str]]:
    """A relay with an action of unknown outcome, its ledger desk, and the action's id."""
    async with open_bench(folder, organisations=1, lever=UnsureLever(is_signed=is_signed)) as bench:
        await set_off(bench)
        action = await wait_state(bench, State.UNKNOWN)
        yield bench, LedgerDesk(bench.store, bench.ledger, bench.acting, {}), action.action_id.hex()


@pytest.mark.parametrize(
    ("effect", "state", "words"),
    [
        (True, State.EFFECTIVE, "the operator says that it took effect"),
        (False, State.FAILED, "the operator says that it had no effect"),
    ],
)
async def test_people_say_what_became_of_a_message_and_it_is_told_once(
    tmp_path: FilePath, effect: bool, state: State, words: str
) -> None:
    async with open_unknown(tmp_path) as (bench, desk, action_id):
        told = await bench.store.writer.submit(lambda c: read_waiting(c, bench.rules(), NOW_MS))
        assert told == [f"{HOOK} on {VAULT}: {next_step(await the_action(bench))}"]
        assert await desk.settle({"action": action_id, "effect": effect}) == {"action": action_id, "state": state}
        assert (await the_action(bench)).reason == words
        assert await bench.store.writer.submit(lambda c: read_waiting(c, bench.rules(), NOW_MS)) == []
        with pytest.raises(ControlError, match=f"is {state}: only of an unknown outcome") as refused:
            await desk.settle({"action": action_id, "effect": effect})
        assert refused.value.code == "not-unknown"


async def test_of_signed_bytes_people_may_say_that_they_had_an_effect_and_not_that_they_had_none(
    tmp_path: FilePath,
) -> None:
    async with open_unknown(tmp_path, is_signed=True) as (bench, desk, action_id):
        with pytest.raises(ControlError, match="may be mined yet") as refused:
            await desk.settle({"action": action_id, "effect": False})
        assert refused.value.code == "signed"
        assert (await the_action(bench)).state is State.UNKNOWN
        assert (await desk.settle({"action": action_id, "effect": True}))["state"] == "effective"
        assert (await desk.lifted({"action": action_id}))["state"] == "lifted"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"action": "ab" * 32}, "malformed"),
        ({"action": "ab" * 32, "effect": "yes"}, "malformed"),
        ({"action": "moon", "effect": True}, "malformed"),
        ({"action": "ab" * 32, "effect": True}, "unknown-action"),
    ],
)
async def test_what_cannot_be_settled_is_named(tmp_path: FilePath, arguments: dict[str, object], code: str) -> None:
    async with open_unknown(tmp_path) as (_, desk, _id):
        with pytest.raises(ControlError) as refused:
            await desk.settle(arguments)
        assert refused.value.code == code
