"""What keeps every hook from acting: a file, an offline key's word, and the node's own conditions."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path as FilePath
from typing import Any

import pytest
import trio
import trio.testing
from protocol_kit import DOMAIN, NOW_MS, Feed, make_signal, make_standard, root_secret
from relay_kit import DEADLINE_SECONDS, Bench, open_bench
from store_kit import HOOK, OWN, Lever, arm
from tocsin_node.errors import NodeError
from tocsin_node.never_touch import NeverTouch
from tocsin_node.relay import brake as brake_module
from tocsin_node.relay.about_us import AboutUs
from tocsin_node.relay.brake import DISARM_FILE, Cause
from tocsin_node.store.actions import find_action, read_arms
from tocsin_node.store.arrivals import Path
from tocsin_node.store.audit import read_audit
from tocsin_node.store.database import DATABASE_NAME
from tocsin_node.store.ledger import read_anchor, read_mark
from tocsin_node.store.standstills import Standstill, clear_standstills, read_standstills
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.life_cycle import State
from tocsin_protocol.disarm import write_disarm
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.errors import SignatureError
from tocsin_protocol.model import Subject
from tocsin_protocol.signing import address_of_key, public_key_of
from tocsin_protocol.taxonomy import Category, Role, SubjectKind

OFFLINE = root_secret("alba")
OFFLINE_KEY = address_of_key(public_key_of(OFFLINE))
NODE = Feed(OWN).publisher


async def is_armed(bench: Bench) -> bool:
    arms = await bench.store.writer.submit(read_arms)
    return arms[HOOK].armed


async def standstills(bench: Bench) -> list[Standstill]:
    return await bench.store.writer.submit(read_standstills)


async def wait_disarmed(bench: Bench) -> None:
    with trio.fail_after(DEADLINE_SECONDS):
        while await is_armed(bench):  # noqa: ASYNC110 - the database sets no event
            await trio.sleep(0.01)


async def alarms(bench: Bench) -> list[dict[str, Any]]:
    entries = await bench.store.writer.submit(lambda c: read_audit(c, 0, 1000))
    return [decode_canonical(e.detail, max_bytes=4096) for e in entries if e.kind is EntryKind.ALARM]


async def test_the_file_disarms_within_a_bounded_time_and_says_so(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brake_module, "FILE_POLL_SECONDS", 0.01)
    async with open_bench(tmp_path) as bench, trio.open_nursery() as nursery:
        await bench.store.writer.submit(arm)
        await nursery.start(bench.brake.run_file)
        (tmp_path / DISARM_FILE).touch()
        await wait_disarmed(bench)
        assert [still.cause for still in await standstills(bench)] == [Cause.FILE]
        assert Cause.FILE in bench.brake.holding
        assert [(a["standstill"], a["disarmed"]) for a in await alarms(bench)] == [("disarm-file", 1)]
        (tmp_path / DISARM_FILE).unlink()
        with trio.fail_after(DEADLINE_SECONDS):
            while bench.brake.holding:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.01)
        # what was disarmed stays so, and the reason stays until a person arms
        assert not await is_armed(bench)
        assert await standstills(bench)
        nursery.cancel_scope.cancel()


async def test_the_file_keeps_back_the_first_step_though_nobody_has_polled(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, organisations=1) as bench:
        await bench.store.writer.submit(arm)
        (tmp_path / DISARM_FILE).touch()
        await bench.publishing.publish([make_signal()])
        (row,) = await bench.store.writer.submit(lambda c: c.execute("SELECT id FROM actions").fetchall())
        with trio.fail_after(DEADLINE_SECONDS):
            while True:
                action = await bench.store.writer.submit(lambda c: find_action(c, row[0]))
                if action is not None and action.is_settled:
                    break
                await trio.sleep(0.01)
        assert action.state is State.LAPSED
        assert bench.lever.posted == []
        assert not await is_armed(bench)
        # disarmed is not mute: it was decided and published
        assert await bench.store.writer.submit(lambda c: c.execute("SELECT COUNT(*) FROM decisions").fetchone()) == (1,)


async def test_a_log_that_was_altered_keeps_every_hook_back_and_the_node_stays_vocal(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.store.writer.submit(arm)
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection, connection:
        connection.execute("UPDATE audit SET at_ms = at_ms + 1 WHERE sequence = 1")
    async with open_bench(tmp_path, organisations=1) as bench:
        assert await is_armed(bench)
        await bench.publishing.publish([make_signal()])
        await wait_disarmed(bench)
        assert bench.lever.posted == []
        assert "entry 0 is not the one that was logged" in bench.brake.holding[Cause.RECORD]
        assert [still.cause for still in await standstills(bench)] == [Cause.RECORD]
        assert [alarm["standstill"] for alarm in await alarms(bench)] == ["record"]
        # disarmed is not mute: it was decided and published
        assert await bench.store.writer.submit(lambda c: c.execute("SELECT COUNT(*) FROM decisions").fetchone()) == (1,)
        # and nothing but a start on a log that agrees makes an end of it
        await bench.brake.look()
        assert Cause.RECORD in bench.brake.holding


async def test_the_anchor_knows_of_the_disarming(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.store.writer.submit(arm)
        await bench.brake.pull(Cause.DISK, "full")
        assert read_anchor(tmp_path) == await bench.store.writer.submit(read_mark)


async def test_a_store_that_cannot_write_is_tried_again_until_it_can(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(brake_module, "FILE_POLL_SECONDS", 0.01)
    async with open_bench(tmp_path) as bench, trio.open_nursery() as nursery:
        await bench.store.writer.submit(arm)
        with monkeypatch.context() as broken:
            broken.setattr(brake_module, "stand_still", refuse)
            with pytest.raises(sqlite3.OperationalError):
                await bench.brake.pull(Cause.STORE, "the database cannot be written")
            assert await is_armed(bench)
            # what could not be written keeps every first step back
            with pytest.raises(sqlite3.OperationalError):
                await bench.brake.look()
        await nursery.start(bench.brake.run_file)
        await wait_disarmed(bench)
        nursery.cancel_scope.cancel()


async def test_an_offline_keys_word_disarms_whoever_carries_it(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, disarm_keys=[OFFLINE_KEY]) as bench, trio.open_nursery() as nursery:
        bench.intake.listeners.append(bench.brake.filed)
        await nursery.start(bench.brake.run_statements)
        await bench.store.writer.submit(arm)
        text = write_disarm(DOMAIN, OFFLINE, NODE, NOW_MS)
        carrier = Feed("brook")
        update = make_standard(category=Category.META_UPDATE, text=text)
        await bench.intake.admit([carrier.seal(update).encoded], Path.GOSSIP)
        await wait_disarmed(bench)
        assert [still.cause for still in await standstills(bench)] == [Cause.STATEMENT]
        # [CARE] a repetition of what everybody could read does not disarm again
        await bench.store.writer.submit(clear_standstills)
        await bench.store.writer.submit(arm)
        await bench.intake.admit([carrier.seal(update).encoded], Path.GOSSIP)
        with pytest.raises(NodeError, match="counted already"):
            await bench.brake.take_statement(text)
        assert await is_armed(bench)
        assert await standstills(bench) == []
        assert await bench.brake.take_statement(write_disarm(DOMAIN, OFFLINE, NODE, NOW_MS + 1)) == [HOOK]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "text",
    [
        write_disarm(DOMAIN, root_secret("brook"), NODE, NOW_MS),
        write_disarm(DOMAIN, OFFLINE, Feed("brook").publisher, NOW_MS),
        "tocsin-disarm:",
        "tocsin-disarm:" + "ff" * 200,
    ],
)
async def test_no_stranger_disarms_by_a_signal(tmp_path: FilePath, text: str) -> None:
    async with open_bench(tmp_path, disarm_keys=[OFFLINE_KEY]) as bench, trio.open_nursery() as nursery:
        bench.intake.listeners.append(bench.brake.filed)
        await nursery.start(bench.brake.run_statements)
        await bench.store.writer.submit(arm)
        for label in ("brook", "cedar", "delta"):
            update = make_standard(category=Category.META_UPDATE, text=text, incident=label)
            await bench.intake.admit([Feed(label).seal(update).encoded], Path.GOSSIP)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert await is_armed(bench)
        assert bench.brake.holding == {}
        nursery.cancel_scope.cancel()


async def test_without_an_offline_key_no_statement_counts(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        with pytest.raises(SignatureError, match="none of the operator's disarm_keys"):
            await bench.brake.take_statement(write_disarm(DOMAIN, OFFLINE, NODE, NOW_MS))


async def test_what_may_never_be_touched_is_refused_before_the_first_step(tmp_path: FilePath) -> None:
    lever = Lever()
    never = NeverTouch(frozenset({lever.target}))
    async with open_bench(tmp_path, organisations=1, lever=lever, never=never) as bench:
        await bench.store.writer.submit(arm)
        await bench.publishing.publish([make_signal()])
        (row,) = await bench.store.writer.submit(lambda c: c.execute("SELECT id FROM actions").fetchall())
        with trio.fail_after(DEADLINE_SECONDS):
            while not lever.done.is_set():
                action = await bench.store.writer.submit(lambda c: find_action(c, row[0]))
                if action is not None and action.is_settled:
                    break
                await trio.sleep(0.01)
        assert (action.state, action.reason) == (State.REFUSED, f"{lever.target} is on the never-touch list")
        assert await is_armed(bench)


async def test_a_signal_about_our_own_address_alarms_once_and_disarms_nothing(tmp_path: FilePath) -> None:
    guardian = "0x" + "9a" * 20
    async with open_bench(tmp_path) as bench, trio.open_nursery() as nursery:
        about_us = AboutUs(bench.store, {guardian}, lambda: NOW_MS)
        bench.intake.listeners.append(about_us.filed)
        await nursery.start(about_us.run_alarms)
        await bench.store.writer.submit(arm)
        brook = Feed("brook")
        subjects = (Subject(Role.ATTACKER, SubjectKind.ACCOUNT, f"eip155:10:{guardian}"),)
        for n in range(3):
            await bench.intake.admit([brook.seal(make_signal(subjects=subjects, text=f"{n}")).encoded], Path.GOSSIP)
        with trio.fail_after(DEADLINE_SECONDS):
            while not await alarms(bench):  # noqa: ASYNC110 - the database sets no event
                await trio.sleep(0.01)
        assert [alarm["about_us"] for alarm in await alarms(bench)] == [guardian]
        assert len(about_us.warnings) == 1
        assert await is_armed(bench)
        nursery.cancel_scope.cancel()


def test_nothing_that_hears_strangers_pulls_the_brake() -> None:
    """Only these do: what looks at ourselves, at two endpoints, and for the operator's file and word."""
    package = FilePath(brake_module.__file__).parents[1]
    pulling = {path.name for path in package.rglob("*.py") if "brake.pull(" in path.read_text()}
    assert pulling == {"self_watch.py", "doubles.py"}
    own = FilePath(brake_module.__file__).read_text()
    assert own.count("self.pull(") == 2  # the file, and our own log


async def test_a_flood_of_everything_others_can_send_disarms_nothing(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, disarm_keys=[OFFLINE_KEY]) as bench, trio.open_nursery() as nursery:
        guardian = "0x" + "9a" * 20
        about_us = AboutUs(bench.store, {guardian}, lambda: NOW_MS)
        bench.intake.listeners += [bench.brake.filed, about_us.filed]
        await nursery.start(bench.brake.run_statements)
        await nursery.start(about_us.run_alarms)
        await bench.store.writer.submit(arm)
        ours = Subject(Role.ATTACKER, SubjectKind.ACCOUNT, f"eip155:1:{guardian}")
        for label in ("brook", "cedar", "delta"):
            feed = Feed(label)
            signals = [
                make_standard(category=category, drill=drill, subjects=(ours,), incident=f"{label}-{category}-{drill}")
                for category in Category
                for drill in (False, True)
            ]
            await bench.intake.admit([feed.seal(signal).encoded for signal in signals], Path.GOSSIP)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert await is_armed(bench)
        assert (bench.brake.holding, await standstills(bench)) == ({}, [])
        nursery.cancel_scope.cancel()
