from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.errors import CapReached, ChainConfigError
from tocsin_node.chain.fees import bump_fees, first_fees
from tocsin_node.chain.guardian import Fees, Guardian
from tocsin_node.chain.rpc import MAX_COUNT
from tocsin_node.detect.config import OutflowWatcherConfig
from tocsin_node.errors import ConfigError
from tocsin_node.hooks.build import open_hooks
from tocsin_node.hooks.config import HookConfig
from tocsin_node.hooks.pursuit import sign_detail
from tocsin_protocol.encoding import MAX_UINT, encode_canonical

POOL = "eip155:1:0x" + "ab" * 20
EVM: dict[str, Any] = {"kind": "evm", "name": "pause-pool", "target": POOL}
WEBHOOK: dict[str, Any] = {
    "kind": "webhook",
    "name": "pager",
    "target": "pool",
    "url": "https://ops.example/tocsin",
    "secret_file": "s",
}
CHAIN: dict[str, Any] = {"chain": "eip155:1", "endpoints": ["https://rpc.example"]}
ASSET: dict[str, Any] = {"asset": "eip155:1/erc20:0x" + "cd" * 20, "decimals": 6, "price_micro_usd": 1_000_000}
WATCHER: dict[str, Any] = {"name": "pool-outflow", "accounts": [POOL], "assets": [ASSET]}

hooks: TypeAdapter[HookConfig] = TypeAdapter(HookConfig)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"chain": "eip155:01"}, "chain"),
        ({"chain": "solana:mainnet"}, "chain"),
        ({"chain": "mainnet"}, "chain"),
        ({"endpoints": []}, "endpoints"),
        ({"endpoints": ["ws://rpc.example"]}, "endpoints"),
        ({"endpoints": ["https://a", "https://a"]}, "endpoints"),
        ({"confirmations": 0}, "confirmations"),
        ({"confirmations": "1"}, "confirmations"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_chain_is_refused_by_its_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        ChainConfig(**(CHAIN | changes))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"name": "Pause Pool"}, "name"),
        ({"target": "eip155:1:0x" + "AB" * 20}, "target"),
        ({"target": "solana:mainnet:abc"}, "target"),
        ({"function": "pause"}, "pause"),
        ({"function": "freeze(address)"}, "arguments"),
        ({"function": "freeze(address)", "arguments": ["0x12"]}, "freeze"),
        ({"check": "paused()(uint256)"}, "check"),
        ({"check": "paused(address)(bool)"}, "check"),
        ({"kind": "safe"}, "kind"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_bad_evm_hook_is_refused_by_its_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        hooks.validate_python(EVM | changes)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"url": "ftp://ops.example"}, "url"),
        ({"url": "http://ops.example"}, "this machine only"),
        ({"url": "https://"}, "url"),
        ({"target": "Not A Name"}, "target"),
        ({"max_attempts": 0}, "max_attempts"),
    ],
)
def test_a_bad_webhook_is_refused_by_its_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        hooks.validate_python(WEBHOOK | changes)


def test_plain_http_is_for_loopback() -> None:
    for host in ("127.0.0.1", "localhost", "[::1]"):
        hooks.validate_python(WEBHOOK | {"url": f"http://{host}:8080/"})


def test_no_check_is_said_with_an_empty_text() -> None:
    hook = hooks.validate_python(EVM | {"check": ""})
    assert hook.kind == "evm"
    assert hook.check is None


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"accounts": []}, "accounts"),
        ({"accounts": [POOL, POOL]}, "account is named twice"),
        ({"assets": [ASSET, ASSET]}, "asset is named twice"),
        ({"assets": [ASSET | {"asset": "eip155:1/slip44:60"}]}, "ERC-20"),
        ({"assets": [ASSET | {"asset": "eip155:5/erc20:0x" + "cd" * 20}]}, "chains"),
        ({"assets": [ASSET | {"decimals": -1}]}, "decimals"),
        ({"window_s": 7 * 86_400, "tick_s": 1}, "window_s"),
    ],
)
def test_a_bad_watcher_is_refused_by_its_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        OutflowWatcherConfig(**(WATCHER | changes))


