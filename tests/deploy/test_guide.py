"""deploy/README.md: its commands are ones that there are, and what it names is there."""

from __future__ import annotations

import re

import click
import pytest
from deploy_kit import DEPLOY, ROOT, check_command
from guide_kit import BLOCKS, TEXT, shell_lines, split, tocsin_words
from tocsin_node.config import check_config
from tocsin_node.toml_files import parse_toml

LINES = shell_lines()
INLINE = re.findall(r"`(tocsin [^`]+)`", TEXT)
# What else the guide calls: tools of Debian, of Docker, and of the shell.
OTHERS = {
    "alias", "apt-get", "cd", "chmod", "chown", "docker", "git", "install", "journalctl", "make", "mkdir", "openssl",
    "promtool", "python3", "rm", "sed", "systemctl", "systemd-creds", "touch", "useradd",
}  # fmt: skip
COMMANDS = [line for line in LINES if tocsin_words(line) is not None]


@pytest.mark.parametrize("line", [*COMMANDS, *INLINE])
def test_a_command_of_the_guide_is_one_that_there_is(line: str) -> None:
    words = tocsin_words(line)
    assert words is not None
    if words != ["COMMAND", "--help"]:
        check_command(words)


def test_a_command_that_is_none_would_be_found() -> None:
    assert len(COMMANDS) > 25
    with pytest.raises(click.UsageError):
        check_command(tocsin_words("tocsin-with-keys restore") or [])


@pytest.mark.parametrize("line", LINES)
def test_every_other_program_is_one_that_an_operator_has(line: str) -> None:
    program = split(line)[0]
    assert program in OTHERS | {"tocsin", "tocsin-with-keys", "/opt/tocsin/bin/pip", "tocsin-client/bin/pip"}


def test_what_the_guide_names_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert [link for link in links if not (DEPLOY / link).exists()] == []
    named = {word for line in LINES for word in split(line) if word.startswith("deploy/")}
    assert [path for path in named if not (ROOT / path).exists()] == []
    units = {word for word in re.findall(r"\btocsin[a-z-]*\.(?:service|timer)\b", TEXT)}
    assert units == {unit.name for unit in (DEPLOY / "systemd").iterdir()}
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^## (.+)$", TEXT, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


def test_what_the_guide_has_written_into_a_config_is_taken() -> None:
    blocks = "\n".join(block for kind, block in BLOCKS if kind == "toml")
    example = (DEPLOY / "node.example.toml").read_text()
    begin = example[: example.index("[mesh]")]
    # a drill's call is the view of a lever
    target = "eip155:1:0x1111111111111111111111111111111111111111"
    lever = f'[[hook]]\nkind = "evm"\nname = "pause"\ntarget = "{target}"\npreset = "pausable"\n'
    config = check_config(parse_toml(DEPLOY / "node.toml", (begin + blocks + lever).encode()))
    assert config.drill_names == {"drill-vault"}


def test_the_packages_are_those_of_the_checks() -> None:
    (line,) = [line for line in LINES if "apt-get" in line]
    wanted = set(split(line)[3:])
    script = (ROOT / ".ci" / "run").read_text()
    assert [package for package in wanted if package not in script] == []
