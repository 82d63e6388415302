"""The `tocsin` command. Each command's module is imported when it is used, so that --help is quick."""

from __future__ import annotations

import click

from .base import EXIT_CODES, LazyGroup, version_option

_COMMANDS = {
    "init": ("init", "Make a new node: keys, config, policy, manifest, roster entry."),
    "roster": ("roster", "Create, read, propose, sign and apply rosters."),
    "run": ("run", "Run the relay with its mesh."),
    "serve": ("run", "Run the feed: the read API and live streams."),
    "feed": ("feed", "Keys and webhooks of the feed."),
    "subscribe": ("subscribe", "Follow a feed live, and believe only what is signed."),
    "up": ("run", "Run all of it: relay, mesh and feed."),
    "status": ("operate", "Say how the running node is."),
    "publish": ("publish", "Sign and publish a signal."),
    "suggestions": ("suggestions", "Publish or drop what others found."),
    "taxii": ("taxii", "Serve another's archive, and read another's feed."),
    "drill": ("drill", "Drill: the whole way to levers that do nothing, and how long it took."),
    "signals": ("read", "List the signals this node holds."),
    "incidents": ("read", "List incidents and what was decided."),
    "explain": ("read", "Say why an incident did, or did not, lead to action."),
    "report": ("report", "Write the post-mortem of an incident, for yourself and for others."),
    "actions": ("read", "List containment actions and their state."),
    "policy": ("policy", "Check and show what this node may do."),
    "manifest": ("manifest", "Check, show, sign and import what protocols hold and hang on."),
    "coverage": ("coverage", "Say which threats no lever answers yet."),
    "approve": ("approve", "Show, sign, hand in and decline what the operators are asked."),
    "recover": ("recover", "Show the way back after containment, and ask for its next step."),
    "arm": ("operate", "Let a hook fire, once."),
    "disarm": ("disarm", "Keep a hook, or all of them, from firing."),
    "sign-disarm": ("disarm", "Sign, offline, that a node is to act no more."),
    "doctor": ("doctor", "Look at every lever and every part of the node."),
    "watchdog": ("watchdog", "Raise an alarm when the node is not well."),
    "adjudicate": ("operate", "Say what an incident was: whose word weighs what follows from it."),
    "ledger": ("ledger", "Show and confirm the ledger of actions."),
    "log": ("log", "Check, prove from and export the record."),
    "backup": ("backup", "Copy the database while the node runs."),
    "restore": ("backup", "Put a backup where there is no database."),
    "resume": ("operate", "Publish again though no peer is in reach."),
    "oracle": ("oracle", "Show and check risk reports, and carry them to the oracle contract."),
    "risk": ("risk", "Calibrate and show the model behind risk reports."),
    "simulate": ("simulate", "Replay incidents and false alarms under a policy."),
    "demo": ("demo", "Three protocols, one real incident, on a local chain."),
    "bench": ("bench", "Measure this machine against the goals."),
}


@click.group(cls=LazyGroup, commands_table=_COMMANDS, epilog=EXIT_CODES)
@version_option
def cli() -> None:
    """Share signed threat signals between DeFi protocols, and contain your own when your policy says so."""


def main() -> None:
    """The console entry point."""
    cli(prog_name="tocsin")
