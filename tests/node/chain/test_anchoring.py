"""The log's heads on a real chain: once each, by their own key, over crashes, reorgs and caps."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from anchor_kit import ANCHOR, ETHER, AnchorBench, AnchorRun
from chain_kit import DEADLINE_S, Bench, Killer, open_bench, open_proxy
from tocsin_node.chain.guardian import Fees
from tocsin_node.chain.raw import read_signed
from tocsin_node.chain.sender import Sender
from tocsin_node.clock import now_ms
from tocsin_node.demo.anvil import Anvil
from tocsin_node.demo.faults import Fault
from tocsin_node.demo.scenario_chain import is_paused
from tocsin_node.relay import anchoring as anchoring_module
from tocsin_node.store.actions import append_event, insert_intent
from tocsin_node.store.anchors import AnchorRow
from tocsin_node.store.database import DATABASE_NAME
from tocsin_node.store.writer import Connection
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.action import Action, Detail, SignedTransaction, new_action
from tocsin_protocol.containment.life_cycle import Event, State
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.log.anchor import decode_anchor

MAX_STEPS = 400
"""More than a run has; the loop ends with the first run that is over before its death."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchoring_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(anchoring_module, "RETRY_SECONDS", 0.1)


@pytest.fixture
async def bench(anvil: Anvil, tmp_path: Path) -> AnchorBench:
    await anvil.fund(ANCHOR.address, ETHER)
    return AnchorBench(anvil, tmp_path / "data")


async def test_the_head_is_on_the_chain_and_the_log_says_so(bench: AnchorBench) -> None:
    async with bench.open_run() as run:
        await run.log(3)
        await run.start()
        (row,) = await run.wait_anchored()
        (entry,) = await run.entries(EntryKind.ANCHOR)
    told = decode_canonical(entry.detail, max_bytes=65_535)
    sent = await bench.anvil.call("eth_getTransactionByHash", "0x" + told["hash"].hex())
    assert (sent["from"], sent["to"], sent["value"]) == (ANCHOR.address, ANCHOR.address, "0x0")
    anchor = decode_anchor(bytes.fromhex(sent["input"][2:]))
    assert (anchor.size, anchor.root) == (3, row.root) == (told["size"], entry.reference)
    assert told["block_hash"].hex() == sent["blockHash"][2:]
    assert told["account"].hex() == ANCHOR.address[2:]
    assert read_signed(told["raw"]).nonce == 0


async def test_a_log_that_grew_by_its_anchor_alone_is_not_anchored_again(bench: AnchorBench) -> None:
    async with bench.open_run() as run:
        await run.log(2)
        await run.start()
        await run.wait_anchored()
        await trio.sleep(0.5)
        assert [row.size for row in await run.rows()] == [2]
        await run.log()
        rows = await run.wait_anchored(2)
    assert [row.size for row in rows] == [4, 2]
    assert await bench.count_sent() == 2


async def test_nothing_is_anchored_before_its_time(bench: AnchorBench) -> None:
    async with bench.open_run(interval_ms=3_600_000) as run:
        await run.log()
        await run.start()
        await run.wait_anchored()
        await run.log()
        await trio.sleep(0.5)
        assert len(await run.rows()) == 1
    # Nor right after a restart.
    async with bench.open_run(interval_ms=3_600_000) as run:
        await run.start()
        await trio.sleep(0.5)
        assert len(await run.rows()) == 1


async def test_a_log_without_entries_is_not_anchored(bench: AnchorBench) -> None:
    async with bench.open_run() as run:
        await run.start()
        await trio.sleep(0.3)
        assert await run.rows() == []
        assert (await run.status()).trouble == ""


async def test_a_head_that_may_not_be_shown_is_not_anchored(bench: AnchorBench) -> None:
    bench.may_show = False
    async with bench.open_run() as run:
        await run.log()
        await run.start()
        await trio.sleep(0.3)
        assert await run.rows() == []
        bench.may_show = True
        await run.wait_anchored()


