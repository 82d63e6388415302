"""From a drain on the chain to the node's own feed: each crossing once, restarts or not, and only while it is news."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from chain_kit import DEADLINE_S, Bench, open_bench
from msgspec import structs
from tocsin_node.app import Relay, open_relay
from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.demo.anvil import open_anvil
from tocsin_node.demo.scenario_chain import run_step
from tocsin_node.detect.finding import Finding, finding_key
from tocsin_node.relay.findings import Findings, incident_of_finding, signal_of_finding
from tocsin_node.relay.publishing import Speech
from tocsin_node.store.own_findings import is_own_incident
from tocsin_protocol.body import decode_body
from tocsin_protocol.envelope import decode_envelope
from tocsin_protocol.freshness import freshness_bound_ms
from tocsin_protocol.model import Signal
from tocsin_protocol.taxonomy import Category
from watching_kit import BACKFILL_BLOCKS, configure, wait_watcher


def make_finding(**changes: object) -> Finding:
    account, block = "eip155:1:0x" + "5a" * 20, b"\7" * 32
    finding = Finding(
        key=finding_key(account, "eip155:1/erc20:0x" + "6b" * 20, block),
        watcher="outflow",
        chain="eip155:1",
        account=account,
        asset="eip155:1/erc20:0x" + "6b" * 20,
        block_number=7,
        block_hash=block,
        block_time_ms=now_ms() - 30_000,
        window_s=3_600,
        net_outflow=30,
        limit=20,
        balance_at_start=100,
        balance=70,
        loss_micro_usd=30,
        at_risk_micro_usd=70,
        transactions=((17, "0x" + "11" * 32),),
        recipients=("eip155:1:0x" + "7c" * 20,),
    )
    return replace(finding, **changes)  # type: ignore[arg-type]


async def own_signals(relay: Relay) -> list[Signal]:
    domain, publisher = relay.network.index.domain, relay.store.publisher
    # in one transaction: a draft may be sealed at any time
    rows, drafts = await relay.store.writer.submit(
        lambda c: (
            c.execute("SELECT encoded FROM signals WHERE publisher = ? ORDER BY id", (publisher,)).fetchall(),
            c.execute("SELECT body FROM drafts ORDER BY id").fetchall(),
        )
    )
    return [decode_body(decode_envelope(domain, row).body) for (row,) in rows] + [decode_body(b) for (b,) in drafts]


@pytest.mark.parametrize("members", [("alba",), ("alba", "brook")], ids=["sealed", "kept as a draft"])
async def test_a_restart_finds_the_same_crossing_and_publishes_nothing(
    bench: Bench, tmp_path: Path, members: tuple[str, ...]
) -> None:
    config = load_config(configure(tmp_path, bench, *members))
    await bench.anvil.mine(BACKFILL_BLOCKS)  # the deposits are older than what is read
    async with open_relay(config) as relay:
        await wait_watcher(relay, lambda watcher: watcher["head"] > 0)
        for step in bench.scenario.steps[:2]:
            await run_step(bench.anvil, bench.scenario, step)
        await wait_watcher(relay, lambda watcher: watcher["findings"] == 1)
        (signal,) = await own_signals(relay)
    async with open_relay(config) as relay:
        await wait_watcher(relay, lambda watcher: watcher["findings"] == 1)
        assert await own_signals(relay) == [signal]


async def test_a_crossing_older_than_a_drain_is_fresh_is_not_published(tmp_path: Path) -> None:
    long_ago_s = (now_ms() - 2 * freshness_bound_ms(Category.ASSET_DRAIN)) // 1_000
    async with open_anvil("--timestamp", str(long_ago_s)) as anvil:
        bench = await open_bench(anvil)
        for step in bench.scenario.steps[:2]:
            await run_step(anvil, bench.scenario, step)
        async with open_relay(load_config(configure(tmp_path, bench))) as relay:
            await wait_watcher(relay, lambda watcher: watcher["findings"] == 1)
            assert await own_signals(relay) == []
            counted = relay.metrics.registry.get_sample_value("tocsin_dropped_total", {"reason": "finding-stale"})
    assert counted == 1


async def test_a_fault_while_publishing_is_counted_and_the_finding_taken_when_offered_again(
    bench: Bench, tmp_path: Path
) -> None:
    async with open_relay(load_config(configure(tmp_path, bench))) as relay:
        with trio.fail_after(DEADLINE_S):
            # until then it is kept as a draft, which no full disk is in the way of
            while relay.publishing.speech is not Speech.OPEN:  # noqa: ASYNC110 - no event for it
                await trio.sleep(0.02)
        findings = Findings(relay.store, relay.network, relay.publishing, relay.metrics, now_ms)
        finding = make_finding()
        await relay.store.writer.submit(
            lambda c: c.execute(
                "CREATE TEMP TRIGGER full BEFORE INSERT ON main.signals BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
            )
        )
        assert not await findings.report(finding)
        assert not await findings.report(replace(finding, watcher="no slug"))
        assert relay.metrics.registry.get_sample_value("tocsin_dropped_total", {"reason": "finding-fault"}) == 2
        await relay.store.writer.submit(lambda c: c.execute("DROP TRIGGER full"))
        assert await findings.report(finding)
        assert [signal.incident for signal in await own_signals(relay)] == [incident_of_finding(finding)]


def test_a_crossing_was_detected_when_its_block_was_made() -> None:
    now = now_ms()
    finding = make_finding(block_time_ms=now - 30_000)
    assert signal_of_finding(finding, now).detected_ms == now - 30_000
    assert signal_of_finding(replace(finding, block_time_ms=now + 30_000), now).detected_ms == now
    assert signal_of_finding(finding, now).incident == incident_of_finding(finding)


async def test_a_signal_that_only_mentions_the_incident_is_not_the_finding(bench: Bench, tmp_path: Path) -> None:
    finding = make_finding()
    hint = incident_of_finding(finding)
    mention = structs.replace(signal_of_finding(finding, now_ms()), incident="by-hand", text=f"see {hint}")
    async with open_relay(load_config(configure(tmp_path, bench))) as relay:
        domain = relay.network.index.domain
        await relay.publishing.publish([mention])
        assert not await relay.store.writer.submit(lambda c: is_own_incident(c, domain, hint))
        await relay.publishing.publish([signal_of_finding(finding, now_ms())])
        assert await relay.store.writer.submit(lambda c: is_own_incident(c, domain, hint))
