"""The demo's contracts, their committed artifacts, and the drain they allow."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from chain_kit import GUARDIAN_KEYS, Bench
from tocsin_node.chain.abi import encode_call, parse_function
from tocsin_node.chain.guardian import Guardian
from tocsin_node.demo.anvil import PATH_VARIABLE, Anvil, AnvilError, find_anvil, open_anvil
from tocsin_node.demo.contracts import NAMES, load_artifact
from tocsin_node.demo.scenario_chain import (
    BITES,
    LENDER_DEPOSITS,
    UNIT,
    StepKind,
    is_paused,
    read_holdings,
    run_step,
    unpause,
)

CONTRACTS = Path(__file__).resolve().parents[3] / "deploy" / "contracts"


def test_committed_artifacts_are_what_the_sources_compile_to() -> None:
    node = shutil.which("node")
    assert node is not None, "node is not installed: run `make set-up`"
    assert (CONTRACTS / "node_modules").is_dir(), "the compiler is not installed: run `make set-up`"
    done = subprocess.run(
        [node, "build.mjs", "--check"], cwd=CONTRACTS, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_artifact_can_be_loaded_and_no_other() -> None:
    for name in NAMES:
        artifact = load_artifact(name)
        assert artifact.compiler.startswith("0.8.37")
        assert artifact.bytecode
        assert json.loads(artifact.abi_json)
    with pytest.raises(KeyError):
        load_artifact("Proxy")


async def test_left_alone_the_drain_takes_what_it_took_in_2023(bench: Bench) -> None:
    before = await read_holdings(bench.anvil, bench.scenario)
    for step in bench.scenario.steps:
        held = await read_holdings(bench.anvil, bench.scenario)
        assert (await run_step(bench.anvil, bench.scenario, step)).is_success
        after = await read_holdings(bench.anvil, bench.scenario)
        lost = (held.lender - after.lender) if step.kind is StepKind.DRAIN else (held.dex - after.dex)
        assert lost == step.loss
    after = await read_holdings(bench.anvil, bench.scenario)
    assert before.lender - after.lender == sum(BITES) * UNIT == 197_100_000 * UNIT
    assert 5_069_000 * UNIT < before.dex - after.dex < 5_069_100 * UNIT
    assert after.vault == before.vault


async def test_a_pause_stops_the_drain_and_the_pool_is_stopped_by_its_own(bench: Bench) -> None:
    guardian = Guardian(GUARDIAN_KEYS[0]).address
    await bench.anvil.call("anvil_impersonateAccount", guardian)
    await run_step(bench.anvil, bench.scenario, bench.scenario.steps[0])
    paused = await bench.anvil.send(guardian, bench.scenario.lender, encode_call(parse_function("pause()")))
    assert paused.is_success
    kept = await read_holdings(bench.anvil, bench.scenario)
    for step in bench.scenario.steps[1:]:
        assert not (await run_step(bench.anvil, bench.scenario, step)).is_success
    assert await read_holdings(bench.anvil, bench.scenario) == kept
    assert await is_paused(bench.anvil, bench.scenario.lender)
    assert not await is_paused(bench.anvil, bench.scenario.dex)


async def test_a_guardian_can_pause_and_nothing_else(bench: Bench) -> None:
    guardian = Guardian(GUARDIAN_KEYS[1]).address
    await bench.anvil.call("anvil_impersonateAccount", guardian)
    for signature, arguments in (
        ("unpause()", []),
        ("setGuardian(address)", [guardian]),
        ("transferOwnership(address)", [guardian]),
    ):
        calldata = encode_call(parse_function(signature), arguments)
        assert not (await bench.anvil.send(guardian, bench.scenario.dex, calldata)).is_success, signature
    pause = encode_call(parse_function("pause()"))
    for address in (bench.scenario.lender, bench.scenario.vault):
        assert not (await bench.anvil.send(guardian, address, pause)).is_success, "another protocol's guardian"
    assert (await bench.anvil.send(guardian, bench.scenario.dex, pause)).is_success
    await unpause(bench.anvil, bench.scenario, bench.scenario.dex)
    assert not await is_paused(bench.anvil, bench.scenario.dex)


async def test_the_owner_alone_opens_the_lender_in_stages_each_with_its_room(bench: Bench) -> None:
    owner, saver, lender = bench.scenario.owner, bench.anvil.accounts[1], bench.scenario.lender

    async def send(sender: str, to: str, signature: str, *arguments: str | int) -> bool:
        data = encode_call(parse_function(signature), list(arguments))
        return (await bench.anvil.send(sender, to, data)).is_success

    assert not await send(saver, lender, "openTo(uint8)", 2)
    assert not await send(owner, lender, "openTo(uint8)", 1)
    assert not await send(owner, lender, "openTo(uint8)", 7)
    assert await send(owner, bench.scenario.token, "mint(address,uint256)", saver, LENDER_DEPOSITS)
    assert await send(saver, bench.scenario.token, "approve(address,uint256)", lender, LENDER_DEPOSITS)
    assert await send(owner, lender, "openTo(uint8)", 2)
    assert not await send(saver, lender, "deposit(uint256)", 1)
    assert await send(saver, lender, "withdraw(uint256)", UNIT)
    assert await send(owner, lender, "openTo(uint8)", 3)
    room = (LENDER_DEPOSITS - UNIT) // 100
    assert not await send(saver, lender, "deposit(uint256)", room + 1)
    assert await send(saver, lender, "deposit(uint256)", room)
    assert not await send(saver, lender, "deposit(uint256)", 1)
    assert await send(owner, lender, "openTo(uint8)", 6)
    assert await send(saver, lender, "deposit(uint256)", room)


async def test_without_the_flaw_the_drain_takes_nothing(bench: Bench) -> None:
    stop = encode_call(parse_function("stopDonations()"))
    assert not (await bench.anvil.send(bench.scenario.thief, bench.scenario.lender, stop)).is_success
    assert (await bench.anvil.send(bench.scenario.owner, bench.scenario.lender, stop)).is_success
    before = await read_holdings(bench.anvil, bench.scenario)
    assert not (await run_step(bench.anvil, bench.scenario, bench.scenario.steps[0])).is_success
    assert await read_holdings(bench.anvil, bench.scenario) == before


async def test_a_snapshot_brings_the_same_drain_back(bench: Bench) -> None:
    before = await bench.anvil.snapshot()
    held = await read_holdings(bench.anvil, bench.scenario)
    await run_step(bench.anvil, bench.scenario, bench.scenario.steps[0])
    await bench.anvil.restore(before)
    assert await read_holdings(bench.anvil, bench.scenario) == held
    with pytest.raises(AnvilError, match="cannot be restored"):
        await bench.anvil.restore(before)


async def test_two_anvils_run_side_by_side(anvil: Anvil) -> None:
    async with open_anvil() as other:
        await other.mine(3)
        assert anvil.url != other.url
        assert await anvil.call("eth_blockNumber") == "0x0"


def test_an_anvil_that_is_not_there_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(PATH_VARIABLE, str(tmp_path / "anvil"))
    with pytest.raises(AnvilError, match="is not a file"):
        find_anvil()
