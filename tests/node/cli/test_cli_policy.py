"""`tocsin policy`: with a node and without one, for people and for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tocsin_node.keystore import LEAST_COST
from tocsin_node.setup_node import NodeHome, NodePlan, create_node_home

DEPLOY = Path(__file__).parents[3] / "deploy"
HOOKS = """
[[hook]]
kind = "webhook"
name = "page"
target = "on-call"
url = "http://127.0.0.1:9/hook"
secret_file = "webhook.secret"
[[hook]]
kind = "webhook"
name = "freeze"
target = "robot"
url = "http://127.0.0.1:9/hook"
secret_file = "webhook.secret"
"""
MANIFEST = f"""
protocol = "dex"
[[holding]]
name = "usdc"
kind = "market"
subjects = ["eip155:1:0x{"11" * 20}"]
amount = {{ usd = 1_000_000, read = 2023-11-14T12:00:00Z }}
"""
POLICY = """
[pins]
lender = { min = 2.5, max = 3.9 }
[[limit]]
scope = "usdc"
mal_usd = 100_000
drain_usd_per_s = 1_000
latency_s = 48
[[lever]]
hook = "page"
tier = "notify"
scopes = ["*"]
[[lever]]
hook = "freeze"
tier = "freeze"
scopes = ["usdc"]
effectiveness_percent = 90
cost_usd = 10_000
minutes = 45
"""


@pytest.fixture
def home(tmp_path: Path) -> NodeHome:
    """A node that was never started and has no roster yet."""
    plan = NodePlan("dex", "Dex", listen=("/ip4/192.0.2.1/tcp/9400",))
    given = {"extra_config": HOOKS, "policy": POLICY, "manifest": MANIFEST}
    return create_node_home(tmp_path / "dex", plan, 10**12, cost=LEAST_COST, **given)


def test_policy_of_a_node_is_checked_against_what_is_around_it(tocsin: Any, lines: Any, home: NodeHome) -> None:
    result = tocsin("policy", "check", "--home", home.directory)
    assert result.exit_code == 0
    assert "2 levers, 1 limit, 1 pin" in result.stdout
    assert "nothing keeps it from being armed" in result.stdout
    assert "names of members were not checked" in result.stdout
    (checked,) = lines(tocsin("policy", "check", "--home", home.directory, "--json"))
    assert checked["checked_against"] == {"hooks": True, "holdings": True, "members": False}
    assert (checked["warnings"], checked["faults"]) == ([], [])
    assert len(checked["hash"]) == 64


def test_fault_exits_with_78_and_names_file_line_and_key(tocsin: Any, home: NodeHome) -> None:
    home.policy_path.write_text(POLICY.replace('hook = "freeze"', 'hook = "freezer"'))
    result = tocsin("policy", "check", "--home", home.directory)
    assert result.exit_code == 78
    assert f"{home.policy_path}:14: lever[1].hook = 'freezer': is no hook of node.toml: did you mean" in result.stderr
    assert result.stdout == ""


def test_warnings_and_what_keeps_it_from_being_armed_are_listed(tocsin: Any, lines: Any, home: NodeHome) -> None:
    text = POLICY.replace("latency_s = 48", "latency_s = 480").replace("lender = { min = 2.5, max = 3.9 }", "")
    home.policy_path.write_text(text)
    result = tocsin("policy", "check", "--home", home.directory)
    assert result.exit_code == 0
    assert "! nobody is pinned" in result.stdout
    assert "may not be armed: the limit of usdc cannot be kept (feasibility 0.21)" in result.stdout
    (checked,) = lines(tocsin("policy", "check", "--home", home.directory, "--json"))
    assert len(checked["warnings"]) == len(checked["faults"]) == 1


def test_strict_check_fails_on_anything_to_note(tocsin: Any, home: NodeHome) -> None:
    assert tocsin("policy", "check", "--strict", "--home", home.directory).exit_code == 0
    home.policy_path.write_text(POLICY.replace("lender = { min = 2.5, max = 3.9 }", ""))
    assert tocsin("policy", "check", "--strict", "--home", home.directory).exit_code == 1


def test_file_is_checked_without_a_node(tocsin: Any, lines: Any, tmp_path: Path) -> None:
    nowhere = ("--home", tmp_path / "nowhere")
    result = tocsin("policy", "check", DEPLOY / "policy.example.toml", *nowhere)
    assert result.exit_code == 0
    assert "names of hooks and holdings and members were not checked" in result.stdout
    manifest = ("--manifest", DEPLOY / "manifest.example.toml")
    (checked,) = lines(tocsin("policy", "check", DEPLOY / "policy.example.toml", *manifest, *nowhere, "--json"))
    assert checked["checked_against"] == {"hooks": False, "holdings": True, "members": False}


@pytest.mark.parametrize("command", ["check", "show"])
def test_missing_and_broken_files_exit_with_78(tocsin: Any, tmp_path: Path, command: str) -> None:
    nowhere = ("--home", tmp_path / "nowhere")
    assert tocsin("policy", command, *nowhere).exit_code == 78
    assert tocsin("policy", command, tmp_path / "policy.toml", *nowhere).exit_code == 78
    (tmp_path / "policy.toml").write_text("version = \n")
    result = tocsin("policy", command, tmp_path / "policy.toml", *nowhere)
    assert result.exit_code == 78
    assert "policy.toml:1: is not TOML" in result.stderr


def test_file_is_checked_against_the_node_that_is_there(tocsin: Any, tmp_path: Path, home: NodeHome) -> None:
    other = tmp_path / "other.toml"
    other.write_text(POLICY.replace('scopes = ["usdc"]', 'scopes = ["usdt"]'))
    result = tocsin("policy", "check", other, "--home", home.directory)
    assert result.exit_code == 78
    assert "other.toml:16: lever[1].scopes[0] = 'usdt': is no holding of our manifest: did you mean" in result.stderr


def test_members_of_the_roster_are_known_once_there_is_one(
    tocsin: Any, lines: Any, home: NodeHome, make_homes: Callable[..., list[NodeHome]], tmp_path: Path
) -> None:
    (lendre,) = make_homes("lendre")
    genesis = tmp_path / "genesis.roster"
    (made,) = lines(tocsin("roster", "create", home.entry_path, lendre.entry_path, "--out", genesis, "--json"))
    assert tocsin("roster", "pin", genesis, "--hash", made["hash"], "--home", home.directory).exit_code == 0
    (checked,) = lines(tocsin("policy", "check", "--home", home.directory, "--json"))
    assert checked["checked_against"]["members"] is True
    typo, too_few = checked["warnings"]
    assert "pins.lender: the roster has no such member: did you mean 'lendre'?" in typo
    assert "to freeze takes 2 foreign groups, and the roster has 1 other member" in too_few


def test_policy_is_shown_to_people(tocsin: Any, home: NodeHome) -> None:
    result = tocsin("policy", "show", "--home", home.directory)
    assert result.exit_code == 0
    for text in ("freeze above 1.1 %", "$10,000", "12 to 1", "49 to 1", "2.08", "2 foreign groups", "60 min of levers"):
        assert text in result.stdout


def test_policy_is_shown_to_programs(tocsin: Any, lines: Any, home: NodeHome) -> None:
    (shown,) = lines(tocsin("policy", "show", "--home", home.directory, "--json"))
    assert [lever["hook"] for lever in shown["levers"]] == ["page", "freeze"]
    assert shown["worth"][0]["from_belief"]["freeze"] == pytest.approx(10_000 / (10_000 + 0.9 * 1_000_000))
    assert shown["limits"][0]["feasibility"] == pytest.approx(100_000 / 48_000)
    assert shown["pins"] == {"lender": {"min": 2.5, "max": 3.9}}
    assert list(shown["opens"]) == ["notify", "tighten", "freeze", "pause"]


def test_policy_without_a_manifest_is_shown_as_far_as_it_goes(tocsin: Any, tmp_path: Path) -> None:
    result = tocsin("policy", "show", DEPLOY / "policy.example.toml", "--home", tmp_path)
    assert result.exit_code == 0
    assert "pause-vault" in result.stdout
    assert "Worth using" not in result.stdout


def test_node_without_a_policy_file_has_the_built_in_one(tocsin: Any, home: NodeHome) -> None:
    home.config_path.write_text(home.config_path.read_text().replace('[policy]\nfile = "policy.toml"', ""))
    result = tocsin("policy", "show", "--home", home.directory)
    assert result.exit_code == 0
    assert "the built-in policy" in result.stdout
    assert "never acts" in result.stdout
