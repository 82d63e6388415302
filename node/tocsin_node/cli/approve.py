"""`tocsin approve …`: what the operators are asked, and their answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..control_verbs import Verb
from ..errors import ConfigError, ControlError
from .base import EXIT_CODES, ask_node, confirm, home_option, open_config, output_option
from .output import Output, short_hex, styled, time_text

if TYPE_CHECKING:
    from ..config import NodeConfig

MIN_ID_CHARS = 4
MAX_FILES = 32
_FILE = click.Path(path_type=Path, dir_okay=False)
_YES = click.option("--yes", is_flag=True, help="Do not ask.")
_OUT = click.option("--out", "out_file", type=_FILE, help="Write it to this new file.")
_PASSPHRASE = click.option("--passphrase-file", required=True, type=_FILE, help="A 0600 file with its passphrase.")


@click.group(epilog=EXIT_CODES)
def approve() -> None:
    """Show, sign, hand in and decline what the operators are asked.

    Each operator signs for himself: in a wallet (export, then eth_signTypedData_v4), or with sign on any machine. The
    files reach the node by any way and in any order; nobody's machine has to run but those of the m who sign.
    """


@approve.command(name="list")
@click.option("--all", "is_all", is_flag=True, help="Also what was answered or has expired.")
@home_option
@output_option
def list_(is_all: bool, home: Path, out: Output) -> None:
    """List what the operators are asked."""
    found = _requests(open_config(home))
    rows = [row for row in found if is_all or row["state"] == "open"]
    if out.as_json:
        for row in rows:
            out.emit(row)
        return
    if not rows:
        out.say("Nothing waits for the operators.")
        return
    out.table(
        "",
        ("id", "state", "approved", "until (UTC)", "what it will do"),
        [
            (
                short_hex(row["id"]),
                styled(row["state"]),
                _count(row),
                time_text(row["expires_ms"])[:19],
                row["effect"],
            )
            for row in rows
        ],
    )


@approve.command()
@click.argument("request")
@home_option
@output_option
def show(request: str, home: Path, out: Output) -> None:
    """Show what REQUEST (first hex digits of its id) will do, and who has approved it."""
    row = _find(_requests(open_config(home)), request)
    if out.as_json:
        out.emit(row)
        return
    out.say((row["effect"], "bold"))
    for label, value in (
        ("id", row["id"]),
        ("state", f"{row['state']} {row['reason']}".strip()),
        ("purpose", row["purpose"]),
        ("scope", row["scope"]),
        ("lever", row["lever"]),
        ("target", row["target"]),
        ("payload", row["payload"]),
        ("bytes", row["data"] or f"its calls: tocsin recover {short_hex(row['incident'])}"),
        ("incident", row["incident"]),
        ("window", row["window"]),
        ("approved", f"{_count(row)} {', '.join(row['approved_by'])}".strip()),
        ("may still", ", ".join(row["waiting_for"])),
    ):
        if value:
            out.say((f"  {label:<10} ", "dim"), str(value))


@approve.command()
@click.argument("request")
@_OUT
@home_option
def export(request: str, out_file: Path | None, home: Path) -> None:
    """Write REQUEST as a wallet is given it: the input of eth_signTypedData_v4."""
    row = _find(_requests(open_config(home)), request)
    _write(out_file, json.dumps(row["typed_data"], indent=1).encode() + b"\n")


@approve.command()
@click.argument("request")
@click.option("--key-file", type=_FILE, help="The operator's own keystore.")
@click.option("--passphrase-file", type=_FILE, help="A 0600 file with its passphrase.")
@click.option("--signature", help="What the operator's wallet returned (0x and 65 bytes), in place of a keystore.")
@_OUT
@_YES
@home_option
@output_option
def sign(
    request: str,
    key_file: Path | None,
    passphrase_file: Path | None,
    signature: str | None,
    out_file: Path | None,
    yes: bool,
    home: Path,
    out: Output,
) -> None:
    """Sign REQUEST: a file that export wrote, or the first hex digits of the id of one of this node's.

    A file needs no node: sign it on your own machine and send what --out wrote. Without --out the approval is handed in
    to the node of --home at once.
    """
    from tocsin_protocol.approval.files import decode_approval_request

    from ..operator_keys import sign_request, take_signature
    from ..private_files import write_new_file
    from ..toml_files import read_bytes

    if (signature is None) is (key_file is None) or (key_file is None) is not (passphrase_file is None):
        raise click.UsageError("give --key-file and --passphrase-file, or --signature")
    path = Path(request)
    is_file = path.is_file()
    if is_file:
        data = read_bytes(path, MAX_REQUEST_BYTES)
    else:
        data = json.dumps(_find(_requests(open_config(home)), request)["typed_data"]).encode()
    network_id, asked = decode_approval_request(data)
    if not out.as_json:
        out.say((asked.effect, "bold"))
        out.say(f"  {asked.purpose} {asked.scope} with {asked.lever} at {asked.target}, valid {asked.window}")
    confirm("Do you approve this?", yes=yes)
    if key_file is not None and passphrase_file is not None:
        address, approval = sign_request(key_file, passphrase_file, network_id, asked)
    else:
        address, approval = take_signature(str(signature), network_id, asked)
    if out_file is not None:
        write_new_file(out_file, approval)
        answer: dict[str, Any] = {"signed_by": address, "file": str(out_file)}
    else:
        answer = {"signed_by": address, **ask_node(open_config(home), Verb.APPROVE, approval=approval.decode())}
    _say_answer(out, answer)


@approve.command(name="import")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@home_option
@output_option
def import_(files: tuple[Path, ...], home: Path, out: Output) -> None:
    """Hand in approvals that came as FILES, in any order. Those that do not count are said, and the others still do."""
    from tocsin_protocol.approval.files import MAX_APPROVAL_BYTES
    from tocsin_protocol.errors import ProtocolError

    from ..toml_files import read_bytes

    if len(files) > MAX_FILES:
        raise click.UsageError(f"{len(files)} files where at most {MAX_FILES} are taken at once")
    config, refused = open_config(home), []
    for path in files:
        data = read_bytes(path, MAX_APPROVAL_BYTES)
        try:
            answer = ask_node(config, Verb.APPROVE, approval=data.decode(errors="replace"))
        except (ControlError, ProtocolError) as exc:
            refused.append(ControlError(getattr(exc, "code", "refused"), f"{path}: {exc}"))
            continue
        _say_answer(out, {"file": str(path), **answer})
    for fault in refused[1:]:
        out.warn(str(fault))
    if refused:
        raise refused[0]


@approve.command()
@click.argument("request")
@_YES
@home_option
@output_option
def decline(request: str, yes: bool, home: Path, out: Output) -> None:
    """Say no to REQUEST: what waits for it is never done."""
    config = open_config(home)
    row = _find(_requests(config), request)
    confirm(f"Decline: {row['effect']}?", yes=yes)
    answer = ask_node(config, Verb.DECLINE, request=row["id"])
    if out.as_json:
        out.emit(answer)
    else:
        out.say(("Declined: ", "bold"), row["effect"])


@approve.command(name="confirm-time")
@_YES
@home_option
@output_option
def confirm_time(yes: bool, home: Path, out: Output) -> None:
    """Say that this machine's clock is right, though the node's record shows a later time.

    A clock that once ran ahead leaves a record that is ahead, and every request looks expired.
    """
    confirm("Is the time on this machine right?", yes=yes)
    answer = ask_node(open_config(home), Verb.CONFIRM_TIME)
    if out.as_json:
        out.emit(answer)
    else:
        out.say(f"The record goes on from {time_text(answer['now_ms'])} (it showed {time_text(answer['record_ms'])}).")


@approve.command(name="new-key")
@click.argument("path", type=_FILE)
@_PASSPHRASE
@output_option
def new_key(path: Path, passphrase_file: Path, out: Output) -> None:
    """Make an operator's key in a new keystore at PATH. Its address belongs into [operators] of the policy."""
    from ..operator_keys import create_operator_key

    address = create_operator_key(path, passphrase_file)
    if out.as_json:
        out.emit({"address": address, "file": str(path)})
    else:
        out.say(("Made. ", "bold green"), f"In the policy's [operators]: NAME = {json.dumps(address)}")


