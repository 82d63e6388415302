"""What all commands share: options, exit codes, and errors as one sentence."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from tocsin_protocol.errors import ProtocolError

from ..errors import ConfigError, ControlError, NodeError, NodeUnreachable
from .output import Output, plain

if TYPE_CHECKING:
    from ..config import NodeConfig
    from ..store.reader import Reader

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 69  # EX_UNAVAILABLE of sysexits(3)
EXIT_CONFIG = 78  # EX_CONFIG
EXIT_INTERRUPTED = 130
EXIT_CODES = (
    "Exit codes: 0 done · 1 failed or refused · 2 wrong usage · 69 no running node in reach · "
    "78 a config, policy, roster or key file is wrong."
)
HOME_VARIABLE = "TOCSIN_HOME"
DEFAULT_HOME = "~/.tocsin"

_AS_JSON = "tocsin.json"
_F = TypeVar("_F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """An error for the user: a sentence, a code for programs, and by its class an exit code."""

    exit_code = EXIT_FAILED

    def __init__(self, code: str, message: str, *, as_json: bool) -> None:
        super().__init__(message)
        self.code = code
        self._as_json = as_json

    def show(self, file: Any = None) -> None:
        """Write it to stderr; stdout stays what a program can parse."""
        if self._as_json:
            click.echo(json.dumps({"error": {"code": self.code, "message": self.message}}), err=True)
        else:
            click.echo(click.style("Error: ", fg="red", bold=True) + plain(self.message), err=True)


class Unreachable(Failure):
    """No running node."""

    exit_code = EXIT_UNREACHABLE


class BadFile(Failure):
    """A file that the operator has to put right."""

    exit_code = EXIT_CONFIG


class LazyGroup(click.Group):
    """A group that imports a command's module (of this package) when the command is used."""

    def __init__(self, *args: Any, commands_table: dict[str, tuple[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = commands_table or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in self._table:
            return None
        module = importlib.import_module(f"tocsin_node.cli.{self._table[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in self._table.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and turn our errors into exit codes."""
        try:
            return super().invoke(ctx)
        except (NodeError, ProtocolError) as exc:
            raise _failure(exc, as_json=bool(ctx.meta.get(_AS_JSON))) from exc


def _failure(exc: NodeError | ProtocolError, *, as_json: bool) -> Failure:
    match exc:
        case ConfigError():
            return BadFile("config", str(exc), as_json=as_json)
        case NodeUnreachable():
            return Unreachable("unreachable", str(exc), as_json=as_json)
        case ControlError():
            return Failure(exc.code, str(exc), as_json=as_json)
        case _:
            return Failure("failed", str(exc), as_json=as_json)


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"tocsin {version('tocsin')}")
        ctx.exit()


version_option = click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)


def output_option(function: _F) -> _F:
    """Add --json; the command gets an `Output` named `out`."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @wraps(function)
    def run(*args: Any, as_json: bool, **kwargs: Any) -> Any:
        click.get_current_context().meta[_AS_JSON] = as_json
        return function(*args, out=Output(as_json=as_json), **kwargs)

    return run  # type: ignore[return-value]


def home_option(function: _F) -> _F:
    """Add --home; the command gets a `Path` named `home`."""
    decorate = click.option(
        "--home",
        envvar=HOME_VARIABLE,
        default=DEFAULT_HOME,
        show_default=True,
        show_envvar=True,
        type=click.Path(path_type=Path, file_okay=False),
        callback=lambda _ctx, _parameter, value: value.expanduser(),
        help="The node's directory.",
    )
    return decorate(function)


def open_config(home: Path, *, pinned: bool = True) -> NodeConfig:
    """Load the config of the node in `home`; raises ConfigError."""
    from ..config import CONFIG_NAME, load_config

    path = home / CONFIG_NAME
    if not path.exists():
        raise ConfigError(path, "", "is not there: make a node with tocsin init, or name its directory with --home")
    return load_config(path, pinned=pinned)


def open_store(config: NodeConfig) -> Reader:
    """Open the node's database for reading; raises StoreError."""
    from ..store.reader import Reader

    return Reader(config.node.data_dir)


def ask_node(config: NodeConfig, verb: str, **arguments: Any) -> dict[str, Any]:
    """Ask the running node; raises NodeUnreachable or ControlError."""
    from ..control_client import request_control

    return request_control(config.control_path, verb, arguments)


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person before something that cannot be taken back; without a terminal --yes is wanted."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at: give --yes")
    click.confirm(question, abort=True, err=True)
