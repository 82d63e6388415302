"""Where the files are, and whether a command line is one that the CLI has."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from tocsin_node.cli import cli

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

# `tocsin recover INCIDENT` leaves the name of the command out, and so do these others.
LEFT_OUT = {"recover": "plan", "report": "make", "simulate": "run"}


def tool(name: str, package: str) -> str:
    """The path of a program; fails, naming the Debian package, where it is missing."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is not on the PATH: Debian's {package} will do", pytrace=False)
    return path


def check_command(words: Sequence[str]) -> None:
    """Raise click's UsageError unless the CLI has this command with these options and arguments."""
    command: click.Command = cli
    context, rest = click.Context(cli, info_name="tocsin"), list(words)
    while isinstance(command, click.Group):
        if rest == ["--version"] or rest[-1:] == ["--help"]:
            return
        if context.info_name in LEFT_OUT and rest and command.get_command(context, rest[0]) is None:
            rest.insert(0, LEFT_OUT[context.info_name])
        if command.invoke_without_command and (not rest or rest[0].startswith("-")):
            break
        name = rest.pop(0) if rest else ""
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"tocsin has no command {' '.join(words)!r}")
        command, context = found, click.Context(found, parent=context, info_name=name)
    if "--help" in rest:
        return
    values, left, _ = command.make_parser(context).parse_args(rest)
    if left:
        raise click.UsageError(f"{' '.join(words)!r}: unexpected {left[0]!r}")
    for parameter in command.params:
        value = values.get(parameter.name or "")
        if parameter.required and parameter.value_is_missing(value):
            raise click.UsageError(f"{' '.join(words)!r}: {parameter.name} is missing")
        if isinstance(parameter.type, click.Choice) and isinstance(value, str) and not value.isupper():
            parameter.type.convert(value, parameter, context)
