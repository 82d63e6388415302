"""`tocsin disarm` and `tocsin sign-disarm`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..control_verbs import Verb
from ..errors import ConfigError, NodeUnreachable
from .base import EXIT_CODES, ask_node, home_option, open_config, output_option
from .operate import check_hook, report_arm
from .output import Output
from .roster_io import FILE, parse_hex

MAX_STATEMENT_BYTES = 4096


@click.command(epilog=EXIT_CODES)
@click.argument("hook", required=False)
@click.option("--all", "is_all", is_flag=True, help="Every hook, also where the node does not answer.")
@click.option("--statement", type=FILE, help="By a statement that `tocsin sign-disarm` wrote.")
@home_option
@output_option
def disarm(hook: str | None, is_all: bool, statement: Path | None, home: Path, out: Output) -> None:
    """Keep HOOK, or every hook, from firing. The node goes on listening, deciding, publishing and recording.

    --all first puts the file `disarm` into the data directory, which a node sees though it answers nothing else. Where
    the node does not answer the file stays, and keeps every hook disarmed until you remove it.
    """
    if sum((hook is not None, is_all, statement is not None)) != 1:
        raise click.UsageError("one of HOOK, --all and --statement is wanted")
    config = open_config(home)
    if hook is not None:
        check_hook(hook, config.hook_names)
        report_arm(out, ask_node(config, Verb.DISARM, hook=hook))
    elif statement is not None:
        from ..toml_files import read_bytes

        text = read_bytes(statement, MAX_STATEMENT_BYTES).decode(errors="replace").strip()
        _report_all(out, ask_node(config, Verb.DISARM_STATEMENT, statement=text))
    else:
        _disarm_all(config, out)


def _disarm_all(config: Any, out: Output) -> None:
    from ..relay.brake import DISARM_FILE

    file = config.node.data_dir / DISARM_FILE
    is_ours = not file.exists()
    try:
        file.touch(mode=0o600)
    except OSError as exc:
        raise ConfigError(file, "", f"cannot be written: {exc.strerror}") from exc
    try:
        answer = ask_node(config, Verb.DISARM_ALL)
    except NodeUnreachable as exc:
        raise NodeUnreachable(f"{exc}. {file} stands there: nothing acts until you remove it") from exc
    if is_ours:
        file.unlink(missing_ok=True)
    _report_all(out, answer)


def _report_all(out: Output, answer: dict[str, Any]) -> None:
    if out.as_json:
        out.emit(answer)
        return
    names = ", ".join(answer["disarmed"])
    out.say(("Disarmed: ", "bold green"), names or "nothing was armed", ". Arming again is yours: tocsin arm HOOK")


@click.command(epilog=EXIT_CODES)
@click.argument("keystore", type=FILE)
@click.option("--passphrase-file", type=FILE, required=True, help="0600 file with the keystore's passphrase.")
@click.option("--network", required=True, help="The network's id, as `tocsin status` shows it.")
@click.option("--publisher", required=True, help="The node's publisher, as `tocsin status` shows it.")
@output_option
def sign_disarm(keystore: Path, passphrase_file: Path, network: str, publisher: str, out: Output) -> None:
    """Sign with a root KEYSTORE, on a machine without a network, that a node is to act no more. It never arms.

    The key's address stands in safety.disarm_keys of that node. Hand the line to `tocsin disarm --statement`, or have
    any member publish it as the text of a signal: `tocsin publish --category meta.update --text LINE …`.
    """
    from tocsin_protocol.disarm import write_disarm
    from tocsin_protocol.signing import Domain, address_of_key, public_key_of

    from ..clock import now_ms
    from ..keystore import open_root_keystore, read_passphrase

    domain, named = Domain(parse_hex("--network", network, 32)), parse_hex("--publisher", publisher, 20)
    secret = open_root_keystore(keystore, read_passphrase(passphrase_file))
    text = write_disarm(domain, secret, named, now_ms())
    key = "0x" + address_of_key(public_key_of(secret)).hex()
    if out.as_json:
        out.emit({"statement": text, "key": key})
    else:
        out.warn(f"signed by {key}: it counts where safety.disarm_keys has this key")
        click.echo(text)
