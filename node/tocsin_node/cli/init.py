"""`tocsin init`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import ConfigError
from .base import EXIT_CODES, home_option, output_option
from .output import Output

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog=EXIT_CODES)
@home_option
@click.option("--member", required=True, help="Short name of your organisation in the network: a-z, 0-9, '-', '.'.")
@click.option("--organisation", help="Its name for people; the short name, if not given.")
@click.option("--listen", multiple=True, help="Where the mesh listens; /ip4/0.0.0.0/tcp/9400, if not given.")
@click.option("--address", multiple=True, help="Where the other members reach you, e.g. /dns4/node.example/tcp/9400.")
@click.option("--feed-listen", help="Where the feed answers HTTP; 127.0.0.1:9480, if not given.")
@click.option("--rate-class", type=click.Choice(["low", "standard", "high"]), default="standard", show_default=True)
@click.option("--rpc-group", multiple=True, help="Label of the RPC providers your detectors see the chain through.")
@click.option(
    "--passphrase-file", type=_FILE, help="0600 file with the keystore's passphrase; one is made, if not given."
)
@click.option("--passphrase-credential", help="Name of the systemd credential with the keystore's passphrase.")
@click.option("--root", "root_path", type=_FILE, help="Keystore of the root key your organisation has already.")
@click.option("--root-passphrase-file", type=_FILE, help="0600 file with that root key's passphrase.")
@click.option("--genesis", type=_FILE, help="Genesis roster of the network, to pin now.")
@click.option("--genesis-hash", help="Its hash, as agreed on out of band.")
@output_option
def init(
    home: Path,
    member: str,
    organisation: str | None,
    passphrase_file: Path | None,
    passphrase_credential: str | None,
    root_path: Path | None,
    root_passphrase_file: Path | None,
    genesis: Path | None,
    genesis_hash: str | None,
    out: Output,
    **plan: Any,
) -> None:
    """Make a new node: encrypted keys, config, a policy and a manifest to fill in, and the entry for the roster.

    No secret is ever taken from the command line or the environment.
    """
    from ..clock import now_ms
    from ..setup_node import create_node_home

    if passphrase_file and passphrase_credential:
        raise click.UsageError("give one of --passphrase-file and --passphrase-credential")
    if bool(genesis) != bool(genesis_hash):
        raise click.UsageError("--genesis and --genesis-hash go together: a roster is trusted for its hash alone")
    root_secret = _open_root(root_path, root_passphrase_file)
    with out.working("Making keys…"):
        made = create_node_home(
            home,
            _plan(member, organisation, **plan),
            now_ms(),
            passphrase_file=passphrase_file,
            passphrase_credential=passphrase_credential,
            root_secret=root_secret,
        )
    pins: tuple[str, ...] = ()
    if genesis and genesis_hash:
        from .roster import pin_file

        pins = pin_file(made.config_path, genesis, genesis_hash)
    publisher = made.entry.publisher
    if out.as_json:
        out.emit(
            {
                "home": str(made.directory),
                "config": str(made.config_path),
                "entry": str(made.entry_path),
                "member": member,
                "publisher": "0x" + publisher.id.hex(),
                "peer_id": publisher.peer_id,
                "guardian": made.guardian_address,
                "root": made.entry.root.hex(),
                "root_keystore": None if root_path else str(made.root_path),
                "proposed_pins": list(pins),
            }
        )
        return
    out.say(("A node for ", "bold"), (member, "bold cyan"), (f" is in {made.directory}", "bold"))
    out.say("  publisher  0x", publisher.id.hex())
    out.say("  peer id    ", publisher.peer_id)
    out.say(
        "  guardian   ", made.guardian_address, ("   the account your contracts let pause, and nothing else", "dim")
    )
    _say_next_steps(out, home, made.entry_path, None if root_path else made.root_path, pinned=bool(genesis))
    if pins:
        say_pins(out, pins, made.policy_path)
    if not publisher.addresses:
        out.warn("the entry names no address: the others cannot dial you, only you them; --address would name one")


def say_pins(out: Output, pins: tuple[str, ...], policy_path: Path) -> None:
    """Propose whose word to weigh from the first day."""
    from ..setup_node import PROPOSED_PIN

    out.say("")
    out.say(("Nobody's word weighs anything yet: ", "bold yellow"), "it has to be earned, or given by you.")
    out.say(
        "  Of these members, keep those whose alarms you would look at tonight, and put them into ", str(policy_path)
    )
    out.say("")
    out.say("  [pins]")
    for pin in pins:
        name = pin if "." not in pin else f'"{pin}"'
        out.say(f"  {name} = {{ min = {PROPOSED_PIN.min_llr}, max = {PROPOSED_PIN.max_llr} }}")
    out.say("")
    out.say(("  In nats: such a word counts 12 to 1 from the first day, and 50 to 1 at most.", "dim"))


def _plan(
    member: str,
    organisation: str | None,
    *,
    listen: tuple[str, ...],
    address: tuple[str, ...],
    feed_listen: str | None,
    rate_class: str,
    rpc_group: tuple[str, ...],
) -> Any:
    from tocsin_protocol.roster_model import RateClass

    from ..config import DEFAULT_FEED_LISTEN, DEFAULT_MESH_LISTEN
    from ..setup_node import NodePlan

    return NodePlan(
        member=member,
        organisation=organisation or member,
        listen=listen or (DEFAULT_MESH_LISTEN,),
        addresses=address,
        feed_listen=feed_listen or DEFAULT_FEED_LISTEN,
        rate_class=RateClass(rate_class),
        rpc_groups=rpc_group,
    )


def _open_root(path: Path | None, passphrase_file: Path | None) -> bytes | None:
    from ..keystore import open_root_keystore, read_passphrase

    if path is None:
        return None
    if passphrase_file is None:
        raise ConfigError(path, "", "its passphrase is wanted too: give --root-passphrase-file")
    return open_root_keystore(path, read_passphrase(passphrase_file))


def _say_next_steps(out: Output, home: Path, entry: Path, root: Path | None, *, pinned: bool) -> None:
    out.say("")
    out.say(("Next", "bold"))
    steps = []
    if root is not None:
        steps.append(
            f"Move {root} and {root.with_suffix('.passphrase')} to two safe places offline: they vote for you."
        )
    steps.append(f"Write your chains, hooks and watchers into {home / 'node.toml'}.")
    steps.append("Write what you hold and hang on into manifest.toml: without it nothing is ever at stake.")
    steps.append("Write your levers and limits into policy.toml: without levers the node only listens.")
    steps.append("Back up keystore.json and its passphrase in different places: together they are the keys.")
    if not pinned:
        steps.append(f"Give {entry} to the other members (it holds no secret).")
        steps.append("One of you runs `tocsin roster create ENTRY…`; compare the hash it prints by voice.")
        steps.append(
            f"Each of you runs `tocsin roster pin genesis.roster --hash HASH --home {home}`, which proposes pins."
        )
    steps.append(
        "Put the members whom you trust into [pins] of policy.toml: nobody else's word weighs anything at first."
    )
    steps.append(f"Give the others your manifest: `tocsin manifest sign OUT --home {home}`, and import theirs.")
    steps.append("Look at what you have: `tocsin policy check`, `tocsin manifest check`, `tocsin coverage`.")
    steps.append(f"Start the node: `tocsin up --home {home}`. Hooks are disarmed until `tocsin arm HOOK`.")
    for number, step in enumerate(steps, 1):
        out.say(f"  {number}. ", step)
