"""`tocsin coverage`: the matrix, the gaps, and what is known of a node that does not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tocsin_node.cli import coverage as command
from tocsin_node.errors import NodeUnreachable
from tocsin_node.keystore import LEAST_COST
from tocsin_node.setup_node import NodeHome, NodePlan, create_node_home

HOOKS = "".join(
    f'[[hook]]\nkind = "webhook"\nname = "{name}"\ntarget = "robot"\nurl = "http://127.0.0.1:9/"\nsecret_file = "s"\n'
    for name in ("caps", "freeze")
)
HOLDING = '[[holding]]\nname = "{name}"\nkind = "market"\nsubjects = ["eip155:1:0x{byte}"]\n'
AMOUNT = "amount = {{ usd = {usd}, read = 2023-11-14T12:00:00Z }}\n"
LIMIT = '[[limit]]\nscope = "*"\nmal_usd = 100_000\ndrain_usd_per_s = 1_000\nlatency_s = {latency_s}\n'
LEVER = """\
[[lever]]
hook = "{hook}"
tier = "{tier}"
scopes = {scopes}
effectiveness_percent = 90
cost_usd = 1
minutes = 9
"""
CAPS = LEVER.format(hook="caps", tier="tighten", scopes='["*"]')
FREEZE = LEVER.format(hook="freeze", tier="freeze", scopes='["usdc"]')


def make(directory: Path, policy: str, *holdings: str) -> NodeHome:
    names = holdings or ("usdc", "weth")
    manifest = 'protocol = "dex"\n' + "".join(
        HOLDING.format(name=name, byte=f"{n:040x}") + AMOUNT.format(usd=10**6) for n, name in enumerate(names)
    )
    plan = NodePlan("dex", "Dex", listen=("/ip4/192.0.2.1/tcp/9400",))
    given = {"extra_config": HOOKS, "policy": policy, "manifest": manifest}
    return create_node_home(directory / "dex", plan, 10**12, cost=LEAST_COST, **given)


def test_matrix_and_gaps_are_shown(tocsin: Any, tmp_path: Path) -> None:
    home = make(tmp_path, LIMIT.format(latency_s=48) + FREEZE)
    result = tocsin("coverage", "--home", home.directory)
    assert result.exit_code == 0
    drain = next(line for line in result.stdout.splitlines() if "asset.drain" in line)
    assert drain.split() == ["asset.drain", "freeze", "✓", "nothing"]
    wanted = "nothing holds it still: add a [[lever]] of tier 'freeze' with scopes = [\"weth\"]"
    assert f"weth: all but frontend.compromise, infra.outage: {wanted}" in result.stdout
    assert "usdc: frontend.compromise, infra.outage: no chain shows these" in result.stdout
    assert "what is armed is not known" in result.stdout


def test_lever_that_comes_too_late_is_a_gap(tocsin: Any, tmp_path: Path) -> None:
    home = make(tmp_path, LIMIT.format(latency_s=480) + CAPS + FREEZE)
    result = tocsin("coverage", "--home", home.directory)
    assert "freeze ✗" in result.stdout
    assert "it can drain past its limit in 100 s and a lever takes 480 (feasibility 0.21)" in result.stdout
    assert "the policy may not be armed: the limit of usdc cannot be kept" in result.stdout
    assert tocsin("coverage", "--strict", "--home", home.directory).exit_code == 1


def test_no_gaps_are_said_to_be_none(tocsin: Any, tmp_path: Path) -> None:
    home = make(tmp_path, LIMIT.format(latency_s=48) + CAPS)
    result = tocsin("coverage", "--strict", "--home", home.directory)
    assert result.exit_code == 0
    assert "No gaps." in result.stdout


def test_programs_get_every_cell(tocsin: Any, lines: Any, tmp_path: Path) -> None:
    home = make(tmp_path, LIMIT.format(latency_s=48) + FREEZE)
    (found,) = lines(tocsin("coverage", "--home", home.directory, "--json"))
    assert len(found["cells"]) == 40
    cell = next(cell for cell in found["cells"] if cell["category"] == "asset.drain")
    assert cell == {
        "category": "asset.drain", "holding": "usdc", "tier": "freeze", "hook": "freeze", "armed": None,
        "beats_mal": True,
    }  # fmt: skip
    assert found["holdings"][0] == {"name": "usdc", "feasibility": pytest.approx(100 / 48), "beats_mal": True}
    assert {gap["holding"] for gap in found["gaps"]} == {"usdc", "weth"}


def test_disarmed_levers_are_gaps_where_the_node_says_so(
    tocsin: Any, lines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make(tmp_path, LIMIT.format(latency_s=48) + CAPS + FREEZE)
    rows = [{"hook": "caps", "armed": True}, {"hook": "freeze", "armed": False}]
    monkeypatch.setattr(command, "ask_node", lambda *_: {"hooks": rows})
    (found,) = lines(tocsin("coverage", "--home", home.directory, "--json"))
    assert [(gap["holding"], gap["what"]) for gap in found["gaps"]] == [
        ("usdc", "its lever is disarmed: tocsin arm freeze")
    ]
    assert {cell["armed"] for cell in found["cells"] if cell["hook"] == "freeze"} == {False}

    def refuse(*_: object) -> None:
        raise NodeUnreachable("nobody is there")

    monkeypatch.setattr(command, "ask_node", refuse)
    (found,) = lines(tocsin("coverage", "--home", home.directory, "--json"))
    assert found["gaps"] == []


def test_many_holdings_are_shown_a_few_at_a_time(tocsin: Any, tmp_path: Path) -> None:
    names = [f"a-rather-long-market-name-{n:02d}" for n in range(20)]
    home = make(tmp_path, LIMIT.format(latency_s=48) + CAPS, *names)
    result = tocsin("coverage", "--home", home.directory)
    assert result.exit_code == 0
    assert all(result.stdout.count(name) == 1 for name in names)
    assert result.stdout.count("asset.drain") > 1


def test_node_without_holdings_is_told_what_to_write(tocsin: Any, tmp_path: Path) -> None:
    home = make(tmp_path, "")
    home.manifest_path.write_text('protocol = "dex"\n')
    result = tocsin("coverage", "--home", home.directory)
    assert result.exit_code == 0
    assert "Write manifest.toml" in result.stdout


def test_wrong_files_and_no_node_exit_with_78(tocsin: Any, tmp_path: Path) -> None:
    assert tocsin("coverage", "--home", tmp_path / "nowhere").exit_code == 78
    home = make(tmp_path, "")
    home.policy_path.write_text("levers = 1\n")
    result = tocsin("coverage", "--home", home.directory)
    assert result.exit_code == 78
    assert "policy.toml:1: levers: is no known key: did you mean 'lever'?" in result.stderr
