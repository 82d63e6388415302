"""`tocsin roster …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .base import EXIT_CODES, ask_node, home_option, open_config, open_store, output_option
from .output import Output, short_hex, time_text

if TYPE_CHECKING:
    from tocsin_protocol.roster_model import Roster, SignedRoster

_FILE = click.Path(path_type=Path, dir_okay=False)
_OUT = click.option("--out", "out_path", type=_FILE, required=True, help="The file to write; never one that exists.")
_CURRENT = click.option("--current", type=_FILE, help="The roster in force; the node's own, if not given.")


@click.group(epilog=EXIT_CODES)
def roster() -> None:
    """Create, read, propose, sign and apply rosters.

    A change is proposed by one member, signed by two thirds of the members' root keys, and applied by every node.
    """


@roster.command()
@click.argument("entries", nargs=-1, required=True, type=_FILE)
@click.option("--out", "out_path", type=_FILE, default="genesis.roster", show_default=True)
@click.option("--network-id", help="64 hex digits; random, if not given.")
@output_option
def create(entries: tuple[Path, ...], out_path: Path, network_id: str | None, out: Output) -> None:
    """Make the genesis roster of a new network from the members' entries."""
    import secrets

    from ..roster_files import create_genesis, genesis_hash, read_entry, write_roster

    network = secrets.token_bytes(32) if network_id is None else parse_hex("--network-id", network_id, 32)
    signed = create_genesis((read_entry(path) for path in entries), network)
    write_roster(out_path, signed)
    _report(out, signed, out_path)
    out.say("Hash to agree on by another channel: ", (genesis_hash(signed).hex(), "bold cyan"))


@roster.command()
@click.argument("path", type=_FILE)
@click.option(
    "--hash", "expected", required=True, help="The hash as you were told it, not as the file's sender wrote it."
)
@home_option
@output_option
def pin(path: Path, expected: str, home: Path, out: Output) -> None:
    """Take a genesis roster as this node's network."""
    from ..config import CONFIG_NAME
    from .init import say_pins

    pins = pin_file(home / CONFIG_NAME, path, expected)
    if out.as_json:
        out.emit({"genesis_hash": expected, "proposed_pins": list(pins)})
        return
    out.say("Pinned ", (expected, "bold cyan"))
    if pins:
        say_pins(out, pins)


@roster.command()
@click.argument("path", type=_FILE, required=False)
@home_option
@output_option
def show(path: Path | None, home: Path, out: Output) -> None:
    """Show a roster file, or the roster this node goes by."""
    from tocsin_protocol.roster_encoding import decode_roster

    from ..roster_files import read_roster

    signed = None if path is None else read_roster(path)
    _show(out, _current(home, None) if signed is None else decode_roster(signed.body), signed)


@roster.group()
def propose() -> None:
    """Write the next roster, for the members to sign."""


@propose.command()
@click.argument("entry", type=_FILE)
@_OUT
@_CURRENT
@home_option
@output_option
def add(entry: Path, out_path: Path, current: Path | None, home: Path, out: Output) -> None:
    """Add a member, or one more node of a member."""
    from ..roster_files import add_entry, read_entry

    _write(out, out_path, add_entry(_current(home, current), read_entry(entry)))


@propose.command()
@click.argument("member")
@_OUT
@_CURRENT
@home_option
@output_option
def remove(member: str, out_path: Path, current: Path | None, home: Path, out: Output) -> None:
    """Remove a member, who then has no vote in it."""
    from ..roster_files import remove_member

    _write(out, out_path, remove_member(_current(home, current), member))


@propose.command()
@click.argument("publisher")
@click.argument("entry", type=_FILE)
@_OUT
@_CURRENT
@home_option
@output_option
def rotate(publisher: str, entry: Path, out_path: Path, current: Path | None, home: Path, out: Output) -> None:
    """Replace a node's key (PUBLISHER: 0x and 40 hex digits) by that of ENTRY."""
    from ..roster_files import read_entry, rotate_publisher

    old = parse_hex("PUBLISHER", publisher, 20)
    _write(out, out_path, rotate_publisher(_current(home, current), old, read_entry(entry)))


