from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from chain_kit import DEADLINE_S, Bench, open_proxy
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.errors import RpcUnavailable
from tocsin_node.clock import now_ms
from tocsin_node.demo.scenario_chain import BITES, UNIT, StepKind, run_step
from tocsin_node.detect.config import OutflowWatcherConfig
from tocsin_node.detect.finding import Finding, WatcherStatus
from tocsin_node.detect.follower import MAX_BEHIND_BLOCKS
from tocsin_node.detect.outflow_watcher import OutflowWatcher, run_outflow_watcher


def watcher_config(bench: Bench, **settings: Any) -> OutflowWatcherConfig:
    return OutflowWatcherConfig(
        **{
            "name": "lender-outflow",
            "accounts": [bench.scenario.account(bench.scenario.lender)],
            "assets": [
                {
                    "asset": bench.scenario.asset,
                    "decimals": 6,
                    "price_micro_usd": 1_000_000,
                    "max_outflow_bps": 1_000,
                    "min_outflow": 100_000,
                }
            ],
            "poll_ms": 10,
            "backfill_blocks": 0,
            **settings,
        }
    )


@dataclass
class Findings:
    """What was reported; `wait` waits for so many. So many `refusals` come before anything is taken over."""

    found: list[Finding] = field(default_factory=list)
    offers: int = 0
    refusals: int = 0
    status: WatcherStatus = field(default_factory=WatcherStatus)
    _arrived: trio.Event = field(default_factory=trio.Event)

    async def report(self, finding: Finding) -> bool:
        self.offers += 1
        if self.offers <= self.refusals:
            return False
        self.found.append(finding)
        self._arrived.set()
        self._arrived = trio.Event()
        return True

    async def wait(self, number: int) -> None:
        with trio.fail_after(DEADLINE_S):
            while len(self.found) < number:
                await self._arrived.wait()


@asynccontextmanager
async def running(bench: Bench, *urls: str, **settings: Any) -> AsyncIterator[Findings]:
    findings = Findings()
    async with open_chain(bench.chain_config(*urls)) as client, trio.open_nursery() as nursery:
        config = watcher_config(bench, **settings)

        async def run(task_status: trio.TaskStatus[WatcherStatus]) -> None:
            await run_outflow_watcher(config, client, findings.report, status=findings.status, task_status=task_status)

        with trio.fail_after(DEADLINE_S):
            await nursery.start(run)
        yield findings
        nursery.cancel_scope.cancel()


async def wait_for_head(bench: Bench, findings: Findings) -> None:
    head = int(await bench.anvil.call("eth_blockNumber"), 16)
    await bench.wait_for(lambda: findings.status.head_number >= head)


async def test_the_second_bite_crosses_and_is_reported_once(bench: Bench) -> None:
    async with running(bench) as findings:
        mined = [await run_step(bench.anvil, bench.scenario, step) for step in bench.scenario.steps[:2]]
        await findings.wait(1)
        await run_step(bench.anvil, bench.scenario, bench.scenario.steps[2])
        await run_step(bench.anvil, bench.scenario, bench.scenario.steps[3])
        await wait_for_head(bench, findings)
    assert len(findings.found) == 1
    finding = findings.found[0]
    lost = sum(BITES[:2]) * UNIT
    assert finding.account == bench.scenario.account(bench.scenario.lender)
    assert finding.asset == bench.scenario.asset
    assert finding.net_outflow == lost
    assert finding.limit == 20_000_000 * UNIT
    assert finding.balance_at_start == 200_000_000 * UNIT
    assert finding.loss_micro_usd == lost  # six decimals at one dollar
    assert finding.at_risk_micro_usd == 200_000_000 * UNIT - lost
    assert finding.block_number == mined[1].block
    assert set(finding.transactions) == {(item.block, item.hash) for item in mined}
    assert len(finding.recipients) == 2
    assert finding.account not in finding.recipients


