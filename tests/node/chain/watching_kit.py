"""A whole node that watches the bench's chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
from chain_kit import DEADLINE_S, Bench
from tocsin_node.app import Relay
from tocsin_node.clock import now_ms
from tocsin_node.demo.network import create_local_network

BACKFILL_BLOCKS = 2
"""As many as the first two bites take: a node that starts after them reads them again."""


def configure(folder: Path, bench: Bench, *members: str) -> Path:
    """A node that watches the lender on the bench's chain; returns its config file."""
    home = create_local_network(folder, members or ("alba",), now_ms())[0]
    with home.config_path.open("a") as config:
        config.write(
            f'\n[[chain]]\nchain = "{bench.anvil.chain}"\nendpoints = ["{bench.anvil.url}"]\n'
            f'\n[[watcher]]\nname = "outflow"\naccounts = ["{bench.scenario.account(bench.scenario.lender)}"]\n'
            f"poll_ms = 20\nbackfill_blocks = {BACKFILL_BLOCKS}\n"
            f'[[watcher.assets]]\nasset = "{bench.scenario.asset}"\ndecimals = 6\n'
            "price_micro_usd = 1000000\nmax_outflow_bps = 1000\n"
        )
    return home.config_path


async def wait_watcher(relay: Relay, is_right: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for what `status` says of the watcher; returns the whole status."""
    with trio.fail_after(DEADLINE_S):
        while True:
            status = await relay.operator.status({})
            if is_right(status["watchers"][0]):
                return status
            await trio.sleep(0.02)
