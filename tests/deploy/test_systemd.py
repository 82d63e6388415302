"""The units, by systemd's own tools: whole, closed to what a node never needs, and with commands that there are."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from deploy_kit import DEPLOY, check_command, tool
from tocsin_protocol.risk.upkeep import RENEW_MS

UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
PROGRAM = "/opt/tocsin/bin/tocsin"
# What `systemd-analyze security` may say at most; 10 is a service that nothing is kept from.
MOST_EXPOSED = {
    "tocsin.service": 1.5,
    "tocsin-feed.service": 1.5,
    "tocsin-watchdog.service": 1.5,
    "tocsin-oracle.service": 1.5,
    "tocsin-doctor.service": 0.5,
}


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [tool("systemd-analyze", "systemd"), "--no-pager", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def settings(unit: Path, name: str) -> list[str]:
    """All values of a setting, in their order."""
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def copy_units(folder: Path) -> list[Path]:
    """The units beside one another, with a program that is there on this machine."""
    copies = []
    for unit in UNITS:
        copy = folder / unit.name
        copy.write_text(unit.read_text().replace(PROGRAM, sys.executable))
        copies.append(copy)
    return copies


def test_the_units_are_whole(tmp_path: Path) -> None:
    result = analyze("verify", "--man=no", *copy_units(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")


def test_a_slip_in_a_unit_is_found(tmp_path: Path) -> None:
    copies = copy_units(tmp_path)
    copies[0].write_text(copies[0].read_text().replace("ProtectClock=", "ProtectClocks="))
    assert "ProtectClocks" in analyze("verify", "--man=no", *copies).stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_is_kept_from_what_it_does_not_need(unit: Path) -> None:
    result = analyze("security", "--offline=true", unit)
    said = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    assert said is not None, result.stderr
    assert float(said[1]) <= MOST_EXPOSED[unit.name], result.stdout


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_runs_a_command_that_there_is(unit: Path) -> None:
    (line,) = settings(unit, "ExecStart")
    program, *words = shlex.split(line)
    assert program == PROGRAM
    check_command(words)
    assert settings(unit, "User") == ["tocsin"]


def test_a_command_that_is_not_there_is_refused() -> None:
    for words in (["runn"], ["run", "--house", "/etc/tocsin"], ["arm"], ["run", "more"], ["drill", "reprot"]):
        with pytest.raises(click.UsageError):
            check_command(words)


def test_only_the_relay_comes_by_the_nodes_keys_and_passphrase() -> None:
    credentials = {"tocsin.service": ["tocsin-passphrase"], "tocsin-oracle.service": ["tocsin-payer-passphrase"]}
    for unit in SERVICES:
        assert settings(unit, "LoadCredentialEncrypted") == credentials.get(unit.name, [])
        hidden = " ".join(settings(unit, "InaccessiblePaths"))
        names = ("keystore.json", "passphrase", "anchor.json")
        assert all(f"-/etc/tocsin/{name}" in hidden for name in names) is (unit.name != "tocsin.service")
        # the key of the account that pays for reports is the oracle's alone
        assert ("-/etc/tocsin/payer.json" in hidden) is (unit.name not in ("tocsin.service", "tocsin-oracle.service"))


def test_what_is_carried_is_carried_as_often_as_it_is_renewed() -> None:
    (line,) = settings(DEPLOY / "systemd" / "tocsin-oracle.service", "ExecStart")
    words = shlex.split(line)
    assert int(words[words.index("--every") + 1]) * 1_000 <= RENEW_MS // 2


def test_the_guide_names_every_unit() -> None:
    guide = (DEPLOY / "README.md").read_text()
    assert [unit.name for unit in UNITS if unit.stem not in guide] == []
