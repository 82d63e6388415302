"""The lock of a guardian's key: one process of a user for each chain and key, wherever its data directory lies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.errors import ChainConfigError
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.key_lock import hold_key, lock_folder
from tocsin_node.errors import ConfigError
from tocsin_node.hooks.build import open_hooks
from tocsin_node.hooks.config import EvmHookConfig

GUARDIAN = "0x" + "ab" * 20
HOLD = f"from tocsin_node.chain.key_lock import hold_key\nwith hold_key(1, {GUARDIAN!r}):\n    pass"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


def test_a_key_is_held_by_one_and_free_again_after_him() -> None:
    with hold_key(1, GUARDIAN):
        said = f"{GUARDIAN} on eip155:1 is in use by process {os.getpid()}"
        for spelling in (GUARDIAN, GUARDIAN.upper().replace("0X", "0x")):
            with pytest.raises(ChainConfigError, match="is in use by process"), hold_key(1, spelling):
                pass
        with pytest.raises(ChainConfigError, match=said), hold_key(1, GUARDIAN):
            pass
        with hold_key(10, GUARDIAN), hold_key(1, "0x" + "cd" * 20):
            pass
    with hold_key(1, GUARDIAN):
        pass


def test_another_process_of_the_user_does_not_get_it() -> None:
    command = [sys.executable, "-c", HOLD]
    with hold_key(1, GUARDIAN):
        other = subprocess.run(command, capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert f"is in use by process {os.getpid()}" in other.stderr
    assert subprocess.run(command, check=False).returncode == 0


def test_the_lock_is_for_the_owner_alone(state: Path) -> None:
    with hold_key(1, GUARDIAN):
        (lock,) = (state / "tocsin").iterdir()
        assert lock.stat().st_mode & 0o077 == 0
        assert lock.parent.stat().st_mode & 0o077 == 0


def test_where_no_folder_is_named_it_is_in_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert lock_folder() == tmp_path / ".local" / "state" / "tocsin"


def test_a_folder_that_is_none_is_named(state: Path) -> None:
    state.write_text("")
    with pytest.raises(ChainConfigError, match=r"cannot be used as a lock .*XDG_STATE_HOME"), hold_key(1, GUARDIAN):
        pass


def test_a_folder_that_others_may_write_to_is_refused(state: Path) -> None:
    (state / "tocsin").mkdir(parents=True)
    (state / "tocsin").chmod(0o777)
    with pytest.raises(ChainConfigError, match="which only he can write to, is wanted"), hold_key(1, GUARDIAN):
        pass


async def test_hooks_are_not_opened_beside_another_process_with_the_key(tmp_path: Path) -> None:
    hook = EvmHookConfig(kind="evm", name="pause", target=f"eip155:1:{GUARDIAN}")
    chain = ChainConfig(chain="eip155:1", endpoints=["http://127.0.0.1:9"])
    key = b"\1" * 32
    with hold_key(1, Guardian(key).address):
        with pytest.raises(ConfigError, match="one process for each key and chain is wanted"):
            async with open_hooks([hook], [chain], key, tmp_path / "node.toml"):
                pass
        async with open_hooks([], [chain], key, tmp_path / "node.toml"):
            pass  # a node that only watches the chain sends nothing
