"""`tocsin recover …`: the way back after containment. Nothing here opens anything: governance does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..control_verbs import Verb
from .base import EXIT_CODES, ask_node, confirm, home_option, open_config, open_store, output_option
from .output import Output, short_hex

_FILE = click.Path(path_type=Path, dir_okay=False)
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


class _PlanFirst(click.Group):
    """`tocsin recover INCIDENT` is `tocsin recover plan INCIDENT`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the command in where it is left out."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["plan", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_PlanFirst, epilog=EXIT_CODES)
def recover() -> None:
    """Show the way back after containment: tocsin recover INCIDENT.

    Scope by scope from halted to exits, to 1, 5 and 25 % of new exposure, to normal. Each step is approved by the
    operators (tocsin approve) and made by the protocol's own governance. This node watches and proposes; it opens
    nothing.
    """


@recover.command()
@click.argument("incident")
@click.option("--out", "out_file", type=_FILE, help="Write the proposed governance transactions to this new file.")
@home_option
@output_option
def plan(incident: str, out_file: Path | None, home: Path, out: Output) -> None:
    """Show where each scope of INCIDENT (first hex digits of its id) stands, and what its next step waits for."""
    from ..private_files import write_new_file
    from .recover_view import show_plan

    config = open_config(home)
    with open_store(config) as reader:
        row = reader.incident(incident)
    answer = ask_node(config, Verb.RECOVERY, incident=row.id.hex())
    if out_file is not None:
        write_new_file(out_file, json.dumps({"proposals": answer["proposals"]}, indent=1).encode() + b"\n")
    if out.as_json:
        out.emit(answer)
        return
    show_plan(out, answer)
    if out_file is not None:
        out.say(("Written: ", "bold green"), f"{len(answer['proposals'])} proposals to {out_file}")


@recover.command(name="approve")
@click.argument("scope")
@home_option
@output_option
def approve_(scope: str, home: Path, out: Output) -> None:
    """Ask the operators to approve the next step of SCOPE; asked already, say where it stands.

    They answer with tocsin approve. A step may be approved before its time; it has to be made before the window of the
    approval ends, or is asked anew.
    """
    answer = ask_node(open_config(home), Verb.ASK_STEP, scope=scope)
    if out.as_json:
        out.emit(answer)
        return
    out.say((answer["effect"], "bold"))
    out.say(f"  {answer['approved']} of {answer['wanted']} approved, {answer['state']}, valid {answer['window']}")
    out.say(f"  Answer with: tocsin approve sign {short_hex(answer['id'])} --key-file … --passphrase-file …")


@recover.command()
@click.argument("scope")
@_YES
@home_option
@output_option
def opened(scope: str, yes: bool, home: Path, out: Output) -> None:
    """Say that governance has made the calls of the next step of SCOPE.

    Needed only where no check in the policy lets the node see it on chain. Refused where the step is not approved yet,
    comes too early, or is further than what it hangs on.
    """
    confirm(f"Have the calls of the next step of {scope!r} been made?", yes=yes)
    answer = ask_node(open_config(home), Verb.OPENED, scope=scope)
    if out.as_json:
        out.emit(answer)
    else:
        out.say((answer["scope"], "bold"), " is open to ", (answer["stage"], "bold green"))


@recover.command()
@click.argument("snapshot", type=_FILE)
@click.option("--fund", "funds", multiple=True, required=True, metavar="[ASSET=]AMOUNT", help="What can be paid out.")
@click.option("--out", "out_file", type=_FILE, help="Write root, payouts and proofs to this new file.")
@output_option
def claims(snapshot: Path, funds: tuple[str, ...], out_file: Path | None, out: Output) -> None:
    """Pay the losses of SNAPSHOT (a CSV of account,asset,amount) pro rata from a fund: Merkle root, payouts, proofs.

    Amounts are in the asset's smallest unit. Give AMOUNT alone where the snapshot has one asset. Needs no node.
    """
    from ..claims_file import claims_view, read_claims, read_funds
    from ..private_files import write_new_file

    owed = read_claims(snapshot)
    view = claims_view(owed, read_funds(owed, funds))
    if out_file is not None:
        write_new_file(out_file, json.dumps(view, indent=1).encode() + b"\n")
    if out.as_json:
        out.emit(view if out_file is None else {key: view[key] for key in ("root", "claims", "owed", "paid")})
        return
    _show_claims(out, view, out_file)


def _show_claims(out: Output, view: dict[str, Any], out_file: Path | None) -> None:
    out.say("root ", (view["root"], "bold cyan"))
    for asset, owed in view["owed"].items():
        paid = int(view["paid"][asset])
        out.say(f"  {asset}: {paid} of {owed} paid ({100 * paid / int(owed):.1f} %)")
    out.say(f"  {view['claims']} accounts are paid" + ("" if out_file is None else f"; proofs in {out_file}"))
