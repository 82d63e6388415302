"""What can be learned from an incident: facts that follow from its entries, each with the question it leaves open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from ..containment.life_cycle import WITHOUT_EFFECT, Event, State
from ..decision.counterfactual import Change
from ..encoding import MAX_UINT
from ..evidence.answers import Answer
from ..taxonomy import Tlp
from .entries import (
    Acted,
    AnyEntry,
    Asked,
    Check,
    Decided,
    Earned,
    Found,
    Heard,
    Journal,
    Lesson,
    Recovered,
    Ruled,
    Said,
)
from .report import strictest
from .words import money_text, span_text

LATE_MS = 60_000
SLOW_DECISION_MS = 1_000
MAX_LESSONS = 64
INTERNAL = Tlp.AMBER_STRICT
"""The label of what tells of our policy, our people and our endpoints: it stays in the operator's own organisation."""

_QUESTIONS: Mapping[str, str] = {
    Change.GROUP: "Who else watches this, and would have told us?",
    Change.EVIDENCE: "Which claim could be checked on our own endpoints, and was not made or not confirmed?",
    Change.OWN_DETECTOR: "Should a detector of our own watch this?",
    Change.ARMED: "Was it disarmed on purpose?",
}
_NO_EFFECT = frozenset(state.value for state in WITHOUT_EFFECT | {State.UNKNOWN})


def lessons_of(entries: Sequence[AnyEntry]) -> list[Lesson]:
    """At most MAX_LESSONS, in the order in which a reader asks; nothing in them is not in the entries."""
    found = [lesson for rule in _RULES for lesson in rule(entries)]
    return found[:MAX_LESSONS]


def first_effect_ms(entries: Sequence[AnyEntry]) -> int | None:
    """When the first lever came into effect, as this node saw it; None where none did."""
    # A notice has nothing to end, and holds nothing still.
    acted = [entry for entry in entries if isinstance(entry, Acted) and entry.ends_ms is not None]
    return min((at for action in acted if (at := step_ms(action, Event.CONFIRM)) is not None), default=None)


def step_ms(action: Acted, event: Event) -> int | None:
    """When an event of an action happened first."""
    return next((step.at_ms for step in action.steps if step.event == event.value), None)


def reports_of(entries: Sequence[AnyEntry]) -> list[Said]:
    """The signals in earnest that could be read, in the order of their arrival."""
    said = [entry for entry in entries if isinstance(entry, Said) and entry.statement and not entry.statement.drill]
    return sorted(said, key=lambda entry: entry.received_ms)


def _lost_before(entries: Sequence[AnyEntry]) -> Iterator[Lesson]:
    effect_ms = first_effect_ms(entries)
    said = [s for s in reports_of(entries) if s.statement and s.statement.observed_micro_usd]
    early = [s for s in said if effect_ms is None or s.received_ms <= effect_ms]
    if not early:
        return
    lost = max(s.statement.observed_micro_usd for s in early if s.statement)
    fact = f"Before the first lever was in effect, a loss of {money_text(lost)} had been reported to us."
    if effect_ms is None:
        fact = f"No lever came into effect, and a loss of {money_text(lost)} was reported to us."
    question = "Which limit in the contracts themselves would have held this, with no node to wait for?"
    yield Lesson(tlp=strictest(s.tlp for s in early), kind="lost-before", fact=fact, question=question)


def _nothing_done(entries: Sequence[AnyEntry]) -> Iterator[Lesson]:
    decided = [entry for entry in entries if isinstance(entry, Decided)]
    if decided and not any(isinstance(entry, Acted) for entry in entries):
        fact = f"No lever was used. The last decision: {decided[-1].sentence[:1000]}"
        question = "Was that right? Adjudicate the incident, so that reputations learn from it."
        yield Lesson(tlp=decided[-1].tlp, kind="nothing-done", fact=fact, question=question)


