"""Members' nodes vouch for one another's logs, and one that was put back to an older copy learns it from them."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from e2e_kit import copy_data, make_network, make_notes, publish, restart, restore_data, wait_open
from tocsin_node.backups import back_up, restore
from tocsin_node.clock import now_ms
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.processes import NodeProcess, open_nodes
from tocsin_node.errors import ControlError
from tocsin_node.store.database import DATABASE_NAME
from tocsin_node.store.log_files import StoreLog
from tocsin_protocol.log.checkpoint import verify_checkpoint
from tocsin_protocol.log.members import trust_text
from tocsin_protocol.log.trust import decode_trust, judge_head

# A heartbeat goes each 15 s, and a cosignature takes two.
VOUCHED_SECONDS = 240


async def wait_log(node: NodeProcess, *words: str) -> None:
    with trio.fail_after(VOUCHED_SECONDS):
        await node.wait_status(lambda status: all(word in status["log"] for word in words))


async def test_an_older_copy_is_found_by_what_the_others_keep(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    async with open_nodes(make_network(tmp_path / "nodes")) as nodes:
        node, *others = nodes
        await wait_open(nodes, 2)
        for one in nodes:
            await wait_log(one, "2 others have cosigned")
        check_quorum(node)
        node.kill()
        copy_data(node, copy)
        await restart(node)
        await wait_open([node], 2)
        await publish(node, make_notes(5, "lost with the disk"))
        lost = read_size(node)
        with trio.fail_after(VOUCHED_SECONDS):
            for other in others:
                while kept_of(other, node) < lost:  # noqa: ASYNC110 - another process has no event for it
                    await trio.sleep(0.5)
        node.kill()
        restore_data(node, copy)
        await restart(node)
        with trio.fail_after(VOUCHED_SECONDS):
            status = await node.wait_status(lambda status: status["ledger"].startswith("in doubt"))
        assert "older copy" in status["ledger"]
        await wait_log(node, "generation 2", "nobody was shown")
        await node.ask(Verb.CONFIRM_LEDGER)
        await wait_log(node, "generation 2", "2 others have cosigned")
        for one in nodes:
            with one.open_reader() as reader:
                assert reader.equivocators() == frozenset()


async def test_a_restored_backup_goes_on_by_what_the_others_keep_and_its_operator_decides(tmp_path: Path) -> None:
    async with open_nodes(make_network(tmp_path / "nodes")) as nodes:
        node, *others = nodes
        await wait_open(nodes, 2)
        await wait_log(node, "2 others have cosigned")
        data_dir, folder = node.config.node.data_dir, tmp_path / "backup"
        made = await trio.to_thread.run_sync(back_up, data_dir, folder, now_ms())
        await publish(node, make_notes(5, "after the backup"))
        lost = read_size(node)
        with trio.fail_after(VOUCHED_SECONDS):
            for other in others:
                while kept_of(other, node) < lost:  # noqa: ASYNC110 - another process has no event for it
                    await trio.sleep(0.5)
        node.kill()
        for path in data_dir.glob(DATABASE_NAME + "*"):
            path.unlink()
        await trio.to_thread.run_sync(restore, folder, data_dir, made.publisher)
        await restart(node)
        await wait_log(node, "generation 2", "nobody was shown")
        await wait_open([node], 2)
        assert "is a backup of" in (await node.ask(Verb.STATUS))["ledger"]
        with pytest.raises(ControlError, match="nothing to confirm"):
            await node.ask(Verb.CONFIRM_LOG, anew=False)
        await node.ask(Verb.CONFIRM_LEDGER)
        await wait_log(node, "generation 2", "2 others have cosigned")
        for one in nodes:
            with one.open_reader() as reader:
                assert reader.equivocators() == frozenset()


def check_quorum(node: NodeProcess) -> None:
    """What the feed serves is enough for whoever wants both others' word, and so is what is proven to others."""
    with node.open_reader() as reader:
        trust = decode_trust(trust_text(reader.roster(), publisher_of(node), 1, 2).encode())
    log = StoreLog(node.config.node.data_dir)
    try:
        assert judge_head(log.shown_checkpoint(), trust).checkpoint.size
        assert judge_head(log.witnessed_checkpoint(1), trust).checkpoint.size
    finally:
        log.close()


def publisher_of(node: NodeProcess) -> bytes:
    with node.open_reader() as reader:
        (member,) = (m for m in reader.roster().roster.members if m.name == node.name)
        return member.publishers[0].id


def read_size(node: NodeProcess) -> int:
    log = StoreLog(node.config.node.data_dir)
    try:
        return log.head.size
    finally:
        log.close()


def kept_of(witness: NodeProcess, node: NodeProcess) -> int:
    log = StoreLog(node.config.node.data_dir)
    try:
        with witness.open_reader() as reader:
            (head,) = reader.witnessed(publisher_of(node))
        return verify_checkpoint(head, [log.key]).checkpoint.size
    finally:
        log.close()
