"""The Safes of these tests are real ones."""

from __future__ import annotations

import pytest
from contract_kit import deploy
from safe_kit import (
    DELEGATECALL,
    MAINNET,
    OWNER_KEYS,
    call_data,
    call_raw,
    create_safe,
    enable_guardian_module,
    place_safe_contracts,
    safe_tx_hash,
)
from tocsin_node.demo.anvil import Anvil


@pytest.mark.parametrize("version", MAINNET)
@pytest.mark.parametrize("singleton", ["Safe", "SafeL2"])
async def test_a_safe_executes_what_enough_owners_signed_and_nothing_else(
    anvil: Anvil, version: str, singleton: str
) -> None:
    safe = await create_safe(anvil, await place_safe_contracts(anvil, version, singleton=singleton), OWNER_KEYS[:3], 2)
    assert (await call_raw(anvil, safe.address, call_data("VERSION()")))[64:].rstrip(b"\0").decode() == version
    target = await deploy(anvil, "PausableTarget", safe.address, safe.address)
    pause = target.data("pause")
    named = await call_raw(
        anvil,
        safe.address,
        call_data(
            "getTransactionHash(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,uint256)",
            *(target.address, 0, pause, 0, 0, 0, 0, "0x" + "00" * 20, "0x" + "00" * 20, 0),
        ),
    )
    assert named == safe_tx_hash(safe.address, target.address, pause, 0)
    one_owner = type(safe)(anvil, version, safe.address, OWNER_KEYS[:1], 1)
    assert not (await one_owner.exec(target.address, pause)).is_success
    assert not await target.call("paused")
    assert (await safe.exec(target.address, pause)).is_success
    assert await target.call("paused")
    assert await safe.nonce() == 1


@pytest.mark.parametrize("version", MAINNET)
async def test_a_module_is_enabled_by_the_owners(anvil: Anvil, version: str) -> None:
    safe = await create_safe(anvil, await place_safe_contracts(anvil, version), OWNER_KEYS[:3], 2)
    module = await enable_guardian_module(safe)
    enabled = await call_raw(anvil, safe.address, call_data("isModuleEnabled(address)", module.address))
    assert int.from_bytes(enabled) == 1
    assert await module.call("safe") == safe.address
    assert not (await safe.exec(module.address, b"", operation=DELEGATECALL)).is_success
