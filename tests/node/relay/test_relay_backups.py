"""Backups are whole and say that they are backups; whatever starts on one forks nothing and acts on nothing."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio
from protocol_kit import NETWORK_ID, NOW_MS, Feed
from relay_kit import PEERS, open_bench
from store_kit import HOOK, LOG_SECRET, OWN, arm, file
from tocsin_node import backups
from tocsin_node.chain.errors import RpcUnavailable
from tocsin_node.errors import ControlError, NodeError
from tocsin_node.record.checking import check_log
from tocsin_node.relay.brake import Cause
from tocsin_node.relay.log_desk import LogDesk
from tocsin_node.relay.publishing import Speech
from tocsin_node.store.actions import read_arms
from tocsin_node.store.database import DATABASE_NAME
from tocsin_node.store.ledger import ANCHOR_NAME
from tocsin_node.store.log_files import StoreLog
from tocsin_node.store.shown_heads import next_generation, show_head
from tocsin_node.store.writer import Connection, Store
from tocsin_protocol.log.checkpoint import FIRST_GENERATION
from witnessing_kit import BROOK, INDEX, cosigned_by, open_witnessing

PUBLISHER = Feed(OWN).publisher


def open_store(data_dir: Path) -> Store:
    return Store(data_dir, PUBLISHER, NETWORK_ID, LOG_SECRET)


async def live(data_dir: Path) -> None:
    """A node arms a lever, uses it, and publishes; it stops."""
    async with open_bench(data_dir) as bench:
        await bench.store.writer.submit(arm)
        for peer in PEERS:
            bench.publishing.settle(peer)
        await bench.wait_speech(Speech.OPEN)
        await bench.store.writer.submit(lambda c: file(c, [Feed("brook").seal(), Feed("cedar").seal()]))


async def arm_in_circle(data_dir: Path) -> None:
    """A node whose log has its place in the roster arms a lever; it stops."""
    async with open_bench(data_dir, roster=INDEX.roster, tasks=False) as bench:
        await bench.store.writer.submit(arm)


async def test_a_backup_and_what_was_restored_outlive_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is on disk is lost all the same while its directory is not."""
    data, copy, new = (tmp_path / name for name in ("data", "copy", "new"))
    open_store(data).close()
    synced: list[tuple[str, bool]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), (new / DATABASE_NAME).exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    backups.back_up(data, copy, NOW_MS)
    assert {(str(copy), False), (str(tmp_path), False)} <= set(synced)
    backups.restore(copy, new, PUBLISHER)
    assert synced[-1] == (str(new), True)