@propose.command()
@click.argument("publisher")
@click.option("--critical", type=click.IntRange(0), required=True, help="Last sequence accepted of its CRITICAL lane.")
@click.option("--standard", type=click.IntRange(0), required=True, help="Last sequence accepted of its STANDARD lane.")
@_OUT
@_CURRENT
@home_option
@output_option
def revoke(
    publisher: str, critical: int, standard: int, out_path: Path, current: Path | None, home: Path, out: Output
) -> None:
    """Revoke a key after a last accepted sequence, so that a thief cannot backdate."""
    from tocsin_protocol.taxonomy import CRITICAL, STANDARD

    from ..roster_files import revoke_publisher

    last = {CRITICAL: critical, STANDARD: standard}
    _write(out, out_path, revoke_publisher(_current(home, current), parse_hex("PUBLISHER", publisher, 20), last))


@roster.command()
@click.argument("path", type=_FILE)
@click.option("--root", "root_path", type=_FILE, help="Keystore of your root key; root.json of --home, if not given.")
@click.option("--root-passphrase-file", type=_FILE, help="0600 file with its passphrase; root.passphrase beside it.")
@_CURRENT
@home_option
@output_option
def sign(
    path: Path,
    root_path: Path | None,
    root_passphrase_file: Path | None,
    current: Path | None,
    home: Path,
    out: Output,
) -> None:
    """Add your root key's signature to a proposed roster, in place."""
    from tocsin_protocol.roster_encoding import decode_roster

    from ..keystore import open_root_keystore, read_passphrase
    from ..roster_files import read_roster, sign_with_root, write_roster
    from ..setup_node import ROOT_NAME

    root_path = root_path or home / ROOT_NAME
    passphrase = read_passphrase(root_passphrase_file or root_path.with_suffix(".passphrase"))
    signed = read_roster(path)
    in_force = None if decode_roster(signed.body).epoch == 0 else _current(home, current)
    with out.working("Opening the root key…"):
        secret = open_root_keystore(root_path, passphrase)
    signed = sign_with_root(signed, secret, in_force)
    write_roster(path, signed, replaces=True)
    _report(out, signed, path)


@roster.command()
@click.argument("path", type=_FILE)
@click.option("--hash", "expected", help="For a genesis: the hash it must have; the pinned one, if not given.")
@_CURRENT
@home_option
@output_option
def verify(path: Path, expected: str | None, current: Path | None, home: Path, out: Output) -> None:
    """Check that a roster may come into force: its chain, its changes, its signatures."""
    from tocsin_protocol.roster import verify_genesis, verify_successor
    from tocsin_protocol.roster_encoding import decode_roster

    from ..roster_files import read_roster

    signed = read_roster(path)
    if decode_roster(signed.body).epoch == 0:
        pinned = open_config(home).genesis_hash if expected is None else parse_hex("--hash", expected, 32)
        verified = verify_genesis(signed, pinned)
    else:
        verified = verify_successor(_current(home, current), signed)
    if out.as_json:
        out.emit({"valid": True, "epoch": verified.epoch, "signatures": len(signed.signatures)})
    else:
        out.say(("Valid: ", "bold green"), f"epoch {verified.epoch} with {len(signed.signatures)} signatures")


@roster.command()
@click.argument("path", type=_FILE)
@home_option
@output_option
def apply(path: Path, home: Path, out: Output) -> None:
    """Bring a signed roster into force at the running node, which hands it on to the others."""
    from tocsin_protocol.roster_encoding import encode_signed_roster

    from ..control_verbs import Verb
    from ..roster_files import read_roster

    signed = encode_signed_roster(read_roster(path))
    result = ask_node(open_config(home), Verb.APPLY_ROSTER, roster=signed.hex())
    if out.as_json:
        out.emit(result)
    else:
        out.say(("In force: ", "bold green"), f"epoch {result.get('epoch')}, hash {result.get('hash')}")


