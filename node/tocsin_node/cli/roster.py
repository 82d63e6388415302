"""`tocsin roster …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .base import EXIT_CODES, ask_node, home_option, open_config, output_option
from .output import Output, short_hex, time_text
from .roster_io import FILE, current_option, current_roster, parse_hex, report_roster
from .roster_propose import propose

if TYPE_CHECKING:
    from tocsin_protocol.roster_model import Roster, SignedRoster


@click.group(epilog=EXIT_CODES)
def roster() -> None:
    """Create, read, propose, sign and apply rosters.

    A change is proposed by one member, signed by two thirds of the members' root keys, and applied by every node.
    """


roster.add_command(propose)


@roster.command()
@click.argument("entries", nargs=-1, required=True, type=FILE)
@click.option("--out", "out_path", type=FILE, default="genesis.roster", show_default=True)
@click.option("--network-id", help="64 hex digits; random, if not given.")
@output_option
def create(entries: tuple[Path, ...], out_path: Path, network_id: str | None, out: Output) -> None:
    """Make the genesis roster of a new network from the members' entries."""
    import secrets

    from ..roster_files import create_genesis, genesis_hash, read_entry, write_roster

    network = secrets.token_bytes(32) if network_id is None else parse_hex("--network-id", network_id, 32)
    signed = create_genesis((read_entry(path) for path in entries), network)
    write_roster(out_path, signed)
    report_roster(out, signed, out_path)
    out.say("Hash to agree on by another channel: ", (genesis_hash(signed).hex(), "bold cyan"))


@roster.command()
@click.argument("path", type=FILE)
@click.option(
    "--hash", "expected", required=True, help="The hash as you were told it, not as the file's sender wrote it."
)
@home_option
@output_option
def pin(path: Path, expected: str, home: Path, out: Output) -> None:
    """Take a genesis roster as this node's network."""
    from ..config import CONFIG_NAME
    from ..setup_node import POLICY_NAME
    from .init import say_pins

    pins = pin_file(home / CONFIG_NAME, path, expected)
    if out.as_json:
        out.emit({"genesis_hash": expected, "proposed_pins": list(pins)})
        return
    out.say("Pinned ", (expected, "bold cyan"))
    if pins:
        say_pins(out, pins, home / POLICY_NAME)


@roster.command()
@click.argument("path", type=FILE, required=False)
@home_option
@output_option
def show(path: Path | None, home: Path, out: Output) -> None:
    """Show a roster file, or the roster this node goes by."""
    from tocsin_protocol.roster_encoding import decode_roster

    from ..roster_files import read_roster

    signed = None if path is None else read_roster(path)
    _show(out, current_roster(home, None) if signed is None else decode_roster(signed.body), signed)


@roster.command()
@click.argument("path", type=FILE)
@click.option("--root", "root_path", type=FILE, help="Keystore of your root key; root.json of --home, if not given.")
@click.option("--root-passphrase-file", type=FILE, help="0600 file with its passphrase; root.passphrase beside it.")
@current_option
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
    in_force = None if decode_roster(signed.body).epoch == 0 else current_roster(home, current)
    with out.working("Opening the root key…"):
        secret = open_root_keystore(root_path, passphrase)
    signed = sign_with_root(signed, secret, in_force)
    write_roster(path, signed, replaces=True)
    report_roster(out, signed, path)


@roster.command()
@click.argument("path", type=FILE)
@click.option("--hash", "expected", help="For a genesis: the hash it must have; the pinned one, if not given.")
@current_option
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
        verified = verify_successor(current_roster(home, current), signed)
    if out.as_json:
        out.emit({"valid": True, "epoch": verified.epoch, "signatures": len(signed.signatures)})
    else:
        out.say(("Valid: ", "bold green"), f"epoch {verified.epoch} with {len(signed.signatures)} signatures")


@roster.command()
@click.argument("path", type=FILE)
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
