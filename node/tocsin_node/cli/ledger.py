"""`tocsin ledger …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..control_verbs import Verb
from .base import EXIT_CODES, ask_node, confirm, home_option, open_config, open_store, output_option
from .output import Output, short_address, styled

_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(epilog=EXIT_CODES)
def ledger() -> None:
    """Show and confirm the ledger of actions.

    A node whose database is empty, restored or another's does not know what it has done already. It goes on hearing,
    judging and publishing, and no hook acts until the operator has looked at the chain and confirmed the ledger.
    """


@ledger.command()
@home_option
@output_option
def show(home: Path, out: Output) -> None:
    """Show what the anchor knows, what the database knows, and what to look at on chain."""
    answer = ask_node(open_config(home), Verb.LEDGER)
    if out.as_json:
        out.emit(answer)
    else:
        _show(out, answer)


@ledger.command(name="confirm")
@_YES
@home_option
@output_option
def confirm_(yes: bool, home: Path, out: Output) -> None:
    """Take the ledger for this node's own, and let hooks be armed again.

    All hooks stay disarmed, in arm epochs above any that the anchor knows; what was not signed yet lapses.
    """
    config = open_config(home)
    answer = ask_node(config, Verb.LEDGER)
    if answer["doubt"] and not out.as_json:
        _show(out, answer)
    confirm("Have you looked at the chain, and is this the ledger to go on with?", yes=yes)
    told = ask_node(config, Verb.CONFIRM_LEDGER)
    if out.as_json:
        out.emit(told)
    else:
        out.say(("Confirmed. ", "bold green"), "All hooks are disarmed: arm those that may fire.")


@ledger.command()
@click.argument("action")
@_YES
@home_option
@output_option
def lifted(action: str, yes: bool, home: Path, out: Output) -> None:
    """Say that the effect of ACTION (first hex digits of its id) is over. It lifts nothing itself."""
    config = open_config(home)
    with open_store(config) as reader:
        row = reader.find_action(action)
    confirm(f"Is what {row.action.hook!r} did at {row.action.target} lifted?", yes=yes)
    answer = ask_node(config, Verb.LIFTED, action=row.action.action_id.hex())
    if out.as_json:
        out.emit(answer)
    else:
        out.console.print(row.action.hook, "is", styled(str(answer["state"])))


@ledger.command()
@click.argument("action")
@click.argument("outcome", type=click.Choice(["in-effect", "no-effect"]))
@_YES
@home_option
@output_option
def settle(action: str, outcome: str, yes: bool, home: Path, out: Output) -> None:
    """Say what became of ACTION (first hex digits of its id) whose outcome is unknown: look at its target first.

    That it had no effect can be said of messages and programs alone: of a signed transaction the chain tells.
    """
    config = open_config(home)
    with open_store(config) as reader:
        row = reader.find_action(action)
    is_in_effect = outcome == "in-effect"
    said = "took effect" if is_in_effect else "had no effect, and will have none"
    confirm(f"Have you looked, and are you sure that {row.action.hook!r} at {row.action.target} {said}?", yes=yes)
    answer = ask_node(config, Verb.SETTLE, action=row.action.action_id.hex(), effect=is_in_effect)
    if out.as_json:
        out.emit(answer)
    else:
        out.console.print(row.action.hook, "is", styled(str(answer["state"])))


def _show(out: Output, answer: dict[str, Any]) -> None:
    doubt, fault = str(answer["doubt"]), str(answer["anchor_fault"])
    if doubt:
        out.say(("  ! ", "bold red"), (f"In doubt: {doubt}", "yellow"))
    else:
        out.say("The ledger is confirmed.")
    if fault and fault != doubt:
        out.say("  ", fault)
    for name in ("anchor", "database"):
        mark = answer[name]
        known = f"ledger {mark['ledger'][:12]}, {mark['sequence']} armings and first steps" if mark else "nothing"
        out.say(f"  the {name:<9} knows of ", known)
    hooks = [
        (row["hook"], short_address(row["target"]), str(row["anchor_epoch"]), str(row["database_epoch"]))
        for row in answer["hooks"]
    ]
    if hooks:
        out.table("Hooks", ("hook", "target", "arm epoch in the anchor", "in the database"), hooks)
    if doubt:
        out.say("Before you confirm, look at every target on chain: is it contained already? Look as well for")
        out.say("transactions of this node's guardian that `tocsin actions` does not list.")