def test_a_minimum_in_whole_tokens_becomes_the_smallest_unit() -> None:
    config = OutflowWatcherConfig(**(WATCHER | {"assets": [ASSET | {"min_outflow": 3}]}))
    assert config.limiter_params(config.assets[0]).min_outflow == 3_000_000
    assert config.chain == "eip155:1"


async def test_hooks_that_do_not_fit_together_name_the_key(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    evm, chain = hooks.validate_python(EVM), ChainConfig(**CHAIN)
    cases = [
        ([evm, evm], [chain], "each name once"),
        ([evm], [], "hooks.pause-pool.target"),
        ([evm], [chain, chain], "each chain once"),
        ([hooks.validate_python(WEBHOOK)], [], "cannot be read"),
    ]
    for configured, chains, message in cases:
        with pytest.raises(ConfigError, match=message):
            async with open_hooks(configured, chains, b"\1" * 32, file):
                pass


async def test_hooks_are_opened_by_name(tmp_path: Path) -> None:
    secret = tmp_path / "s"
    secret.write_text("whsec_" + "QUJD" * 11)
    secret.chmod(0o600)
    configured = [hooks.validate_python(item) for item in (EVM, WEBHOOK)]
    async with open_hooks(configured, [ChainConfig(**CHAIN)], b"\1" * 32, tmp_path / "node.toml") as levers:
        assert {name: hook.target for name, hook in levers.hooks.items()} == {"pause-pool": POOL, "pager": "pool"}
        assert set(levers.clients) == {"eip155:1"}


def test_first_fees_leave_room_for_full_blocks_and_keep_the_cap() -> None:
    assert first_fees(10, 3, min_tip_wei=2, max_fee_wei=1_000) == Fees(23, 3)
    assert first_fees(10, 0, min_tip_wei=2, max_fee_wei=1_000) == Fees(22, 2)
    assert first_fees(10_000, 3, min_tip_wei=2, max_fee_wei=1_000) == Fees(1_000, 3)


def test_a_bump_raises_both_caps_by_an_eighth_or_is_none() -> None:
    assert bump_fees(Fees(1_000, 100), 0, max_fee_wei=10_000) == Fees(1_125, 113)
    assert bump_fees(Fees(1_000, 100), 3_000, max_fee_wei=10_000) == Fees(6_113, 113)
    with pytest.raises(CapReached, match="max_fee_wei 1124"):
        bump_fees(Fees(1_000, 100), 3_000, max_fee_wei=1_124)


def test_a_guardian_never_shows_its_key() -> None:
    guardian = Guardian(b"\7" * 32)
    assert "07" * 8 not in repr(guardian)
    assert repr(guardian) == f"Guardian({guardian.address})"
    for key in (b"", b"\0" * 32, b"\xff" * 32, b"\1" * 33):
        with pytest.raises(ChainConfigError, match="guardian key") as caught:
            Guardian(key)
        assert key.hex() not in str(caught.value) or not key


def test_the_chain_libraries_leave_the_recursion_limit_alone() -> None:
    check = "import sys; before = sys.getrecursionlimit(); import tocsin_node.chain.sender; "
    check += "sys.exit(sys.getrecursionlimit() != before)"
    assert subprocess.run([sys.executable, "-c", check], check=False, timeout=120).returncode == 0


def test_the_largest_fee_that_may_be_configured_can_be_written_down() -> None:
    config = ChainConfig(**CHAIN, max_fee_wei=MAX_UINT)
    first = first_fees(10**40, 10**40, min_tip_wei=config.min_priority_fee_wei, max_fee_wei=config.max_fee_wei)
    signed = Guardian(b"\1" * 32).sign(
        chain_id=1, nonce=MAX_COUNT + 8, to="0x" + "ab" * 20, calldata=b"", gas_limit=config.gas_limit, fees=first
    )
    encode_canonical(sign_detail(signed))
    low = Fees(MAX_UINT // 2, 1)
    bump = bump_fees(low, 10**40, max_fee_wei=config.max_fee_wei)
    assert bump.max_fee_wei <= MAX_UINT
    with pytest.raises(CapReached):
        bump_fees(first, 0, max_fee_wei=config.max_fee_wei)
    with pytest.raises(ValidationError, match="max_fee_wei"):
        ChainConfig(**CHAIN, max_fee_wei=MAX_UINT + 1)