async def test_a_backup_of_a_running_node_is_whole_and_private(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with open_bench(data) as bench:
        await bench.store.writer.submit(lambda c: file(c, [Feed("brook").seal()]))
        made = backups.back_up(data, tmp_path / "copy", NOW_MS)
        assert (made.publisher, made.entries, made.made_ms) == (PUBLISHER, bench.store.record.edge.size, NOW_MS)
    assert [path.name for path in (tmp_path / "copy").iterdir()] == [DATABASE_NAME]
    assert (tmp_path / "copy" / DATABASE_NAME).stat().st_mode & 0o777 == 0o600
    with pytest.raises(NodeError, match="a new folder is wanted"):
        backups.back_up(data, tmp_path / "copy", NOW_MS)


async def test_what_starts_on_a_backup_waits_for_who_knows_more(tmp_path: Path) -> None:
    data, copy, new = (tmp_path / name for name in ("data", "copy", "new"))
    await live(data)
    backups.back_up(data, copy, NOW_MS)
    backups.restore(copy, new, PUBLISHER)
    with trio.fail_after(60):
        async with open_bench(new) as bench:
            # the ledger: in doubt, every hook disarmed
            assert "is a backup of" in bench.ledger.doubt
            assert not (await bench.store.writer.submit(read_arms))[HOOK].armed
            # the log: no head over what was written since
            size = bench.store.record.edge.size
            await bench.store.writer.submit(lambda c: file(c, [Feed("delta").seal()]))
            assert bench.store.record.edge.size == size
            assert "later heads of its log" in bench.store.record.fault
            # the feed: the operator's word is not enough
            with pytest.raises(ControlError, match="peers have to show us"):
                await bench.publishing.allow("the operator said so")
            # nor is it for the log: peers may keep a later head
            desk = LogDesk(
                bench.store, Feed(OWN).secret, lambda: NOW_MS, lambda: bench.publishing.speech is Speech.OPEN
            )
            with pytest.raises(ControlError, match="too few peers were asked"):
                await desk.confirm_log({"anew": False})
            for peer in PEERS:
                bench.publishing.settle(peer)
            await bench.wait_speech(Speech.OPEN)
            told = await desk.confirm_log({"anew": False})
            assert (told["size"] > size, told["generation"]) == (True, FIRST_GENERATION)
            assert bench.store.record.fault == ""
            with pytest.raises(ControlError, match="nothing to confirm"):
                await desk.confirm_log({"anew": False})
            await bench.ledger.confirm()
    # and all of that once
    async with open_bench(new) as bench:
        assert (bench.ledger.doubt, bench.store.record.fault) == ("", "")
        await bench.publishing.allow("the operator said so")


async def test_a_backup_of_whose_log_a_peer_keeps_a_later_head_goes_on_under_another_name(tmp_path: Path) -> None:
    data, copy, new = (tmp_path / name for name in ("data", "copy", "new"))
    await arm_in_circle(data)
    backups.back_up(data, copy, NOW_MS)
    async with open_bench(data, roster=INDEX.roster, tasks=False) as bench:
        await bench.store.writer.submit(lambda c: file(c, [Feed("delta").seal()]))
        shown = await bench.store.writer.submit(show_head)
    assert shown is not None
    backups.restore(copy, new, PUBLISHER)
    with trio.fail_after(60):
        async with open_bench(new, roster=INDEX.roster, tasks=False) as bench:
            witnessing = await open_witnessing(bench)
            size = bench.store.record.edge.size
            await witnessing.take_own(BROOK, [cosigned_by("brook", shown.checkpoint)])
            # nothing forks under another name, so the log goes on by itself; who acts and who is shown it waits
            record = bench.store.record
            assert (record.fault, record.key.name.endswith("/2"), record.edge.size > size) == ("", True, True)
            assert "is a backup of" in bench.ledger.doubt
            assert (await witnessing.shown())[0] is None
            desk = LogDesk(bench.store, Feed(OWN).secret, lambda: NOW_MS, lambda: True)
            with pytest.raises(ControlError, match="nothing to confirm"):
                await desk.confirm_log({"anew": False})
            await bench.ledger.confirm()
            assert (await witnessing.shown())[0] is not None
    with closing(open_store(new)) as store:
        assert (store.record.fault, store.record.key.name.endswith("/2")) == ("", True)


async def test_a_backup_of_whose_log_peers_keep_what_it_has_waits_for_the_operator_alone(tmp_path: Path) -> None:
    data, copy, new = (tmp_path / name for name in ("data", "copy", "new"))
    await arm_in_circle(data)
    async with open_bench(data, roster=INDEX.roster, tasks=False) as bench:
        shown = await bench.store.writer.submit(show_head)
    assert shown is not None
    backups.back_up(data, copy, NOW_MS)
    backups.restore(copy, new, PUBLISHER)
    async with open_bench(new, roster=INDEX.roster, tasks=False) as bench:
        witnessing = await open_witnessing(bench)
        await witnessing.take_own(BROOK, [cosigned_by("brook", shown.checkpoint)])
        assert "later heads of its log" in bench.store.record.fault
        desk = LogDesk(bench.store, Feed(OWN).secret, lambda: NOW_MS, lambda: True)
        assert (await desk.confirm_log({"anew": False}))["generation"] == FIRST_GENERATION
        assert bench.store.record.fault == ""


async def test_a_log_of_which_a_chain_may_have_a_later_head_goes_on_anew_alone(tmp_path: Path) -> None:
    data, copy, new = (tmp_path / name for name in ("data", "copy", "new"))
    await live(data)
    backups.back_up(data, copy, NOW_MS)
    backups.restore(copy, new, PUBLISHER)

    async def unknown() -> str:
        return "0x01 has sent 1 transactions"

    async def unavailable() -> str:
        raise RpcUnavailable("no endpoint answers")

    async with open_bench(new) as bench:
        desk = LogDesk(bench.store, Feed(OWN).secret, lambda: NOW_MS, lambda: True)
        for find, why in ((unknown, "0x01 has sent 1"), (unavailable, "no endpoint answers")):
            desk.find_unknown_anchors = find
            with pytest.raises(ControlError, match=why):
                await desk.confirm_log({"anew": False})
            assert "later heads of its log" in bench.store.record.fault
        assert (await desk.confirm_log({"anew": True}))["generation"] == FIRST_GENERATION + 1


async def test_without_peers_the_operator_can_have_the_log_begun_anew(tmp_path: Path) -> None:
    data, copy, new = (tmp_path / name for name in ("data", "copy", "new"))
    await live(data)
    backups.back_up(data, copy, NOW_MS)
    backups.restore(copy, new, PUBLISHER)
    async with open_bench(new) as bench:
        desk = LogDesk(bench.store, Feed(OWN).secret, lambda: NOW_MS, lambda: False)
        told = await desk.confirm_log({"anew": True})
        assert told["generation"] == FIRST_GENERATION + 1
        assert (bench.store.record.fault, bench.store.record.key.name.endswith("/2")) == ("", True)
        with closing(StoreLog(new)) as own:
            assert (own.head.origin, check_log(own, own.head)) == (bench.store.record.key.name, [])


async def test_hooks_can_be_armed_again_once_the_log_goes_on(tmp_path: Path) -> None:
    data, copy, new = (tmp_path / name for name in ("data", "copy", "new"))
    await live(data)
    backups.back_up(data, copy, NOW_MS)
    backups.restore(copy, new, PUBLISHER)
    async with open_bench(new) as bench:
        await bench.ledger.confirm()
        await bench.brake.look()
        assert "later heads of its log" in bench.brake.holding[Cause.RECORD]
        desk = LogDesk(bench.store, Feed(OWN).secret, lambda: NOW_MS, lambda: True)
        await desk.confirm_log({"anew": False})
        await bench.brake.look()
        assert Cause.RECORD not in bench.brake.holding


async def test_what_was_let_go_on_in_a_transaction_that_was_taken_back_waits_still(tmp_path: Path) -> None:
    data, copy, new = (tmp_path / name for name in ("data", "copy", "new"))
    await live(data)
    backups.back_up(data, copy, NOW_MS)
    backups.restore(copy, new, PUBLISHER)

    def fail(connection: Connection) -> None:
        next_generation(connection, FIRST_GENERATION)
        raise ValueError("a test")

    async with open_bench(new) as bench:
        size = bench.store.record.edge.size
        with pytest.raises(ValueError, match="a test"):
            await bench.store.writer.submit(fail)
        assert "later heads of its log" in bench.store.record.fault
        assert (bench.store.record.edge.size, bench.store.record.key.name.endswith("/2")) == (size, False)


async def test_the_anchor_that_is_there_stays_and_the_ledger_is_in_doubt_though_it_agrees(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    await live(data)
    backups.back_up(data, copy, NOW_MS)
    anchor = (data / ANCHOR_NAME).read_bytes()
    for path in data.glob(DATABASE_NAME + "*"):
        path.unlink()
    backups.restore(copy, data, PUBLISHER)
    assert (data / ANCHOR_NAME).read_bytes() == anchor
    async with open_bench(data) as bench:
        assert "is a backup of" in bench.ledger.doubt


async def test_a_backup_is_put_over_nothing_and_under_no_running_node(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    await live(data)
    backups.back_up(data, copy, NOW_MS)
    with pytest.raises(NodeError, match="is there already"):
        backups.restore(copy, data, PUBLISHER)
    with closing(open_store(data)), pytest.raises(NodeError, match="already in use"):
        backups.restore(copy, data, PUBLISHER)


async def test_what_is_no_whole_backup_of_ours_is_refused(tmp_path: Path) -> None:
    data, copy, new = (tmp_path / name for name in ("data", "copy", "new"))
    await live(data)
    with pytest.raises(NodeError, match="is no backup"):
        backups.restore(data, new, PUBLISHER)
    backups.back_up(data, copy, NOW_MS)
    with pytest.raises(NodeError, match="is of publisher"):
        backups.restore(copy, new, Feed("brook").publisher)
    database = copy / DATABASE_NAME
    kept = database.read_bytes()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE audit SET at_ms = at_ms + 1 WHERE sequence = 1")
    with pytest.raises(NodeError, match="its log is not whole"):
        backups.restore(copy, new, PUBLISHER)
    database.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(NodeError, match="damaged"):
        backups.restore(copy, new, PUBLISHER)
    database.unlink()
    with pytest.raises(NodeError, match="is not there: a folder that `tocsin backup` wrote"):
        backups.restore(copy, new, PUBLISHER)
    assert not (new / DATABASE_NAME).exists()
