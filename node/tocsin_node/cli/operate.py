"""`tocsin status`, `arm`, `resume`, `adjudicate`: requests to the running node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..control_verbs import Verb
from .base import EXIT_CODES, ask_node, confirm, home_option, open_config, open_store, output_option
from .output import Output, short_hex, styled

if TYPE_CHECKING:
    from ..store.reader import SignalRow

# What an operator may find, and how a signal that shares it refers to one of the incident.
_SHARED_AS = {"confirmed": "corroborates", "false": "disputes"}
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command(epilog=EXIT_CODES)
@home_option
@output_option
def status(home: Path, out: Output) -> None:
    """Say how the running node is: mesh, peers, feeds, hooks, and what it dropped and why."""
    from .status_view import show_status

    answer = ask_node(open_config(home), Verb.STATUS)
    if out.as_json:
        out.emit(answer)
    else:
        show_status(out, answer)


@click.command(epilog=EXIT_CODES)
@click.argument("hook")
@_YES
@home_option
@output_option
def arm(hook: str, yes: bool, home: Path, out: Output) -> None:
    """Let HOOK fire, once: it stays used until it is armed again."""
    config = open_config(home)
    check_hook(hook, config.hook_names)
    target = next(configured.target for configured in config.hooks if configured.name == hook)
    confirm(f"Let the policy fire {hook!r} at {target}?", yes=yes)
    report_arm(out, ask_node(config, Verb.ARM, hook=hook))


@click.command(epilog=EXIT_CODES)
@_YES
@home_option
@output_option
def resume(yes: bool, home: Path, out: Output) -> None:
    """Publish again though no peer is in reach to say where our feeds end.

    After a restore from an old copy of the database this forks the feeds, which every member will hold against you.
    """
    config = open_config(home)
    confirm("Is this node's database its own latest, not a restored copy?", yes=yes)
    answer = ask_node(config, Verb.RESUME)
    if out.as_json:
        out.emit(answer)
    else:
        out.say("Publishing: ", str(answer.get("publishing", "yes")))


def check_hook(hook: str, known: frozenset[str]) -> None:
    """Refuse the name of a hook that is none."""
    if hook not in known:
        names = ", ".join(sorted(known)) or "none"
        raise click.UsageError(f"node.toml has no hook {hook!r} (it has {names})")


def report_arm(out: Output, answer: dict[str, Any]) -> None:
    """Say how a hook is armed now."""
    if out.as_json:
        out.emit(answer)
        return
    word = "armed" if answer.get("armed") else "disarmed"
    out.console.print(str(answer.get("hook")), "is", styled(word), f"(arm epoch {answer.get('epoch')})")
    for incident in answer.get("kept_from", []):
        out.warn(
            f"incident {short_hex(incident)} met its rules while it was disarmed; it acts only on that incident's next "
            f"signal. See tocsin explain {short_hex(incident)}"
        )


@click.command(epilog=EXIT_CODES)
@click.argument("incident")
@click.argument("finding", type=click.Choice(tuple(_SHARED_AS)))
@click.option("--share", is_flag=True, help="Tell the other members too, by a signal that joins the incident.")
@_YES
@home_option
@output_option
def adjudicate(incident: str, finding: str, share: bool, yes: bool, home: Path, out: Output) -> None:
    """Say what INCIDENT (first hex digits of its id) was: its reporters' words weigh accordingly from then on.

    Signed and recorded. A confirmed incident gives the groups that were charged for it their minutes back. --share
    lets the others know; each of them adjudicates for itself.
    """
    config = open_config(home)
    with open_store(config) as reader:
        row = reader.incident(incident)
        decisions = reader.decisions(row.id, limit=1)
        said = next((signal for signal in reader.signals(incident=row.id) if signal.signal is not None), None)
    if share and said is None:
        raise click.UsageError(f"--share: no signal of incident {short_hex(row.id)} was published yet")
    category = decisions[0].detail.category if decisions else ""
    confirm(f"Record incident {short_hex(row.id)} ({category}) as {finding}?", yes=yes)
    answer = ask_node(config, Verb.ADJUDICATE, incident=row.id.hex(), finding=finding, category=category)
    if share and said is not None:
        told = ask_node(config, Verb.PUBLISH, signals=[_shared_finding(said, finding)])
        answer |= {"sealed": told["sealed"], "drafts": told["drafts"]}
    if out.as_json:
        out.emit(answer)
        return
    out.say(
        ("Recorded: ", "bold green"),
        f"incident {short_hex(row.id)} was {finding};",
        f" {answer['publishers']} publishers.",
    )
    if share:
        out.say("Shared with the other members." if answer["sealed"] else "It is shared once the node may publish.")


def _shared_finding(said: SignalRow, finding: str) -> dict[str, Any]:
    """A signal about the incident's newest signal, and about what that one was about."""
    from ..signal_json import signal_to_json

    subjects = [] if said.signal is None else signal_to_json(said.signal)["subjects"]
    return {
        "category": "meta.update",
        "severity": "low",
        "confidence": 100,
        "subjects": subjects,
        "references": [{"relation": _SHARED_AS[finding], "digest": "0x" + said.envelope.digest.hex()}],
        "text": f"Adjudicated by us: {finding}.",
    }