async def test_a_head_that_may_not_be_shown_any_more_when_it_is_signed_is_not_anchored(
    bench: AnchorBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = trio.Event()
    sign_first = Sender.sign_first

    def sign(sender: Sender, *arguments: Any) -> SignedTransaction:
        if not signed.is_set():
            bench.may_show = False
            signed.set()
        return sign_first(sender, *arguments)

    monkeypatch.setattr(Sender, "sign_first", sign)
    async with bench.open_run() as run:
        await run.log()
        await run.start()
        with trio.fail_after(DEADLINE_S):
            await signed.wait()
        await trio.sleep(0.5)
        assert await run.rows() == []
        assert await bench.count_sent() == 0
        bench.may_show = True
        await run.wait_anchored()
    assert await bench.count_sent() == 1


async def test_a_log_that_does_not_agree_with_itself_is_not_anchored(bench: AnchorBench) -> None:
    async with bench.open_run() as run:
        await run.log()
    with closing(sqlite3.connect(bench.folder / DATABASE_NAME)) as connection, connection:
        connection.execute("DELETE FROM log_tiles")
    async with bench.open_run() as run:
        await run.start()
        await run.wait_trouble("log")
        assert await run.rows() == []


async def test_bytes_that_were_never_sent_are_sent_by_the_next_run(bench: AnchorBench) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.swallows = "eth_sendRawTransaction"
        async with bench.open_run(proxy.url) as run:
            await run.log()
            await run.start()
            (begun,) = await run.wait_for(lambda rows: bool(rows) and rows[0].anchor.state is State.BROADCAST)
    assert await bench.count_sent() == 0
    async with bench.open_run() as run:
        await run.log(5)
        await run.start()
        rows = await run.wait_anchored()
        await run.wait_anchored(2)
    assert (rows[-1].anchor.transactions, rows[-1].root) == (begun.anchor.transactions, begun.root)
    assert await bench.count_sent() == 2


async def test_an_anchor_that_waits_for_a_block_is_joined_again(bench: AnchorBench) -> None:
    await bench.anvil.call("evm_setAutomine", False)
    for _ in range(3):
        async with bench.open_run() as run:
            await run.log()
            await run.start()
            await run.wait_for(lambda rows: bool(rows) and rows[0].anchor.state is State.BROADCAST)
    async with bench.open_run(interval_ms=3_600_000) as run:
        await run.start()
        await bench.wait_pooled()
        await bench.anvil.mine()
        (row,) = await run.wait_anchored()
    assert (row.size, len(row.anchor.transactions)) == (1, 1)
    assert await bench.count_sent() == 1


async def test_one_death_at_every_await_leaves_one_anchor(anvil: Anvil, tmp_path: Path) -> None:
    await anvil.fund(ANCHOR.address, ETHER)
    for at_step in range(1, MAX_STEPS):
        before = await anvil.snapshot()
        bench, scope = AnchorBench(anvil, tmp_path / str(at_step)), trio.CancelScope()
        async with bench.open_run(interval_ms=3_600_000) as run:
            await run.log()
            is_killed = await run_until_killed(run, scope, at_step)
        async with bench.open_run(interval_ms=3_600_000) as run:
            await run.start()
            (row,) = await run.wait_anchored()
            assert len(await run.entries(EntryKind.ANCHOR)) == 1, at_step
        assert (row.size, len(row.anchor.transactions)) == (1, 1), at_step
        assert await bench.count_sent() == 1, at_step
        await anvil.restore(before)
        if not is_killed:
            assert at_step > 10, "the run has fewer awaits than it should"
            return
    raise AssertionError("the run never came to its end")


async def run_until_killed(run: AnchorRun, scope: trio.CancelScope, at_step: int) -> bool:
    """Anchor until the task dies at a step, or the anchor is confirmed; say whether it died before."""
    confirmed = False
    record = run.anchoring.record

    async def record_and_see(action_id: bytes, event: Event, detail: Detail) -> Action:
        nonlocal confirmed
        after = await record(action_id, event, detail)
        if after.state is State.EFFECTIVE:
            confirmed = True
            scope.cancel()
        return after

    run.anchoring.record = record_and_see  # type: ignore[method-assign]
    killer = Killer(trio.lowlevel.current_task(), scope, at_step)
    with trio.fail_after(DEADLINE_S), scope:
        trio.lowlevel.add_instrument(killer)
        try:
            await run.anchoring.run_anchoring()
        finally:
            trio.lowlevel.remove_instrument(killer)
    return not confirmed


async def test_an_anchor_that_a_reorg_drops_is_anchored_again(bench: AnchorBench) -> None:
    before = await bench.anvil.snapshot()
    async with bench.open_run(interval_ms=3_600_000) as run:
        await run.log()
        await run.start()
        (first,) = await run.wait_anchored()
        await bench.anvil.restore(before)
        await bench.anvil.fund(ANCHOR.address, ETHER)
        await bench.anvil.mine(3)
        with trio.fail_after(DEADLINE_S):
            while len(entries := await run.entries(EntryKind.ANCHOR)) < 3:  # noqa: ASYNC110 - as in chain_kit
                await trio.sleep(0.02)
        (again,) = await run.rows()
    told = [decode_canonical(entry.detail, max_bytes=65_535) for entry in entries]
    assert told[1]["dropped"] == told[0]["hash"] == told[2]["hash"]
    assert told[0]["block_hash"] != told[2]["block_hash"]
    assert again.anchor.transactions == first.anchor.transactions
    assert await bench.count_sent() == 1


async def anchor_and_drop(bench: AnchorBench, count: int) -> list[AnchorRow]:
    """So many anchors are confirmed; the node ends, and a reorg drops them after their watch would have ended."""
    before = await bench.anvil.snapshot()
    async with bench.open_run() as run:
        for number in range(1, count + 1):
            await run.log()
            if number == 1:
                await run.start()
            rows = await run.wait_anchored(number)
        await run.store.writer.submit(lambda c: c.execute("UPDATE anchors SET created_ms = created_ms - 10800000"))
    await bench.anvil.restore(before)
    await bench.anvil.fund(ANCHOR.address, ETHER)
    await bench.anvil.mine(5)
    assert await bench.count_sent() == 0
    return rows


@pytest.mark.parametrize("count", [1, 2])
async def test_anchors_that_a_reorg_dropped_unseen_are_sent_again_before_the_next(
    bench: AnchorBench, count: int
) -> None:
    dropped = await anchor_and_drop(bench, count)
    async with bench.open_run(interval_ms=7_200_000) as run:
        await run.log()
        await run.start()
        rows = await run.wait_anchored(count + 1)
        told = [decode_canonical(e.detail, max_bytes=65_535) for e in await run.entries(EntryKind.ANCHOR)]
    assert [row.anchor.transactions for row in rows[1:]] == [row.anchor.transactions for row in dropped]
    assert [read_signed(row.anchor.transactions[0].raw).nonce for row in rows] == list(range(count, -1, -1))
    assert {t["dropped"] for t in told if "dropped" in t} == {row.anchor.included_hash for row in dropped}
    assert await bench.count_sent() == count + 1


async def test_an_anchor_that_was_mined_again_elsewhere_unseen_is_told_with_its_new_block(bench: AnchorBench) -> None:
    (dropped,) = await anchor_and_drop(bench, 1)
    raw = dropped.anchor.transactions[0].raw
    await bench.anvil.call("eth_sendRawTransaction", "0x" + raw.hex())
    async with bench.open_run(interval_ms=7_200_000) as run:
        await run.log()
        await run.start()
        rows = await run.wait_anchored(2)
        told = [decode_canonical(e.detail, max_bytes=65_535) for e in await run.entries(EntryKind.ANCHOR)]
    receipt = await bench.anvil.call("eth_getTransactionReceipt", "0x" + dropped.anchor.transactions[0].hash.hex())
    again = [t for t in told if t.get("raw") == raw][-1]
    assert again["block_hash"].hex() == receipt["blockHash"][2:]
    assert [len(row.anchor.transactions) for row in rows] == [1, 1]


async def test_an_anchor_whose_nonce_another_took_after_a_reorg_is_told_as_dropped(bench: AnchorBench) -> None:
    (dropped,) = await anchor_and_drop(bench, 1)
    other = ANCHOR.sign(
        chain_id=bench.anvil.chain_id,
        nonce=0,
        to=ANCHOR.address,
        calldata=b"",
        gas_limit=60_000,
        fees=Fees(10**10, 10**9),
    )
    await bench.anvil.call("eth_sendRawTransaction", "0x" + other.raw.hex())
    async with bench.open_run(interval_ms=7_200_000) as run:
        await run.log()
        await run.start()
        await run.wait_for(lambda rows: len(rows) == 2 and rows[0].anchor.state is State.EFFECTIVE)
        rows = await run.rows()
        told = [decode_canonical(e.detail, max_bytes=65_535) for e in await run.entries(EntryKind.ANCHOR)]
    assert rows[1].anchor.state is State.FAILED
    assert [t["dropped"] for t in told if "dropped" in t] == [dropped.anchor.included_hash]
    assert await bench.count_sent() == 2


async def test_a_spend_cap_is_named_alarmed_once_and_the_log_goes_on(bench: AnchorBench) -> None:
    for _ in range(2):  # nor is it alarmed again after a restart
        async with bench.open_run(max_day_spend_wei=1) as run:
            await run.log()
            await run.start()
            status = await run.wait_trouble("spend")
            await trio.sleep(0.5)
            size = run.store.record.edge.size
            await run.log()
            assert run.store.record.edge.size == size + 1
            (alarm,) = await run.entries(EntryKind.ALARM)
    assert "max_day_spend_wei 1" in status.trouble
    detail = decode_canonical(alarm.detail, max_bytes=65_535)
    assert (detail["anchor"], detail["cause"]) == (bench.anvil.chain, "spend")
    assert await bench.count_sent() == 0
    async with bench.open_run() as run:
        await run.start()
        await run.wait_anchored()
        assert (await run.status()).trouble == ""


async def test_what_was_spent_before_a_restart_counts(bench: AnchorBench) -> None:
    async with bench.open_run() as run:
        await run.log()
        await run.start()
        (row,) = await run.wait_anchored()
    cap = read_signed(row.anchor.transactions[0].raw).most_wei * 3 // 2
    async with bench.open_run(max_day_spend_wei=cap) as run:
        await run.log()
        await run.start()
        await run.wait_trouble("spend")
    assert await bench.count_sent() == 1


async def test_a_key_without_gas_is_told_once_and_mended_by_gas(bench: AnchorBench) -> None:
    await bench.anvil.fund(ANCHOR.address, 0)
    async with bench.open_run() as run:
        await run.log()
        await run.start()
        status = await run.wait_trouble("refused")
        assert "funds" in status.trouble.lower()
        await run.wait_for(lambda rows: len(rows) == 2)  # the alarm is news: it is tried once more, and then no more
        await run.wait_for(lambda rows: rows[0].anchor.state is State.FAILED)
        await trio.sleep(0.3)
        assert len(await run.rows()) == 2
        assert len(await run.entries(EntryKind.ALARM)) == 1
        await bench.anvil.fund(ANCHOR.address, ETHER)
        await run.log()
        rows = await run.wait_anchored()
        assert (await run.status()).trouble == ""
    assert len({row.size for row in rows}) == len(rows) == 3
    assert await bench.count_sent() == 1


async def test_endpoints_that_do_not_answer_are_told(bench: AnchorBench) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.is_down = True
        async with bench.open_run(proxy.url) as run:
            await run.log()
            await run.start()
            await run.wait_trouble("endpoints")
            proxy.is_down = False
            await run.wait_anchored()


async def put_under_way(run: AnchorRun, *, is_under_way: bool) -> None:
    """An action begins, or ends."""
    action = new_action(
        ledger=bytes(16),
        hook="pause-pool",
        target="on-call",
        arm_epoch=1,
        incident_id=b"\1" * 32,
        decision_id=b"\2" * 8,
        payload=b"pause",
        created_ms=now_ms(),
        deadline_ms=now_ms() + 600_000,
    )

    def put(connection: Connection) -> None:
        connection.execute("UPDATE ledger SET doubt = ''")
        if is_under_way:
            insert_intent(connection, action, now_ms())
        else:
            append_event(connection, action.action_id, Event.LAPSE, {"reason": "over"}, now_ms())

    await run.store.writer.submit(put)


async def test_nothing_is_anchored_while_an_action_is_under_way(bench: AnchorBench) -> None:
    async with open_proxy(bench.anvil) as proxy, bench.open_run(proxy.url) as run:
        await put_under_way(run, is_under_way=True)
        await run.start()
        await trio.sleep(0.5)
        assert (await run.rows(), proxy.asked) == ([], [])
        await put_under_way(run, is_under_way=False)
        await run.wait_anchored()


async def test_an_anchor_makes_room_for_an_action(bench: AnchorBench) -> None:
    await bench.anvil.call("evm_setAutomine", False)
    async with open_proxy(bench.anvil) as proxy, bench.open_run(proxy.url) as run:
        await run.log()
        await run.start()
        await run.wait_for(lambda rows: bool(rows) and rows[0].anchor.state is State.BROADCAST)
        await put_under_way(run, is_under_way=True)
        with trio.fail_after(DEADLINE_S):
            while proxy.asked:  # the pursuit looks twenty times in this second
                proxy.asked.clear()
                await trio.sleep(1)
        await put_under_way(run, is_under_way=False)
        await bench.wait_pooled()
        await bench.anvil.mine()
        await run.wait_anchored()


async def test_an_anchor_stuck_in_the_pool_does_not_delay_a_pause(anvil: Anvil, tmp_path: Path) -> None:
    paused: Bench = await open_bench(anvil)
    await anvil.fund(ANCHOR.address, ETHER)
    await anvil.call("evm_setAutomine", False)
    bench = AnchorBench(anvil, tmp_path / "data")
    async with bench.open_run(max_fee_wei=3_000_000_000) as run:
        await run.log()
        await run.start()
        (stuck,) = await run.wait_for(lambda rows: bool(rows) and rows[0].anchor.state is State.BROADCAST)
        await paused.wait_pooled(stuck.anchor.transactions[0])
        # From here on no block has room for what the anchor offers.
        await anvil.call("anvil_setNextBlockBaseFeePerGas", hex(50_000_000_000))
        await anvil.mine()
        assert await bench.count_sent() == 0
        await anvil.call("evm_setAutomine", True)
        began = trio.current_time()
        done = await paused.run(paused.intend())
        assert done.state is State.EFFECTIVE
        assert trio.current_time() - began < paused.chain_config().settle_ms / 1_000
        assert await is_paused(anvil, paused.scenario.dex)
        assert await bench.count_sent() == 0
        (still,) = await run.rows()
        assert not still.anchor.is_settled


async def test_an_anchor_of_another_key_is_left_alone(bench: AnchorBench) -> None:
    await bench.anvil.call("evm_setAutomine", False)
    async with bench.open_run() as run:
        await run.log()
        await run.start()
        await run.wait_for(lambda rows: bool(rows) and rows[0].anchor.state is State.BROADCAST)
        await run.store.writer.submit(lambda c: c.execute("UPDATE anchors SET account = ?", ("0x" + "99" * 20,)))
    await bench.anvil.call("anvil_dropAllTransactions")
    await bench.anvil.call("evm_setAutomine", True)
    async with bench.open_run() as run:
        await run.log()
        await run.start()
        rows = await run.wait_anchored()
    assert [(row.size, row.anchor.state) for row in rows] == [(2, State.EFFECTIVE), (1, State.BROADCAST)]


async def test_anchors_that_an_older_copy_does_not_know_are_found(bench: AnchorBench) -> None:
    async with bench.open_run() as run:
        assert await run.anchoring.find_unknown() == ""
        await run.log()
        await run.start()
        await run.wait_anchored()
        await run.log()
        await run.wait_anchored(2)
        assert await run.anchoring.find_unknown() == ""

    def forget(connection: Connection) -> None:
        connection.execute("DELETE FROM anchors WHERE size = (SELECT MAX(size) FROM anchors)")

    async with bench.open_run() as run:
        await run.store.writer.submit(forget)
        assert "has sent 1 transactions on" in await run.anchoring.find_unknown()


def count_events(run: AnchorRun, event: str) -> float:
    return run.metrics.registry.get_sample_value("tocsin_anchor_events_total", {"event": event}) or 0.0


async def test_a_store_that_fails_ends_nothing(bench: AnchorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = 0

    def fail(*_: object, **__: object) -> None:
        nonlocal failed
        failed += 1
        raise sqlite3.OperationalError("database or disk is full")

    async with bench.open_run(max_day_spend_wei=1) as run:
        await run.log()
        with monkeypatch.context() as patched:
            patched.setattr(anchoring_module, "raise_trouble", fail)
            await run.start()
            with trio.fail_after(DEADLINE_S):
                while failed < 2:  # noqa: ASYNC110 - as in chain_kit
                    await trio.sleep(0.02)
        await run.wait_trouble("spend")


async def test_what_is_anchored_is_a_gauge(bench: AnchorBench) -> None:
    async with bench.open_run() as run:
        await run.log(7)
        await run.start()
        await run.wait_anchored()
    async with bench.open_run() as run:
        await run.start()
        with trio.fail_after(DEADLINE_S):
            while run.metrics.registry.get_sample_value("tocsin_anchored_entries") != 7:  # noqa: ASYNC110 - as above
                await trio.sleep(0.02)


async def test_steps_are_counted(bench: AnchorBench) -> None:
    async with bench.open_run() as run:
        await run.log()
        await run.start()
        await run.wait_anchored()
        # counted once it is on disk, so a moment after the state can be read
        with trio.fail_after(DEADLINE_S):
            while not count_events(run, "confirm"):  # noqa: ASYNC110 - as in chain_kit
                await trio.sleep(0.02)


async def test_an_endpoint_that_invents_a_receipt_confirms_nothing(bench: AnchorBench) -> None:
    async with open_proxy(bench.anvil) as liar:
        liar.fault = Fault.INVENTED_RECEIPT
        async with bench.open_run(liar.url, bench.anvil.url) as run:
            await run.log()
            await run.start()
            await run.wait_for(lambda rows: bool(rows) and rows[0].anchor.state is State.BROADCAST)
            await trio.sleep(0.5)
            (row,) = await run.rows()
            assert not row.anchor.is_settled
            liar.fault = None
            (row,) = await run.wait_anchored()
    receipt = await bench.anvil.call("eth_getTransactionReceipt", "0x" + row.anchor.transactions[0].hash.hex())
    assert row.anchor.block_hash is not None
    assert receipt["blockHash"][2:] == row.anchor.block_hash.hex()
