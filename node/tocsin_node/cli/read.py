"""`tocsin signals`, `incidents`, `explain`, `actions`: from the database, whether or not the node runs."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError
from .base import EXIT_CODES, home_option, open_config, open_store, output_option
from .decision_view import show_decision
from .output import Output, count_text, money_text, plain, short_address, short_hex, styled, time_text

if TYPE_CHECKING:
    from rich.text import Text
    from tocsin_protocol.model import Signal
    from tocsin_protocol.roster import RosterIndex

    from ..config import NodeConfig
    from ..store.reader import ActionRow, DecisionRow, IncidentRow, Reader, SignalRow, TieRow

MAX_LIMIT = 1000
FOLLOW_POLL_SECONDS = 0.2
MAX_SHOWN_SUBJECTS = 3
MAX_SHOWN_TEXT_CHARS = 120

_DIGEST = re.compile(r"[0-9a-f]{64}")

_LIMIT = click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=50, show_default=True)
# How a tie reads from the side of the incident that made it, and from the other.
_TIES = {
    ("bridged", False): "shares a signal with incident",
    ("bridged", True): "shares a signal with incident",
    ("follows", False): "follows incident",
    ("follows", True): "was followed by incident",
}
_SIGNAL_COLUMNS = ("received (UTC)", "member", "signal", "about", "standing", "by", "incident")


@click.command(epilog=EXIT_CODES)
@_LIMIT
@click.option("--incident", help="Only those of an incident (first hex digits of its id).")
@click.option("--follow", "-f", is_flag=True, help="Go on with those that arrive, until interrupted.")
@home_option
@output_option
def signals(limit: int, incident: str | None, follow: bool, home: Path, out: Output) -> None:
    """List the signals this node holds, oldest first; JSON: one object a line."""
    with open_store(open_config(home)) as reader:
        only = None if incident is None else _find(reader, incident).id
        rows = reader.signals(incident=only, limit=limit)[::-1]
        roster = reader.roster()
        _print_signals(out, rows, roster)
        if follow:
            with contextlib.suppress(KeyboardInterrupt):
                _follow(out, reader, only, rows[-1].id if rows else 0)


@click.command(epilog=EXIT_CODES)
@_LIMIT
@home_option
@output_option
def incidents(limit: int, home: Path, out: Output) -> None:
    """List incidents, latest first, with what was decided; JSON: one object a line."""
    from ..views import incident_view, member_name

    with open_store(open_config(home)) as reader:
        rows, roster = reader.incidents(limit=limit), reader.roster()
    if out.as_json:
        for row in rows:
            out.emit(incident_view(row, roster))
        return
    if not rows:
        out.say("No incidents.")
        return
    out.table(
        "",
        ("id", "first (UTC)", "last (UTC)", "family", "signals", "members", "acted", "decision"),
        (
            (
                short_hex(row.id),
                time_text(row.first_ms)[:-4],
                time_text(row.last_ms)[11:-4],
                row.family,
                str(row.signals),
                ", ".join(sorted({member_name(roster, publisher) for publisher in row.publishers})),
                styled("yes" if row.acts else "no"),
                row.sentence,
            )
            for row in rows
        ),
    )


@click.command(epilog=EXIT_CODES)
@click.argument("incident")
@home_option
@output_option
def explain(incident: str, home: Path, out: Output) -> None:
    """Say why INCIDENT (first hex digits of its id, or of a signal in it) did, or did not, lead to action."""
    from ..views import action_view, decision_view, incident_view, signal_view, tie_view

    config = open_config(home)
    with open_store(config) as reader:
        row, roster = _find(reader, incident), reader.roster()
        subjects, ties = reader.incident_subjects(row.id), reader.incident_ties(row.id)
        held = reader.signals(incident=row.id, limit=MAX_LIMIT)[::-1]
        decisions = reader.decisions(row.id, limit=MAX_LIMIT)[::-1]
        taken = reader.actions(incident=row.id, limit=MAX_LIMIT)[::-1]
    if out.as_json:
        out.emit(
            incident_view(row, roster)
            | {
                "subjects": subjects,
                "ties": [tie_view(tie) for tie in ties],
                "signals": [signal_view(signal, roster) for signal in held],
                "decisions": [decision_view(decision) for decision in decisions],
                "actions": [action_view(action) for action in taken],
            }
        )
        return
    names = _names_of(config)
    _explain_incident(out, row, [_named(subject, names) for subject in subjects], ties)
    _explain_outcome(out, decisions, taken)
    _print_signals(out, held, roster)
    for place, decision in enumerate(decisions, start=1):
        show_decision(out, decision, place, in_full=decision.acts > 0 or decision is decisions[-1])
    for action in taken:
        _explain_action(out, action)


@click.command(epilog=EXIT_CODES)
@_LIMIT
@click.option("--incident", help="Only those of an incident (first hex digits of its id).")
@home_option
@output_option
def actions(limit: int, incident: str | None, home: Path, out: Output) -> None:
    """List containment actions, latest first; JSON: one object a line."""
    from ..action_words import end_text, next_step
    from ..clock import now_ms
    from ..views import action_view

    now = now_ms()
    with open_store(open_config(home)) as reader:
        only = None if incident is None else _find(reader, incident).id
        rows = reader.actions(incident=only, limit=limit)
    if out.as_json:
        for row in rows:
            out.emit(action_view(row))
        return
    if not rows:
        out.say("No actions.")
        return
    out.table(
        "",
        ("id", "hook", "target", "state", "since (UTC)", "ends", "transaction", "what now"),
        (
            (
                short_hex(row.action.action_id),
                row.action.hook,
                short_address(row.action.target),
                styled(row.action.state.value),
                time_text(row.since_ms)[:-4],
                end_text(row.action, now),
                "0x" + short_hex(row.action.transactions[-1].hash) + "…" if row.action.transactions else "",
                "\n".join(filter(None, (next_step(row.action), row.action.reason))),
            )
            for row in rows
        ),
    )


def _follow(out: Output, reader: Reader, only: bytes | None, last: int) -> None:
    while True:
        rows = reader.signals(after=last, incident=only, limit=MAX_LIMIT)
        if rows:
            _print_signals(out, rows, reader.roster())
            last = rows[-1].id
        else:
            time.sleep(FOLLOW_POLL_SECONDS)


def _find(reader: Reader, text: str) -> IncidentRow:
    """An incident by the first digits of its id, or by a whole digest of a signal in it; raises StoreError."""
    digits = text.removeprefix("0x").lower()
    if _DIGEST.fullmatch(digits):
        signal = reader.signal(bytes.fromhex(digits))
        if signal is not None and signal.incident is not None:
            return reader.incident(signal.incident.hex())
    return reader.incident(text)


def _print_signals(out: Output, rows: list[SignalRow], roster: RosterIndex) -> None:
    from ..views import member_name, signal_view

    if out.as_json:
        for row in rows:
            out.emit(signal_view(row, roster))
        return
    if not rows:
        out.say("No signals.")
        return
    cells = []
    for row in rows:
        signal = row.signal
        cells.append(
            (
                time_text(row.received_ms),
                member_name(roster, row.envelope.publisher) or "0x" + short_hex(row.envelope.publisher),
                _what_text(signal),
                _about_text(signal),
                styled(str(row.standing)),
                row.path,
                short_hex(row.incident) if row.incident else "",
            )
        )
    out.table("", _SIGNAL_COLUMNS, cells)


def _what_text(signal: Signal | None) -> Text:
    from rich.text import Text

    if signal is None:
        return Text("(unreadable)", "dim")
    what = Text.assemble(styled(str(signal.severity)), f" {signal.confidence} %\n{signal.category}")
    return what.append(" (drill)", "cyan") if signal.drill else what


def _about_text(signal: Signal | None) -> str:
    if signal is None:
        return ""
    lines = [f"{subject.role} {short_address(subject.value)}" for subject in signal.subjects[:MAX_SHOWN_SUBJECTS]]
    if len(signal.subjects) > len(lines):
        lines.append(f"and {len(signal.subjects) - len(lines)} more")
    lines.append(_loss_text(signal))
    # one line of what they wrote; --json has it all
    text = signal.text.partition("\n")[0]
    lines.append(text if len(text) <= MAX_SHOWN_TEXT_CHARS else text[: MAX_SHOWN_TEXT_CHARS - 1] + "…")
    return "\n".join(line for line in lines if line)


def _explain_incident(out: Output, row: IncidentRow, subjects: list[str], ties: list[TieRow]) -> None:
    out.say(("Incident ", "bold"), (row.id.hex(), "cyan"), f"  family {row.family}")
    heard = f"first heard {time_text(row.first_ms)}, last {time_text(row.last_ms)} UTC"
    out.say(f"  {heard}; {count_text(row.signals, 'signal')}")
    if row.hint:
        out.say("  called ", (row.hint, "italic"), " by its first publisher")
    for subject in subjects:
        out.say("  about ", subject)
    for tie in ties:
        out.say(f"  {_TIES[tie.tie.value, tie.is_reverse]} ", (short_hex(tie.other), "cyan"))


def _explain_outcome(out: Output, decisions: list[DecisionRow], taken: list[ActionRow]) -> None:
    """What it came to, before everything that led there."""
    out.say("")
    if not taken:
        out.say((decisions[-1].sentence if decisions else "Nothing was decided yet.", "bold"))
    for row in taken:
        at = f" at {time_text(row.events[-1].at_ms)} UTC" if row.events else ""
        out.say((f"{row.action.hook}: ", "bold"), f"{row.action.state.value}{at}")
    if taken:
        out.say("  ", next((d.sentence for d in decisions if d.acts), ""))


def _names_of(config: NodeConfig) -> dict[str, str]:
    """What subjects are to us, by the manifest; nothing where it cannot be read, which `manifest check` explains."""
    from ..manifest_file import load_manifest

    try:
        manifest = load_manifest(config.exposure.manifest)
    except ConfigError:
        return {}
    names = {d.subject.value: f"our {d.holding} depends on it: {d.link}" for d in manifest.dependencies}
    return names | {s.value: f"our {holding.name}" for holding in manifest.holdings for s in holding.subjects}


def _named(subject: str, names: dict[str, str]) -> str:
    return f"{subject}  ({names[subject]})" if subject in names else subject


def _explain_action(out: Output, row: ActionRow) -> None:
    from ..action_words import next_step

    action = row.action
    out.say("")
    out.say(("Action ", "bold"), short_hex(action.action_id), f"  {action.hook} at {action.target}")
    out.console.print("  state", styled(action.state.value), plain(action.reason), markup=False)
    out.say("  ", next_step(action))
    out.say(f"  {time_text(action.created_ms)}  planned")
    for event in row.events:
        reason = f": {event.reason}" if event.reason else ""
        out.say(f"  {time_text(event.at_ms)}  {event.event.value}{reason}")
    for transaction in action.transactions:
        out.say("  transaction 0x", transaction.hash.hex())


def _loss_text(signal: Signal) -> str:
    """What a signal says was lost and is at risk; empty when it says neither."""
    parts = []
    if signal.loss.observed_micro_usd:
        parts.append(f"{money_text(signal.loss.observed_micro_usd)} lost")
    if signal.loss.at_risk_micro_usd:
        parts.append(f"{money_text(signal.loss.at_risk_micro_usd)} at risk")
    return ", ".join(parts)
