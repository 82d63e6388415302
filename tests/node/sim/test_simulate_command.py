"""`tocsin simulate`: tables for people, JSON for programs, an exit code for CI."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sim_kit import write
from tocsin_node.cli import cli
from tocsin_node.sim.fitting import DEFAULT_POLICY

Run = Callable[..., Result]


@pytest.fixture
def simulate() -> Run:
    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(cli, ["simulate", *(str(a) for a in arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def document_of(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_tables_say_what_was_saved(simulate: Run, tmp_path: Path) -> None:
    result = simulate(write(tmp_path), "drill", "--seeds", 3)
    assert result.exit_code == 0
    assert "small" in result.stdout
    assert "100.0 %" in result.stdout
    assert "0 of 3 runs with a freeze or pause" in result.stdout


def test_json_is_whole(simulate: Run, tmp_path: Path) -> None:
    document = document_of(simulate("drill", write(tmp_path), "--seeds", 2, "--control-seeds", 4, "--json"))
    attack, control = document["scenarios"]
    assert (attack["scenario"], attack["kind"], attack["runs"]) == ("small", "attack", 2)
    assert (control["scenario"], control["runs"], control["freeze_percent"]) == ("drill", 4, 0)
    assert attack["intervals"]["in_time_percent"]["value"] == 100
    assert any("Freeze with freeze" in action["sentence"] for action in attack["example"]["actions"])
    assert document["total"]["control_runs"] == 4
    assert document["failures"] == []


def test_threshold_that_is_passed_is_exit_code_1(simulate: Run, tmp_path: Path) -> None:
    result = simulate(
        write(tmp_path), "--seeds", 2, "--fail-if", "ttc_p95_s > 1", "--fail-if", "contained_percent < 50"
    )
    assert result.exit_code == 1
    assert "small: ttc_p95_s is" in result.stderr
    assert "contained_percent" not in result.stderr
    assert simulate("drill", "--seeds", 2, "--fail-if", "false_pause_minutes > 0").exit_code == 0


def test_weakened_policy_fails_in_ci(simulate: Run, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(DEFAULT_POLICY.read_text().replace("freeze = 2", "freeze = 1"))
    result = simulate("white-hat", "--policy", policy, "--seeds", 3, "--fail-if", "false_pause_minutes > 0")
    assert result.exit_code == 1
    assert "one foreign group alone could freeze" in result.stderr
    assert "white-hat: false_pause_minutes is" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("no-such-scenario",), 78), (("drill", "--fail-if", "1 +"), 2), (("drill", "drill"), 2), (("--seeds", "0"), 2)],
)
def test_wrong_use_is_told_apart(simulate: Run, arguments: tuple[str, ...], code: int) -> None:
    assert simulate(*arguments).exit_code == code


def test_report_is_written(simulate: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert simulate("drill", "--seeds", 1, "--report", page).exit_code == 0
    assert page.read_text().startswith("<!doctype html>")


def test_import_says_what_it_left_out(simulate: Run, tmp_path: Path) -> None:
    (tmp_path / "src" / "test").mkdir(parents=True)
    (tmp_path / "README.md").write_text("### 20240810 Coins Only - Reentrancy\n\n### Lost: 390 ETH\n")
    result = simulate("import", tmp_path, "--out", tmp_path / "out", "--json")
    assert document_of(result) == {"written": [], "left_out": {"its loss is not in dollars": 1}}


def test_help_shows_options_and_commands(simulate: Run) -> None:
    text = simulate("--help").stdout
    for word in ("--fail-if", "--policy", "import", "figures"):
        assert word in text
    assert "ttc_p95_s" in simulate("figures").stdout