async def test_a_reorg_takes_back_what_left_and_the_crossing_comes_again(bench: Bench) -> None:
    async with running(bench) as findings:
        before = await bench.anvil.snapshot()
        for step in bench.scenario.steps[:2]:
            await run_step(bench.anvil, bench.scenario, step)
        await findings.wait(1)
        await bench.anvil.restore(before)
        await bench.anvil.mine(3)
        await bench.wait_for(lambda: findings.status.reorgs == 1)
        await wait_for_head(bench, findings)
        await run_step(bench.anvil, bench.scenario, bench.scenario.steps[0])
        await wait_for_head(bench, findings)
        assert len(findings.found) == 1, "the first bite alone is below the limit"
        await run_step(bench.anvil, bench.scenario, bench.scenario.steps[1])
        await findings.wait(2)
    first, second = findings.found
    assert first.net_outflow == second.net_outflow
    assert first.key != second.key


async def test_a_reorg_deeper_than_what_is_kept_starts_again_from_the_balances(bench: Bench) -> None:
    before = await bench.anvil.snapshot()
    await bench.anvil.mine(2)
    async with running(bench) as findings:
        await bench.anvil.restore(before)
        await bench.anvil.mine(4)
        await bench.wait_for(lambda: findings.status.restarts == 1)
        for step in bench.scenario.steps[:2]:
            await run_step(bench.anvil, bench.scenario, step)
        await wait_for_head(bench, findings)
    assert findings.status.errors == 0


