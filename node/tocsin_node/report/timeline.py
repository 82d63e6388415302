"""Everything that happened, in one list by time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.postmortem.entries import (
    Acted,
    AnyEntry,
    Asked,
    Believed,
    Check,
    Decided,
    Found,
    Heard,
    Recovered,
    Said,
)
from tocsin_protocol.postmortem.words import money_text

from .markup import safe, short

_EVENTS = {
    Event.ASK: "the operators are asked",
    Event.GRANT: "the operators approved",
    Event.DECLINE: "the operators declined",
    Event.SIGN: "signed",
    Event.SEND: "sent",
    Event.INCLUDE: "in a block",
    Event.CONFIRM: "IN EFFECT",
    Event.REORG: "taken back by a reorg",
    Event.EXPIRE: "its end is near",
    Event.LIFT: "lifted",
    Event.REVERT: "failed on chain",
    Event.REFUSE: "not sent: the chain said that it would fail",
    Event.FAIL: "given up",
    Event.LAPSE: "not sent: too late, or taken back",
    Event.LOSE: "its outcome is not known",
}
_NOTES = {
    "approved": "the next step is approved",
    "opened": "opened",
    "stepped-back": "stepped back by itself: the danger is back",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One line; `what` is HTML. `style` is `acts`, `bad` or nothing."""

    at_ms: int
    who: str
    what: str
    style: str = ""


def timeline_of(entries: Sequence[AnyEntry], own: str) -> list[Moment]:
    """All moments that are shown, by time; `own` is what the node's member is called."""
    decided = {entry.number for entry in entries if isinstance(entry, Decided)}
    moments: list[Moment] = []
    for entry in entries:
        # Where the decision stands in full, its belief alone would say the same twice.
        if isinstance(entry, Believed) and entry.decision in decided:
            continue
        if tell := _TELLERS.get(type(entry)):
            moments += tell(entry, own)
    return sorted(moments, key=lambda moment: moment.at_ms)


def _said(entry: Said, own: str) -> Iterable[Moment]:
    who = safe(entry.member or entry.publisher[:12], 80)
    if entry.statement is None:
        yield Moment(entry.received_ms, who, "says something that cannot be read", "bad")
        return
    told = entry.statement
    loss = f", {money_text(told.observed_micro_usd)} lost" if told.observed_micro_usd else ""
    drill = " (a drill)" if told.drill else ""
    refers = "".join(f" {ref.relation} <code>{ref.digest[:12]}</code>." for ref in told.references[:3])
    text = f"<blockquote>{safe(told.text)}</blockquote>" if told.text else ""
    if not entry.own and told.issued_ms <= entry.received_ms:
        when = f" It came {entry.received_ms - told.issued_ms:,} ms after it was issued."
    else:
        when = ""
    what = f"{safe(told.category)}, {safe(told.severity)}, {told.confidence} % sure{loss}{drill}.{refers}{when}{text}"
    yield Moment(entry.received_ms, who, what)


def _check(entry: Check, own: str) -> Iterable[Moment]:
    claim = f"{entry.claim.kind} {short(entry.claim.reference)} in block {entry.claim.block} on {entry.claim.chain}"
    doubt = f" ({safe(entry.doubt, 80)})" if entry.doubt else ""
    style = "bad" if entry.disagrees else ""
    yield Moment(entry.at_ms, f"{own}'s endpoints", f"{safe(claim)}: <b>{entry.answer}</b>{doubt}", style)


def _believed(entry: Believed, own: str) -> Iterable[Moment]:
    # Our own detector is none of them, and may be all that was heard.
    groups = "1 independent group of others" if entry.groups == 1 else f"{entry.groups} independent groups of others"
    counted = groups if entry.groups else "nobody else's word"
    what = f"decides; belief {entry.belief_ppm / 10_000:.3g} %, with {counted}"
    yield Moment(entry.at_ms, own, what + ("; a lever is used" if entry.acts else ""), "acts" if entry.acts else "")


def _decided(entry: Decided, own: str) -> Iterable[Moment]:
    fires = any(lever.verdict == "fires" for lever in entry.levers)
    yield Moment(entry.at_ms, own, f"decides: {safe(entry.sentence, 1200)}", "acts" if fires else "")


def _acted(entry: Acted, own: str) -> Iterable[Moment]:
    for step in entry.steps:
        if step.event in _EVENTS:
            style = "acts" if step.event == Event.CONFIRM else ""
            yield Moment(step.at_ms, own, f"{safe(entry.hook, 80)}: {_EVENTS[Event(step.event)]}", style)


def _heard(entry: Heard, own: str) -> Iterable[Moment]:
    what = f"what <code>{entry.digest[:12]}</code> tells of is detected, by its publisher's clock"
    yield Moment(entry.detected_ms, "", what)


def _asked(entry: Asked, own: str) -> Iterable[Moment]:
    yield Moment(entry.asked_ms, own, f"asks its operators: {safe(entry.effect)}")
    for answer in entry.answers:
        yield Moment(answer.at_ms, safe(answer.name, 80), "approves")
    if entry.closed_ms is not None and entry.state != "granted":
        yield Moment(entry.closed_ms, own, f"the request is {safe(entry.state)}: {safe(entry.reason)}", "bad")


def _recovered(entry: Recovered, own: str) -> Iterable[Moment]:
    why = _NOTES.get(entry.why, entry.why)
    what = f"the way back of {safe(entry.scope, 80)}: {safe(entry.stage)}; {safe(why)}"
    yield Moment(entry.at_ms, own, what, "bad" if entry.alarm else "")


def _found(entry: Found, own: str) -> Iterable[Moment]:
    yield Moment(entry.at_ms, f"{own}'s operator", f"finds: {entry.finding} ({safe(entry.category)})", "acts")


_TELLERS: Mapping[type[AnyEntry], Callable[..., Iterable[Moment]]] = {
    Said: _said,
    Check: _check,
    Believed: _believed,
    Decided: _decided,
    Acted: _acted,
    Heard: _heard,
    Asked: _asked,
    Recovered: _recovered,
    Found: _found,
}
