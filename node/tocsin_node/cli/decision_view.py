"""One decision for people: the sentence, the arithmetic of belief, evidence, levers, what would have changed it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .output import Output, money_text, styled, time_text

if TYPE_CHECKING:
    from rich.text import Text

    from ..store.decision_detail import Detail, LeverRow, TermRow
    from ..store.reader import DecisionRow

PPM = 1_000_000
_TIERS = ("notify", "tighten", "freeze", "pause")
_SUMS = ("before anybody spoke", "what others report", "our own detector", "what others dispute", "who keeps silent")
# What opens a tier, as a person would say it (the conditions of specs/decision.md).
_HELD = {
    "signal": "a signal fresh enough to act on",
    "own-detector": "our own detector",
    "pinned": "the word of a pinned member",
    "tighten-groups": "groups enough to tighten",
    "freeze-groups": "groups enough to freeze",
    "groups-beside-own": "a group beside our detector",
    "pause-groups": "groups enough to pause",
    "local-evidence": "evidence confirmed here",
    "own-outflow": "outflow measured here",
}
_VERDICTS = {
    "fires": "used",
    "in-effect": "in effect",
    "spent": "used already",
    "not-worth-it": "not worth it",
    "resting": "resting",
    "no-token": "used too often",
    "disarmed": "disarmed",
    "contradicted": "barred: contradicted",
    "condition-not-met": "barred: condition",
    "tier-closed": "not open yet",
    "not-at-stake": "nothing at stake",
}
_NOT_COUNTED = {
    "shares-label": "not counted: shares {shared}",
    "worthless": "weighs nothing: a stranger, or nothing is left of it",
    "not-due": "not silent yet",
    "no-heartbeat": "not heard, so not silent",
}


def show_decision(out: Output, decision: DecisionRow, place: int, *, in_full: bool) -> None:
    """Print the decision at a place in its incident; in full with everything it stood on, if it was about us."""
    from tocsin_protocol.decision.sentence import NOTHING_OF_OURS

    out.say("")
    out.say((f"Decision {place}", "bold"), f"  {time_text(decision.at_ms)} UTC")
    out.say("  ", decision.sentence)
    if in_full and decision.sentence != NOTHING_OF_OURS:
        _show_belief(out, decision.detail)
        out.say("  ", ("Evidence", "bold"), f"  {decision.detail.evidence}")
        _show_stakes(out, decision.detail)
        _show_levers(out, decision.detail)


def _show_belief(out: Output, detail: Detail) -> None:
    out.say(
        "  ",
        ("Belief", "bold"),
        f"  that this is {detail.category}; evidence is asked for beside it, and leaves it as it is.",
    )
    out.say("    In nats, which add up; 2.303 of them are ten to one:")
    out.say(f"    {detail.sums[0]:>8}  {_SUMS[0]}: {_percent(1 / (1 + math.exp(-float(detail.sums[0]))))}")
    for term in detail.terms:
        out.say(f"    {_signed(term):>8}  {_term_text(term)}")
    total = sum(float(value) for value in detail.sums)
    out.say(f"    {total:>+8.3f}  in all: ", (_percent(detail.belief_ppm / PPM), "bold"))


def _signed(term: TermRow) -> str:
    if term.answer != "counted":
        return "·"
    return term.weight if term.source in ("own", "report") else term.weight.replace("+", "-", 1)


def _term_text(term: TermRow) -> str:
    who = "our own detector" if term.source == "own" else f"{term.member or 'a stranger'} ({term.source})"
    if term.answer != "counted":
        return f"{who}, " + _NOT_COUNTED.get(term.answer, term.answer).format(shared=term.shared)
    if term.source == "silence":
        return f"{who}: watches this, and says nothing"
    return (
        f"{who}: weight {term.llr.removeprefix('+')}, {_share(term.confidence_ppm)} sure,"
        f" faded to {_percent(term.decay_ppm / PPM)} since"
    )


def _show_stakes(out: Output, detail: Detail) -> None:
    if not detail.stakes:
        out.say("  ", ("At stake", "bold"), "  nothing of ours that the manifest knows of")
        return
    stakes = ", ".join(f"{scope} {money_text(loss)}" for scope, loss in detail.stakes)
    out.say("  ", ("At stake", "bold"), f"  if it is real and nothing is done: {stakes}")


def _show_levers(out: Output, detail: Detail) -> None:
    if detail.levers:
        out.table(
            "",
            ("lever", "tier", "verdict", "cost of using it", "cost of waiting", "minutes charged to"),
            map(_row, detail.levers),
        )
    least = dict(detail.counterfactuals)
    for lever in detail.levers:
        out.say(
            "    ", (lever.hook, "bold"), " has ", ", ".join(_HELD[held] for held in lever.held) or "nothing it needs"
        )
        if lever.hook in least:
            out.say(
                "    ", (lever.hook, "bold"), " would have been used with ", (" and ".join(least[lever.hook]), "yellow")
            )


def _row(lever: LeverRow) -> tuple[str | Text, ...]:
    is_priced = lever.verdict in ("fires", "not-worth-it") and lever.tier > 0
    return (
        lever.hook,
        f"{lever.tier} {_TIERS[lever.tier]}",
        styled(lever.verdict, _VERDICTS[lever.verdict]),
        money_text(lever.cost_micro_usd) if is_priced else "",
        money_text(lever.observe_micro_usd) if is_priced else "",
        ", ".join(lever.charged) if lever.verdict == "fires" else "",
    )


def _share(ppm: int) -> str:
    return f"{ppm / 10_000:.0f} %"


def _percent(probability: float) -> str:
    return f"{100 * probability:.2f} %" if probability < 0.1 else f"{100 * probability:.1f} %"