def pin_file(config_path: Path, path: Path, expected: str) -> tuple[str, ...]:
    """Pin a genesis roster file; returns the members proposed as pins. Raises ConfigError."""
    from ..config import load_config
    from ..roster_files import read_roster
    from ..setup_node import pin_genesis, propose_pins

    roster_in_force = pin_genesis(config_path, read_roster(path), parse_hex("--hash", expected, 32))
    return propose_pins(roster_in_force, load_config(config_path).node.member)


def parse_hex(name: str, text: str, length: int) -> bytes:
    """Bytes from hex digits with or without 0x; raises click.UsageError."""
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        data = b""
    if len(data) != length:
        raise click.UsageError(f"{name}: {2 * length} hex digits are wanted")
    return data


def _current(home: Path, path: Path | None) -> Roster:
    """The roster in force: of a file, of the node's database, or the pinned genesis of a node that never ran."""
    from tocsin_protocol.roster_encoding import decode_roster

    from ..roster_files import load_genesis, read_roster
    from ..store.database import StoreError

    if path is not None:
        return decode_roster(read_roster(path).body)
    config = open_config(home)
    try:
        with open_store(config) as reader:
            return reader.roster().roster
    except StoreError:
        return load_genesis(config.network.genesis, config.genesis_hash)


def _write(out: Output, path: Path, signed: SignedRoster) -> None:
    from ..roster_files import write_roster

    write_roster(path, signed)
    _report(out, signed, path)


def _report(out: Output, signed: SignedRoster, path: Path) -> None:
    from tocsin_protocol.roster_encoding import decode_roster, roster_hash

    body = decode_roster(signed.body)
    if out.as_json:
        out.emit(
            {
                "file": str(path),
                "network": body.network_id.hex(),
                "epoch": body.epoch,
                "hash": roster_hash(signed.body).hex(),
                "members": [member.name for member in body.members],
                "signatures": len(signed.signatures),
            }
        )
        return
    out.say(
        (str(path), "bold"),
        f": epoch {body.epoch}, {len(body.members)} members, {len(signed.signatures)} root signatures",
    )


def _show(out: Output, body: Roster, signed: SignedRoster | None) -> None:
    from tocsin_protocol.roster import quorum, tolerated_faults

    from ..views import roster_view

    view = roster_view(body)
    signers = {root for root, _ in signed.signatures} if signed else set()
    if out.as_json:
        signatures = None if signed is None else sorted(root.hex() for root in signers)
        out.emit(view | {"signatures": signatures})
        return
    count = len(body.members)
    out.say(("Network ", "bold"), (view["network"], "cyan"), f"  epoch {body.epoch}")
    out.say("Hash    ", view["hash"])
    out.say(
        f"{count} members, {quorum(count)} signatures for a change, {tolerated_faults(count)} faulty ones tolerated"
    )
    if count < 4:
        out.warn("below four members nothing Byzantine is tolerated")
    for member in body.members:
        out.say("")
        out.say((member.name, "bold cyan"), "  ", member.organisation)
        out.say("  root       ", member.root.hex())
        for publisher in member.publishers:
            may = f"{', '.join(publisher.capabilities) or 'nothing'} at rate {publisher.rate_class}"
            out.say("  publisher  0x", publisher.id.hex(), ("  revoked" if publisher.revoked else "", "bold red"))
            out.say("    peer id    ", publisher.peer_id)
            out.say("    addresses  ", ", ".join(publisher.addresses))
            out.say("    may        ", f"{may}, until {time_text(publisher.valid_until_ms)[:10]}")
    out.say("")
    for root in sorted(signers):
        name = next((member.name for member in body.members if member.root == root), "a former member")
        out.say("signed by ", name, (f"  {short_hex(root)}…", "dim"))