def _levers_kept(entries: Sequence[AnyEntry]) -> Iterator[Lesson]:
    """What kept each lever from being used: at first where it was used later, else when the least was missing."""
    used_ms = {entry.hook: entry.decided_ms for entry in reversed(entries) if isinstance(entry, Acted)}
    kept: dict[str, list[tuple[Decided, Ruled]]] = {}
    for decision in (entry for entry in entries if isinstance(entry, Decided)):
        for lever in decision.levers:
            if lever.would_with and decision.at_ms < used_ms.get(lever.hook, MAX_UINT):
                kept.setdefault(lever.hook, []).append((decision, lever))
    for hook, moments in kept.items():
        decision, lever = moments[0] if hook in used_ms else min(moments, key=lambda m: len(m[1].would_with))
        fact = f"In decision {decision.number}, {hook} would have been used with {' and '.join(lever.would_with)}."
        if hook in used_ms:
            fact += f" It was used {span_text(used_ms[hook] - decision.at_ms)} later."
        question = " ".join(dict.fromkeys(_QUESTIONS[what] for what in lever.would_with if what in _QUESTIONS))
        yield Lesson(tlp=decision.tlp, kind="lever-kept", fact=fact, question=question or "Was that as it should be?")


def _actions_failed(entries: Sequence[AnyEntry]) -> Iterator[Lesson]:
    reasons = {entry.action: entry.reason for entry in entries if isinstance(entry, Journal)}
    for action in (entry for entry in entries if isinstance(entry, Acted)):
        if action.state in _NO_EFFECT:
            why = reasons.get(action.action) or "no reason was recorded"
            fact = f"{action.hook} ended as {action.state}: {why[:400]}."
            question = "Would the doctor have found that the day before?"
            yield Lesson(tlp=INTERNAL, kind="action-failed", fact=fact, question=question)


def _evidence_doubted(entries: Sequence[AnyEntry]) -> Iterator[Lesson]:
    last = {entry.claim: entry for entry in entries if isinstance(entry, Check)}
    checks = list(last.values())
    if disagreed := [check for check in checks if check.disagrees]:
        chains = ", ".join(sorted({check.claim.chain for check in disagreed}))
        fact = (
            f"Our own endpoints disagreed about {_count(len(disagreed), 'claim')} on {chains}, and none was believed."
        )
        question = "Which of them was wrong? The record holds what they agreed on, not who said what."
        yield Lesson(tlp=INTERNAL, kind="endpoints-disagreed", fact=fact, question=question)
    if unknown := [check for check in checks if check.answer is Answer.UNKNOWN and not check.disagrees]:
        doubts = ", ".join(sorted({check.doubt or "no doubt was recorded" for check in unknown}))
        fact = f"{_count(len(unknown), 'claim')} could not be checked: {doubts}."
        question = "Would another endpoint have answered?"
        yield Lesson(tlp=INTERNAL, kind="evidence-unknown", fact=fact, question=question)
    if denied := [check for check in checks if check.answer is Answer.CONTRADICTED]:
        fact = f"Our own endpoints contradicted {_count(len(denied), 'claim')}."
        question = "Was it a mistake or a lie? Adjudicate the incident, and talk to who said it."
        yield Lesson(tlp=strictest(c.tlp for c in denied), kind="evidence-contradicted", fact=fact, question=question)


def _members_late(entries: Sequence[AnyEntry]) -> Iterator[Lesson]:
    """Each member whose first report came LATE_MS after anybody's first, or when a lever was in effect already."""
    effect_ms, said = first_effect_ms(entries), reports_of(entries)
    first: dict[str, Said] = {}
    for report in said:
        first.setdefault(report.member or report.publisher, report)
    for member, report in first.items():
        after_ms = report.received_ms - said[0].received_ms
        was_contained = effect_ms is not None and report.received_ms > effect_ms
        if after_ms <= LATE_MS and not was_contained:
            continue
        fact = f"The first word of {member} came {span_text(after_ms)} after the first of anybody"
        fact += ", when a lever was in effect already." if was_contained else "."
        question = "What did they wait for, and could it come sooner?"
        yield Lesson(tlp=strictest((report.tlp, said[0].tlp)), kind="member-late", fact=fact, question=question)