async def test_blocks_missed_while_the_endpoint_was_down_are_read_later(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy, running(bench, proxy.url, max_blocks=5) as findings:
        proxy.is_down = True
        await run_step(bench.anvil, bench.scenario, bench.scenario.steps[0])
        await bench.anvil.mine(40)
        await run_step(bench.anvil, bench.scenario, bench.scenario.steps[1])
        await bench.wait_for(lambda: findings.status.errors > 0)
        assert findings.status.head_age_ms(now_ms() + 5_000) >= 4_000
        proxy.is_down = False
        await findings.wait(1)
    assert findings.found[0].net_outflow == sum(BITES[:2]) * UNIT


async def test_another_endpoint_takes_over(bench: Bench) -> None:
    async with (
        open_proxy(bench.anvil) as proxy,
        open_proxy(bench.anvil) as third,
        running(bench, proxy.url, bench.anvil.url, third.url) as findings,
    ):
        proxy.is_down = True
        for step in bench.scenario.steps[:2]:
            await run_step(bench.anvil, bench.scenario, step)
        await findings.wait(1)
    assert findings.status.endpoint != proxy.url.removeprefix("http://")


async def test_an_endpoint_that_shows_blocks_and_refuses_logs_is_left(bench: Bench) -> None:
    async with (
        open_proxy(bench.anvil) as proxy,
        open_proxy(bench.anvil) as third,
        running(bench, proxy.url, bench.anvil.url, third.url) as findings,
    ):
        assert findings.status.endpoint == proxy.url.removeprefix("http://")
        proxy.errors["eth_getLogs"] = {"code": -32005, "message": "query returned more than 10000 results"}
        for step in bench.scenario.steps[:2]:
            await run_step(bench.anvil, bench.scenario, step)
        await findings.wait(1)
    assert findings.status.endpoint != proxy.url.removeprefix("http://")


async def test_an_endpoint_that_cannot_show_old_blocks_is_left_at_the_start(bench: Bench) -> None:
    await bench.anvil.mine(3)

    def forget_history(method: str, result: Any) -> Any:
        return None if method == "eth_getBlockByNumber" and result["number"] == "0x1" else result

    async with open_proxy(bench.anvil) as proxy:
        proxy.lie = forget_history
        head = int(await bench.anvil.call("eth_blockNumber"), 16)
        async with running(bench, proxy.url, bench.anvil.url, backfill_blocks=head - 1) as findings:
            await wait_for_head(bench, findings)
    assert findings.status.endpoint == bench.anvil.url.removeprefix("http://")


async def test_an_endpoint_that_stands_still_is_left(bench: Bench) -> None:
    frozen = await bench.anvil.call("eth_getBlockByNumber", "latest", False)
    async with (
        open_proxy(bench.anvil) as proxy,
        open_proxy(bench.anvil) as third,
        running(bench, proxy.url, bench.anvil.url, third.url) as findings,
    ):
        proxy.lie = lambda method, result: frozen if method == "eth_getBlockByNumber" else result
        for step in bench.scenario.steps[:2]:
            await run_step(bench.anvil, bench.scenario, step)
        await bench.anvil.mine(MAX_BEHIND_BLOCKS)
        await findings.wait(1)
        await wait_for_head(bench, findings)
    assert findings.status.endpoint != proxy.url.removeprefix("http://")
    assert findings.status.errors == 0


async def test_an_endpoint_a_few_blocks_behind_is_kept(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy, open_proxy(bench.anvil) as other:
        async with running(bench, proxy.url, other.url) as findings:
            frozen = await bench.anvil.call("eth_getBlockByNumber", "latest", False)
            proxy.lie = lambda method, result: frozen if method == "eth_getBlockByNumber" else result
            await bench.anvil.mine(MAX_BEHIND_BLOCKS)
            other.asked.clear()
            await bench.wait_for(lambda: len(other.asked) > 3)
        assert findings.status.endpoint == proxy.url.removeprefix("http://")


def boast(method: str, result: Any) -> Any:
    """A head far above what anybody has."""
    if method == "eth_getBlockByNumber":
        return result and result | {"number": hex(int(result["number"], 16) + 1_000)}
    return result


async def test_a_head_that_nobody_can_follow_keeps_no_watcher_from_starting(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as liar, open_proxy(bench.anvil) as third:
        liar.lie = boast
        async with running(bench, liar.url, bench.anvil.url, third.url) as findings:
            assert findings.status.head_number < 1_000


async def test_a_balance_that_is_none_keeps_no_watcher_from_starting(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as liar, open_proxy(bench.anvil) as third:
        liar.lie = lambda method, result: "0x" if method == "eth_call" else result
        async with running(bench, liar.url, bench.anvil.url, third.url) as findings:
            assert findings.status.errors == 0


async def test_logs_that_only_one_endpoint_leaves_out_do_not_set_the_start(bench: Bench) -> None:
    await run_step(bench.anvil, bench.scenario, bench.scenario.steps[0])
    findings = Findings()
    async with (
        open_proxy(bench.anvil) as liar,
        open_proxy(bench.anvil) as honest,
        open_chain(bench.chain_config(liar.url, honest.url)) as client,
    ):
        config = watcher_config(bench, backfill_blocks=1)
        watcher = OutflowWatcher(config, client, findings.report, now_ms, findings.status)
        liar.lie = lambda method, result: [] if method == "eth_getLogs" else result
        with pytest.raises(RpcUnavailable, match="too few endpoints give the same logs"):
            await watcher.poll()
        liar.lie = lambda method, result: result
        await watcher.poll()
        await run_step(bench.anvil, bench.scenario, bench.scenario.steps[1])
        await watcher.poll()
    assert findings.found[0].balance_at_start == 200_000_000 * UNIT


async def test_a_head_that_nobody_can_follow_does_not_blind_the_watcher(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as liar:
        async with running(bench, bench.anvil.url, liar.url) as findings:
            liar.lie = boast
            await bench.wait_for(lambda: findings.status.errors > 0)
            for step in bench.scenario.steps[:2]:
                await run_step(bench.anvil, bench.scenario, step)
            await findings.wait(1)
        assert findings.status.endpoint == bench.anvil.url.removeprefix("http://")


async def test_an_outflow_that_only_one_endpoint_shows_is_not_reported(bench: Bench) -> None:
    def hide_logs(method: str, result: Any) -> Any:
        return [] if method == "eth_getLogs" else result

    async with open_proxy(bench.anvil) as proxy, running(bench, bench.anvil.url, proxy.url) as findings:
        proxy.lie = hide_logs
        for step in bench.scenario.steps[:2]:
            await run_step(bench.anvil, bench.scenario, step)
        await wait_for_head(bench, findings)
        assert findings.found == []
        proxy.lie = lambda method, result: result
        await findings.wait(1)


async def test_a_crossing_without_a_second_witness_is_dropped_after_bounded_tries(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy, running(bench, bench.anvil.url, proxy.url) as findings:
        proxy.lie = lambda method, result: [] if method == "eth_getLogs" else result
        for step in bench.scenario.steps[:2]:
            await run_step(bench.anvil, bench.scenario, step)
        await bench.wait_for(lambda: findings.status.unwitnessed == 1)
    assert findings.found == []


async def test_a_finding_that_is_not_taken_over_is_offered_again(bench: Bench) -> None:
    async with running(bench) as findings:
        findings.refusals = 2
        for step in bench.scenario.steps[:2]:
            await run_step(bench.anvil, bench.scenario, step)
        await findings.wait(1)
        await wait_for_head(bench, findings)
    assert findings.offers == 3
    assert findings.status.findings == 1


async def test_a_fault_while_reporting_leaves_what_was_reported_reported(bench: Bench) -> None:
    accounts = [bench.scenario.account(item) for item in (bench.scenario.lender, bench.scenario.dex)]
    assets = [
        {"asset": asset, "decimals": 6, "price_micro_usd": 1_000_000, "max_outflow_bps": 500}
        for asset in (bench.scenario.asset, bench.scenario.receipt_asset)
    ]
    offered: list[Finding] = []

    async def report(finding: Finding) -> bool:
        offered.append(finding)
        if len(offered) == 2:
            raise KeyError("a fault of the report's own")
        return True

    async with open_chain(bench.chain_config()) as client:
        config = watcher_config(bench, accounts=accounts, assets=assets)
        watcher = OutflowWatcher(config, client, report, now_ms, WatcherStatus())
        await watcher.poll()
        for step in bench.scenario.steps:
            await run_step(bench.anvil, bench.scenario, step)
        with pytest.raises(KeyError):
            await watcher.poll()
        await watcher.poll()
    assert len(offered) > 2
    assert offered[0].key not in {finding.key for finding in offered[1:]}
    assert offered[1].key == offered[2].key


async def test_a_drain_from_before_the_start_counts_within_the_window(bench: Bench) -> None:
    await run_step(bench.anvil, bench.scenario, bench.scenario.steps[0])
    blocks = 1
    async with running(bench, backfill_blocks=blocks) as findings:
        await run_step(bench.anvil, bench.scenario, bench.scenario.steps[1])
        await findings.wait(1)
    assert findings.found[0].net_outflow == sum(BITES[:2]) * UNIT
    assert findings.found[0].balance_at_start == 200_000_000 * UNIT


async def test_outflow_that_has_left_the_window_is_forgotten(bench: Bench) -> None:
    async with running(bench, window_s=600, tick_s=60) as findings:
        await run_step(bench.anvil, bench.scenario, bench.scenario.steps[0])
        await bench.anvil.call("evm_increaseTime", 700)
        await bench.anvil.mine()
        await wait_for_head(bench, findings)
        await run_step(bench.anvil, bench.scenario, bench.scenario.steps[1])
        await wait_for_head(bench, findings)
    assert findings.found == [], "8.9 and 18.5 million in two windows are each below a tenth of what was there"


async def test_the_pool_is_watched_in_both_of_its_assets(bench: Bench) -> None:
    assets = [
        {"asset": asset, "decimals": 6, "price_micro_usd": 1_000_000, "max_outflow_bps": 500}
        for asset in (bench.scenario.asset, bench.scenario.receipt_asset)
    ]
    accounts = [bench.scenario.account(bench.scenario.dex)]
    async with running(bench, assets=assets, accounts=accounts) as findings:
        for step in bench.scenario.steps[:3]:
            await run_step(bench.anvil, bench.scenario, step)
        await findings.wait(1)
    dump = bench.scenario.steps[2]
    assert dump.kind is StepKind.DUMP
    assert findings.found[0].net_outflow == dump.loss
    assert findings.found[0].recipients == (bench.scenario.account(bench.scenario.attacker),)


async def test_a_poll_without_news_asks_for_the_head_alone(bench: Bench) -> None:
    async with open_proxy(bench.anvil) as proxy, open_chain(bench.chain_config(proxy.url)) as client:
        findings = Findings()
        watcher = OutflowWatcher(watcher_config(bench), client, findings.report, now_ms, findings.status)
        await watcher.poll()
        proxy.asked.clear()
        await watcher.poll()
    assert proxy.asked == ["eth_getBlockByNumber"]