MAX_REQUEST_BYTES = 8 * 1024


def _requests(config: NodeConfig) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask_node(config, Verb.REQUESTS)["requests"]
    return found


def _find(rows: list[dict[str, Any]], prefix: str) -> dict[str, Any]:
    """The one request whose id begins so; raises ControlError when none or several do."""
    wanted = prefix.lower().removeprefix("0x")
    found = [row for row in rows if row["id"].startswith(wanted)]
    if len(wanted) < MIN_ID_CHARS or len(found) != 1:
        why = "give more digits" if len(found) > 1 or len(wanted) < MIN_ID_CHARS else "see `tocsin approve list --all`"
        raise ControlError("unknown-request", f"{prefix!r} names {len(found)} requests of this node: {why}")
    return found[0]


def _count(row: dict[str, Any]) -> str:
    wanted = "nobody may" if row["wanted"] is None else f"of {row['wanted']}"
    return f"{row['approved']} {wanted}"


def _say_answer(out: Output, answer: dict[str, Any]) -> None:
    if out.as_json:
        out.emit(answer)
    elif "sentence" in answer:
        out.say((f"{answer['state'].capitalize()}: ", "bold green"), answer["sentence"])
    else:
        out.say(("Signed ", "bold green"), f"by {answer['signed_by']}: {answer['file']}")


def _write(path: Path | None, data: bytes) -> None:
    from ..private_files import write_new_file

    if path is None:
        click.echo(data.decode(), nl=False)
    elif path.parent.is_dir():
        write_new_file(path, data)
    else:
        raise ConfigError(path, "", "its folder is not there")