def _not_counted(entries: Sequence[AnyEntry]) -> Iterator[Lesson]:
    kept: dict[str, list[Said]] = {}
    for entry in entries:
        if isinstance(entry, Said) and entry.standing != "admitted":
            kept.setdefault(entry.standing, []).append(entry)
    for standing, said in sorted(kept.items()):
        members = ", ".join(sorted({entry.member or entry.publisher for entry in said}))
        fact = f"{_count(len(said), 'signal')} could never act ({standing}), of {members}."
        question = "Whose clock, key or network should be looked at?"
        yield Lesson(tlp=strictest(s.tlp for s in said), kind="not-counted", fact=fact, question=question)


def _people_took(entries: Sequence[AnyEntry]) -> Iterator[Lesson]:
    asked = [entry for entry in entries if isinstance(entry, Asked)]
    took = sorted(request.closed_ms - request.asked_ms for request in asked if request.closed_ms is not None)
    if not asked:
        return
    fact = f"The operators were asked {_count(len(asked), 'time')}"
    if took:
        span = span_text(took[0]) if len(took) == 1 else f"{span_text(took[0])} to {span_text(took[-1])}"
        fact += f"; an answer took {span}"
    if waiting := len(asked) - len(took):
        fact += f"; {waiting} had no answer when this was made"
    given = Counter(answer.name for request in asked for answer in request.answers)
    names = ", ".join(f"{name} {count}" for name, count in sorted(given.items())) or "none"
    question = "Who could not answer, and would they have answered at night?"
    yield Lesson(tlp=INTERNAL, kind="people-took", fact=f"{fact}. Approvals given: {names}.", question=question)


def _stepped_back(entries: Sequence[AnyEntry]) -> Iterator[Lesson]:
    alarms = [entry for entry in entries if isinstance(entry, Recovered) and entry.alarm]
    for entry in alarms:
        fact = f"On the way back, {entry.scope} stood at {entry.stage} again: {entry.why}."
        question = "Was the step before it taken too early?"
        yield Lesson(tlp=INTERNAL, kind="stepped-back", fact=fact, question=question)


def _judged(entries: Sequence[AnyEntry]) -> Iterator[Lesson]:
    found = [entry for entry in entries if isinstance(entry, Found)]
    if not found:
        fact = "Nobody has said yet what this incident was."
        question = "Was it real? tocsin adjudicate says so, and only then do reputations and budgets learn from it."
        yield Lesson(tlp=Tlp.CLEAR, kind="not-adjudicated", fact=fact, question=question)
    missed = [e for e in entries if isinstance(e, Earned) and e.verdict.value == "miss"]
    if missed:
        members = ", ".join(sorted({entry.member or entry.publisher for entry in missed}))
        fact = f"Declared to watch this, and said nothing or took it back: {members}."
        question = "Do they still cover it?"
        yield Lesson(tlp=strictest(e.tlp for e in missed), kind="missed", fact=fact, question=question)


def _heard_late(entries: Sequence[AnyEntry]) -> Iterator[Lesson]:
    """Where the way from a detector's sight to our decision took longer than the decision to its effect."""
    heard = {entry.action: entry for entry in entries if isinstance(entry, Heard)}
    for action in (entry for entry in entries if isinstance(entry, Acted)):
        before, effect_ms = heard.get(action.action), step_ms(action, Event.CONFIRM)
        if before is None or effect_ms is None:
            continue
        waited_ms, acted_ms = action.decided_ms - before.received_ms, effect_ms - action.decided_ms
        if waited_ms > max(acted_ms, SLOW_DECISION_MS):
            fact = f"{action.hook} took effect {span_text(acted_ms)} after it was decided; the decision took"
            fact += f" {span_text(waited_ms)} from the first signal."
            question = "What was it waiting for: a second group, evidence, or people?"
            yield Lesson(tlp=strictest((before.tlp, INTERNAL)), kind="decided-late", fact=fact, question=question)


_RULES: Sequence[Callable[[Sequence[AnyEntry]], Iterator[Lesson]]] = (
    _lost_before,
    _nothing_done,
    _levers_kept,
    _heard_late,
    _actions_failed,
    _evidence_doubted,
    _members_late,
    _not_counted,
    _people_took,
    _stepped_back,
    _judged,
)


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
