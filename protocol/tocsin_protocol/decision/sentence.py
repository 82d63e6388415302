"""A decision in plain words: what is done, why, and the least that would have changed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .counterfactual import Counterfactual
from .decide import Choice, Decision, Situation, Verdict
from .tiers import Tier

_MICRO = 1_000_000
_DONE = {Tier.NOTIFY: "Notify", Tier.TIGHTEN: "Tighten", Tier.FREEZE: "Freeze", Tier.PAUSE: "Pause"}
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
NOTHING_STANDS = "No action: none of its signals may act (drills, and what is expired or taken back, never do)."
NOTHING_OF_OURS = "No action: it names nothing of ours, and nothing that we depend on."


def tell_decision(decision: Decision, situation: Situation, counterfactuals: Sequence[Counterfactual]) -> str:
    """One to three sentences: what is done and on whose word; what it saves; what would have changed it."""
    if not situation.signals:
        return NOTHING_STANDS
    fired = [choice for choice in decision.fired if choice.lever.tier > Tier.NOTIFY]
    notified = [choice for choice in decision.fired if choice.lever.tier is Tier.NOTIFY]
    said = [tell_choice(choice) for choice in (*fired, *notified)] or [_tell_nothing(decision)]
    said.append(tell_grounds(situation))
    least = {counterfactual.hook: " and ".join(counterfactual.changes) for counterfactual in counterfactuals}
    if not fired:
        said += [_nearest(decision, least)] if decision.choices else ["The policy has no levers."]
    else:
        said += [f"With {changes} {hook} would have been used too." for hook, changes in list(least.items())[:1]]
    return " ".join(part for part in said if part)


def tell_grounds(situation: Situation) -> str:
    """What the decision stands on."""
    members = len({situation.member_of[reporter.publisher] for reporter in situation.reporters})
    voices = [f"{members} other {'member' if members == 1 else 'members'}"] if members else []
    if situation.own_detector:
        voices.append("our own detector" if members else "our own detector alone")
    if situation.is_contradicted:
        evidence = "the evidence is contradicted by our own endpoints"
    elif situation.is_confirmed:
        evidence = "evidence confirmed on our own endpoints"
    else:
        evidence = (
            "our own endpoints disagree about the evidence" if situation.is_disputed else "evidence not confirmed"
        )
    who = " and ".join(voices) or "nobody whose word weighs anything"
    return f"Belief {tell_percent(situation.probability)} by {who}, {evidence}."


def tell_choice(choice: Choice) -> str:
    """What is done with one lever, and what that is expected to cost against doing nothing."""
    lever = choice.lever
    done = _DONE[lever.tier]
    what = f"{f'Ask the operators to {done.lower()}' if lever.asks else done} with {lever.hook}"
    if lever.tier is Tier.NOTIFY:
        return f"{what}."
    return (
        f"{what} for {lever.minutes} min: expected to cost {tell_money(choice.cost_micro_usd)},"
        f" and waiting {tell_money(choice.observe_micro_usd)}."
    )


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
    if not active:
        return "No action."
    return f"No further action: {' and '.join(active)} {'is' if len(active) == 1 else 'are'} in effect."


def _nearest(decision: Decision, least: Mapping[str, str]) -> str:
    """The lever that came nearest to being used, and the least that it lacked."""
    held = [choice for choice in decision.choices if choice.verdict not in (Verdict.FIRES, Verdict.IN_EFFECT)]
    if not held:
        return ""
    order = list(Verdict)
    nearest = min(held, key=lambda choice: (order.index(choice.verdict), choice.lever.tier, choice.lever.hook))
    hook = nearest.lever.hook
    if hook not in least:
        text = tell_verdict(nearest)
    elif nearest.verdict is Verdict.TIER_CLOSED:
        text = f"{hook} still lacks {least[hook]}"
    else:
        text = f"{tell_verdict(nearest)}; with {least[hook]} it would have been used"
    return f"{text[0].upper()}{text[1:]}."
