"""The command line itself: quick help, exit codes, errors in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HEAVY = (
    "trio",
    "libp2p",
    "web3",
    "eth_account",
    "eth_abi",
    "fastapi",
    "uvicorn",
    "pydantic",
    "rich",
    "sqlite3",
    "httpx",
)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from tocsin_node.cli import cli;"
        "result = CliRunner().invoke(cli, ['--help']); assert result.exit_code == 0, result.output;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_lists_all_commands_and_exit_codes(tocsin: Any) -> None:
    result = tocsin("--help")
    assert result.exit_code == 0
    for word in ("policy", "manifest", "coverage"):
        assert word in result.stdout
    for word in ("init", "roster", "run", "serve", "up", "publish", "drill", "explain", "actions", "arm", "demo", "78"):
        assert word in result.stdout


@pytest.mark.parametrize(
    "command",
    [
        "init", "run", "serve", "up", "status", "publish", "drill", "signals", "incidents", "explain", "actions", "arm",
        "disarm", "resume", "roster", "roster create", "roster pin", "roster show", "roster propose add",
        "roster propose remove", "roster propose rotate", "roster propose revoke", "roster sign", "roster verify",
        "roster apply", "policy check", "policy show", "manifest check", "manifest show", "manifest sign",
        "manifest import", "manifest list", "coverage", "approve", "approve list",
        "approve show", "approve export", "approve sign", "approve import", "approve decline", "approve confirm-time",
        "approve new-key", "recover", "recover plan", "recover approve", "recover opened", "recover claims",
        "ledger", "ledger show", "ledger confirm", "ledger lifted", "ledger settle",
        "log", "log key", "log fsck", "log verify", "log prove", "log entry", "log export",
        "feed", "feed key", "feed key add", "feed key list", "feed key revoke", "feed hook", "feed hook add",
        "feed hook list", "feed hook remove", "feed hook resume", "feed hook dead",
    ],
)  # fmt: skip
def test_every_command_explains_itself(tocsin: Any, command: str) -> None:
    result = tocsin(*command.split(), "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def test_unknown_command_is_wrong_usage(tocsin: Any) -> None:
    assert tocsin("dance").exit_code == 2


def test_version_is_told(tocsin: Any) -> None:
    assert tocsin("--version").stdout.startswith("tocsin ")


def test_home_without_a_node_says_what_to_do(tocsin: Any, tmp_path: Path) -> None:
    result = tocsin("status", "--home", tmp_path)
    assert result.exit_code == 78
    assert "make a node with tocsin init" in result.stderr
    assert result.stdout == ""


def test_errors_are_json_where_json_is_wanted(tocsin: Any, tmp_path: Path) -> None:
    result = tocsin("status", "--json", "--home", tmp_path)
    assert result.exit_code == 78
    assert json.loads(result.stderr)["error"]["code"] == "config"
    assert result.stdout == ""


def test_command_is_also_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tocsin_node.cli", "run", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "node.toml: is not there" in done.stderr
