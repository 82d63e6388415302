"""A decision in plain words: what is done, why, and the least that would have changed it."""

from __future__ import annotations

from collections.abc import Sequence

from .counterfactual import Counterfactual
from .decide import Choice, Decision, Situation, Verdict
from .tiers import Tier

_MICRO = 1_000_000
_DONE = {Tier.NOTIFY: "Notify", Tier.TIGHTEN: "Tighten", Tier.FREEZE: "Freeze", Tier.PAUSE: "Pause"}
_WOULD = {Tier.NOTIFY: "notified", Tier.TIGHTEN: "tightened", Tier.FREEZE: "frozen", Tier.PAUSE: "paused"}
_WHY_NOT = {
    Verdict.NOT_WORTH_IT: "would cost more than it saves",
    Verdict.SPENT: "was used since it was last armed",
    Verdict.RESTING: "still rests after its last use",
    Verdict.NO_TOKEN: "was used too often",
    Verdict.DISARMED: "is disarmed",
    Verdict.CONTRADICTED: "is barred, for our own endpoints contradict the evidence",
    Verdict.CONDITION_NOT_MET: "is barred by the policy's condition",
    Verdict.TIER_CLOSED: "needs more voices or evidence",
    Verdict.NOT_AT_STAKE: "covers nothing that is at stake",
}
# An incident without a report that counts, and why.
NOTHING_STANDS = "Nothing is done: none of its signals may act (drills, and what is expired or taken back, never do)."
NOTHING_OF_OURS = "Nothing is done: it touches nothing that ours hangs on."


def tell_decision(decision: Decision, situation: Situation, counterfactuals: Sequence[Counterfactual]) -> str:
    """One to three sentences: what is done and on whose word; what it saves; what would have changed it."""
    if not situation.signals:
        return NOTHING_STANDS
    fired = [choice for choice in decision.fired if choice.lever.tier > Tier.NOTIFY]
    notified = [choice for choice in decision.fired if choice.lever.tier is Tier.NOTIFY]
    said = [tell_choice(choice) for choice in (*fired, *notified)] or [_tell_nothing(decision)]
    said.append(tell_grounds(situation))
    if not fired:
        said += [_nearest(decision)] if decision.choices else ["The policy has no levers."]
    said += [tell_counterfactual(c, decision) for c in counterfactuals[:1]]
    return " ".join(part for part in said if part)


def tell_grounds(situation: Situation) -> str:
    """What the decision stands on."""
    groups = len({situation.member_of[reporter.publisher] for reporter in situation.reporters})
    voices = [f"{groups} foreign {'voice' if groups == 1 else 'voices'}" if groups else "no foreign voice"]
    if situation.own_detector:
        voices.append("our own detector")
    if situation.is_contradicted:
        evidence = "the evidence is contradicted by our own endpoints"
    else:
        evidence = f"evidence {'confirmed on our own endpoints' if situation.is_confirmed else 'not confirmed'}"
    return f"Belief {tell_percent(situation.probability)} by {' and '.join(voices)}, {evidence}."


def tell_choice(choice: Choice) -> str:
    """What is done with one lever, and what that is expected to cost against doing nothing."""
    lever = choice.lever
    what = f"{_DONE[lever.tier]} with {lever.hook}"
    if lever.tier is Tier.NOTIFY:
        return f"{what}."
    return (
        f"{what} for {lever.minutes} min: expected cost {tell_money(choice.cost_micro_usd)}"
        f" against {tell_money(choice.observe_micro_usd)} of waiting."
    )


def tell_counterfactual(counterfactual: Counterfactual, decision: Decision) -> str:
    """The least that would have used a lever."""
    lever = next(choice.lever for choice in decision.choices if choice.lever.hook == counterfactual.hook)
    missing = " and ".join(counterfactual.changes)
    return f"{missing[0].upper()}{missing[1:]} would have {_WOULD[lever.tier]} with {lever.hook}."


def tell_verdict(choice: Choice) -> str:
    """Why a lever is not used."""
    return f"{choice.lever.hook} {_WHY_NOT[choice.verdict]}" if choice.verdict in _WHY_NOT else tell_choice(choice)


def tell_percent(probability: float) -> str:
    """A probability for people: 0.01 %, 45 %, 99.9 %."""
    percent = probability * 100
    digits = 0 if 1 <= percent <= 99 else 1 if 0.1 <= percent <= 99.9 else 2
    return f"{percent:.{digits}f} %"


def tell_money(micro_usd: float) -> str:
    """Money for people: 950 USD, 4.0 k USD, 8.00 M USD."""
    usd = micro_usd / _MICRO
    if usd >= 1_000_000:
        return f"{usd / 1_000_000:,.2f} M USD"
    return f"{usd / 1_000:,.1f} k USD" if usd >= 1_000 else f"{usd:,.0f} USD"


def _tell_nothing(decision: Decision) -> str:
    """That nothing is done, or nothing more than is in effect."""
    active = [choice.lever.hook for choice in decision.choices if choice.verdict is Verdict.IN_EFFECT]
    return (
        f"Nothing more is done: {' and '.join(active)} {'is' if len(active) == 1 else 'are'} in effect."
        if active
        else "Nothing is done yet."
    )


def _nearest(decision: Decision) -> str:
    """The lever that came nearest to being used."""
    held = [choice for choice in decision.choices if choice.verdict not in (Verdict.FIRES, Verdict.IN_EFFECT)]
    if not held:
        return ""
    order = list(Verdict)
    nearest = min(held, key=lambda choice: (order.index(choice.verdict), choice.lever.tier, choice.lever.hook))
    text = tell_verdict(nearest)
    return f"{text[0].upper()}{text[1:]}."
