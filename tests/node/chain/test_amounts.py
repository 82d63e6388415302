"""Amounts of the manifest, read on a real chain through endpoints of which one may lie."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from chain_kit import DEADLINE_S, Bench, Proxy, open_proxy
from tocsin_node.chain.amounts import ReadAmounts, open_and_read, read_amounts
from tocsin_node.chain.client import open_chain
from tocsin_node.demo.anvil import Anvil
from tocsin_node.demo.scenario_chain import VAULT_DEPOSITS
from tocsin_node.exposure import Exposure, make_exposure
from tocsin_node.manifest_file import LoadedExposure, ManifestFile, read_manifest_file
from tocsin_node.relay import amounts as amounts_module
from tocsin_node.relay.amounts import Amounts
from tocsin_protocol.exposure.manifest import Amount, AmountSource

NOW_MS = 1_700_000_000_000
COINS = 3
DECLARED = Amount(5_000_000, 1_699_963_200_000, AmountSource.DECLARED)
WORTH = VAULT_DEPOSITS * 1_500_000 // 10**6
MANIFEST = """
protocol = "vault"
[[holding]]
name = "funds"
kind = "pool"
subjects = ["{vault}"]
amount = {{ usd = 5, read = 2023-11-14T12:00:00Z, balances = [
  {{ account = "{vault}", asset = "{token}", decimals = 6, usd_each = 1.5 }},
  {{ account = "{vault}", asset = "{chain}/slip44:60", decimals = 18, usd_each = 2_000 }},
] }}
[[dependency]]
holding = "funds"
link = "deposit"
subject = "{token}"
amount = {{ usd = 5, read = 2023-11-14T12:00:00Z, balances = [
  {{ account = "{vault}", asset = "{token}", decimals = 6, usd_each = 1.5 }},
] }}
"""


@pytest.fixture
async def file(bench: Bench, tmp_path: Path) -> ManifestFile:
    """The manifest of the vault, which has three coins beside what savers gave it."""
    scenario = bench.scenario
    await bench.anvil.call("anvil_setBalance", scenario.vault, hex(COINS * 10**18))
    names = {"vault": scenario.account(scenario.vault), "token": scenario.asset, "chain": scenario.chain}
    path = tmp_path / "manifest.toml"
    path.write_text(MANIFEST.format(**names))
    return read_manifest_file(path)


async def read(bench: Bench, file: ManifestFile, *urls: str) -> ReadAmounts:
    with trio.fail_after(DEADLINE_S):
        return await open_and_read([bench.chain_config(*urls)], file.readings, NOW_MS)


@asynccontextmanager
async def two_lying(anvil: Anvil, lie: Any, liars: int) -> AsyncIterator[list[Proxy]]:
    async with open_proxy(anvil) as first, open_proxy(anvil) as second:
        for proxy in (first, second)[:liars]:
            proxy.lie = lie
        yield [first, second]


def poor(method: str, result: Any) -> Any:
    return "0x" + "00" * 32 if method == "eth_call" else result


async def test_an_amount_is_the_sum_of_its_balances_at_the_operators_price(bench: Bench, file: ManifestFile) -> None:
    found = await read(bench, file)
    coins = COINS * 2_000_000_000
    assert found.amounts == {
        ("funds",): Amount(WORTH + coins, NOW_MS, AmountSource.CHAIN),
        ("funds", "deposit", bench.scenario.asset): Amount(WORTH, NOW_MS, AmountSource.CHAIN),
    }
    assert found.faults == {}


async def test_one_liar_of_three_endpoints_changes_no_amount(bench: Bench, file: ManifestFile) -> None:
    async with two_lying(bench.anvil, poor, 1) as proxies:
        found = await read(bench, file, bench.anvil.url, *(proxy.url for proxy in proxies))
    assert found.amounts[("funds",)].micro_usd == WORTH + COINS * 2_000_000_000


async def test_what_endpoints_disagree_about_is_not_read_and_said(bench: Bench, file: ManifestFile) -> None:
    async with open_proxy(bench.anvil) as proxy:
        proxy.lie = poor
        found = await read(bench, file, bench.anvil.url, proxy.url)
    assert found.amounts == {}
    assert "do not agree on the balance" in found.faults["funds"]


async def test_a_chain_that_is_not_configured_is_named(bench: Bench, file: ManifestFile) -> None:
    found = await open_and_read([], file.readings, NOW_MS)
    assert found.faults["funds"] == f"the node's configuration has no chain {bench.scenario.chain}"


class Rules:
    """Takes what the task finds."""

    def __init__(self) -> None:
        self.used: list[Exposure] = []
        self.wake = trio.Event()

    def use_exposure(self, exposure: Exposure) -> None:
        self.used.append(exposure)
        self.wake.set()


async def test_a_running_node_goes_by_what_is_there_now_and_by_the_last_it_knew(
    bench: Bench, file: ManifestFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amounts_module, "READ_EVERY_SECONDS", 0.01)
    rules, faults = Rules(), 0

    async def see(amount: int) -> None:
        with trio.fail_after(DEADLINE_S):
            while not rules.used or rules.used[-1].own.holdings[0].amount.micro_usd != amount:  # type: ignore[union-attr]
                rules.wake = trio.Event()
                await rules.wake.wait()

    loaded = LoadedExposure(make_exposure(file.manifest), (), file.readings, ())
    assert file.manifest.holdings[0].amount == DECLARED
    async with (
        open_proxy(bench.anvil) as proxy,
        open_chain(bench.chain_config(proxy.url)) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(Amounts(loaded, {bench.anvil.chain: client}, rules, lambda: NOW_MS).run_amounts)  # type: ignore[arg-type]
        await see(WORTH + COINS * 2_000_000_000)
        await bench.anvil.call("anvil_setBalance", bench.scenario.vault, "0x0")
        await see(WORTH)
        proxy.is_down = True
        faults = (await read_amounts({bench.anvil.chain: client}, file.readings, NOW_MS)).faults != {}
        seen = len(rules.used)
        proxy.is_down = False
        with trio.fail_after(DEADLINE_S):
            while len(rules.used) <= seen:
                rules.wake = trio.Event()
                await rules.wake.wait()
        nursery.cancel_scope.cancel()
    assert faults
    assert all(used.own.holdings[0].amount != DECLARED for used in rules.used)
