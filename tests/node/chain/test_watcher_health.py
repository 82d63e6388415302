"""A node whose watcher is shown old blocks only says so, although every poll is answered."""

from __future__ import annotations

from pathlib import Path

import trio
from chain_kit import DEADLINE_S, open_bench
from tocsin_node.app import Relay, open_relay
from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.demo.anvil import open_anvil
from tocsin_node.relay.operator import MAX_HEAD_AGE_MS
from watching_kit import configure


async def wait_reasons(relay: Relay, *, about: str) -> None:
    with trio.fail_after(DEADLINE_S):
        while True:
            reasons = (await relay.operator.health({}))["reasons"]
            if any(about in reason for reason in reasons) if about else not reasons:
                return
            await trio.sleep(0.02)


async def test_health_says_that_the_newest_block_is_old(tmp_path: Path) -> None:
    long_ago_s = (now_ms() - 2 * MAX_HEAD_AGE_MS) // 1_000
    async with open_anvil("--timestamp", str(long_ago_s)) as anvil:
        bench = await open_bench(anvil)
        async with open_relay(load_config(configure(tmp_path, bench))) as relay:
            await wait_reasons(relay, about="watcher outflow: the newest block of 127.0.0.1:")
            await anvil.call("evm_setNextBlockTimestamp", now_ms() // 1_000)
            await anvil.mine()
            await wait_reasons(relay, about="")
