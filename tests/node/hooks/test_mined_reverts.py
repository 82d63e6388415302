"""A call that was good when it was sent, and came too late: another transaction was first in the same block."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from chain_kit import MemoryJournal
from hook_kit import GUARDIAN_KEY, Stage, stage_owners, wait_for
from safe_kit import MAINNET, Safe, exec_calldata
from tocsin_node.demo.anvil import Anvil
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event, State

DEAR_WEI = 10**13
IN_EFFECT = "already in effect, by another's call: the transaction was mined and reverted"


async def overtake(stage: Stage, sender: str, to: str, data: bytes) -> Action:
    """Have another transaction mined in one block with ours, and before it."""
    journal, anvil = MemoryJournal(), stage.anvil
    action = await stage.intend(journal)
    await anvil.call("evm_setAutomine", False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.run, journal, action)
        await wait_for(lambda: Event.SEND in journal.events)
        dear = {"maxFeePerGas": hex(DEAR_WEI), "maxPriorityFeePerGas": hex(DEAR_WEI), "gas": hex(500_000)}
        await anvil.call("eth_sendTransaction", {"from": sender, "to": to, "data": "0x" + data.hex()} | dear)
        while not journal.actions[action.action_id].is_settled:
            await anvil.mine()
            await trio.sleep(0.05)
    done = journal.actions[action.action_id]
    receipt = await anvil.call("eth_getTransactionReceipt", "0x" + done.transactions[0].hash.hex())
    assert receipt["status"] == "0x0", "ours was mined, and reverted"
    return done


async def owner_executes(anvil: Anvil, stage: Stage, version: str, to: str, data: bytes) -> Action:
    """Have an owner execute a transaction of the Safe by hand, before ours gets there."""
    safe = Safe(anvil, version, stage.config.safe, (GUARDIAN_KEY,), 1)  # type: ignore[union-attr]
    calldata = exec_calldata(to, data, safe.sign((GUARDIAN_KEY,), to, data, await safe.nonce()))
    return await overtake(stage, anvil.accounts[5], safe.address, calldata)


@pytest.mark.parametrize("version", MAINNET)
async def test_owners_who_did_the_same_by_hand_leave_an_action_in_effect(
    anvil: Anvil, tmp_path: Path, version: str
) -> None:
    stage = await stage_owners(version, anvil, GUARDIAN_KEY, tmp_path)
    done = await owner_executes(anvil, stage, version, stage.contract.address, stage.contract.data("pause"))
    assert done.state is State.EFFECTIVE
    assert done.reason.startswith(f"{IN_EFFECT}: it reverts with GS026: a signature is not by an owner")
    assert await stage.count() == 1


async def test_a_safe_that_did_something_else_first_leaves_an_action_reverted(anvil: Anvil, tmp_path: Path) -> None:
    stage = await stage_owners("1.5.0", anvil, GUARDIAN_KEY, tmp_path)
    done = await owner_executes(anvil, stage, "1.5.0", anvil.accounts[5], b"")
    assert done.state is State.REVERTED
    assert "mined and reverted: it reverts with GS026: a signature is not by an owner" in done.reason
    assert await stage.count() == 0


async def test_without_a_check_a_mined_revert_is_one(anvil: Anvil, tmp_path: Path) -> None:
    stage = await stage_owners("1.5.0", anvil, GUARDIAN_KEY, tmp_path)
    blind = stage.changed(preset=None, function="pause()", check="")
    done = await owner_executes(anvil, blind, "1.5.0", stage.contract.address, stage.contract.data("pause"))
    assert done.state is State.REVERTED
    assert await stage.count() == 1
