from __future__ import annotations

import os
from pathlib import Path

import pytest
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.errors import ChainConfigError
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.key_lock import hold_key
from tocsin_node.errors import ConfigError
from tocsin_node.hooks.build import open_hooks
from tocsin_node.hooks.config import EvmHookConfig

GUARDIAN = "0x" + "ab" * 20


def test_a_key_is_held_by_one_and_free_again_after_him(tmp_path: Path) -> None:
    with hold_key(tmp_path, 1, GUARDIAN):
        said = f"{GUARDIAN} on eip155:1 is in use by process {os.getpid()}"
        with pytest.raises(ChainConfigError, match=said), hold_key(tmp_path, 1, GUARDIAN):
            pass
        with hold_key(tmp_path, 10, GUARDIAN), hold_key(tmp_path, 1, "0x" + "cd" * 20):
            pass
    with hold_key(tmp_path, 1, GUARDIAN):
        pass


def test_the_lock_is_for_the_owner_alone(tmp_path: Path) -> None:
    with hold_key(tmp_path / "data", 1, GUARDIAN):
        (lock,) = (tmp_path / "data").iterdir()
        assert lock.stat().st_mode & 0o077 == 0


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ChainConfigError, match="cannot be used as a lock"), hold_key(tmp_path / "file", 1, GUARDIAN):
        pass


async def test_hooks_are_not_opened_beside_another_process_with_the_key(tmp_path: Path) -> None:
    hook = EvmHookConfig(kind="evm", name="pause", target=f"eip155:1:{GUARDIAN}")
    chain = ChainConfig(chain="eip155:1", endpoints=["http://127.0.0.1:9"])
    key = b"\1" * 32
    with hold_key(tmp_path, 1, Guardian(key).address):
        with pytest.raises(ConfigError, match="one process for each key and chain is wanted"):
            async with open_hooks([hook], [chain], key, tmp_path / "node.toml", tmp_path):
                pass
        async with open_hooks([], [chain], key, tmp_path / "node.toml", tmp_path):
            pass  # a node that only watches the chain sends nothing
