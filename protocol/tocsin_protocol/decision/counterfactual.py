"""What would have changed a decision: the least that was missing for each lever that was not used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, combinations

from ..belief.independence import Reporter
from .budget import Charge
from .decide import Decision, LeverState, Situation, Verdict, decide
from .policy import Policy

# What nobody has said yet can only be guessed at: more than two things at once explain nothing.
MAX_CHANGES = 2
_EXPLAINED = frozenset({Verdict.TIER_CLOSED, Verdict.NOT_WORTH_IT, Verdict.CONTRADICTED, Verdict.DISARMED})


class Change(StrEnum):
    """One thing that could have been otherwise."""

    GROUP = "one more independent group"
    EVIDENCE = "evidence confirmed on our own endpoints"
    OWN_DETECTOR = "our own detector"
    ARMED = "the lever armed"


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """A lever that was not used, and the fewest changes that would have used it."""

    hook: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Voices:
    """What one more voice would weigh, in nats: a foreign group's, and our own detector's."""

    group: float
    own: float


def what_would_change(
    policy: Policy,
    situation: Situation,
    states: Mapping[str, LeverState],
    charges: Sequence[Charge],
    now_ms: int,
    voices: Voices,
    decision: Decision,
) -> tuple[Counterfactual, ...]:
    """For each lever that was not used, in the policy's order, the fewest changes that would have used it.

    A lever that no such change would have used is left out.
    """
    open_hooks = [choice.lever.hook for choice in decision.choices if choice.verdict in _EXPLAINED]
    found: dict[str, tuple[Change, ...]] = {}
    fewest_first = chain.from_iterable(combinations(Change, count) for count in range(1, MAX_CHANGES + 1))
    for changes in fewest_first:
        # A decision that uses every lever it could waits for no explanation of the others.
        if len(found) == len(open_hooks):
            break
        changed, armed = situation, states
        for change in changes:
            changed, armed = _CHANGES[change](changed, armed, voices)
        for choice in decide(policy, changed, armed, charges, now_ms).fired:
            if choice.lever.hook in open_hooks:
                found.setdefault(choice.lever.hook, changes)
    return tuple(Counterfactual(hook, found[hook]) for hook in open_hooks if hook in found)


_States = Mapping[str, LeverState]


def _one_more_group(situation: Situation, states: _States, voices: Voices) -> tuple[Situation, _States]:
    # No publisher has an id of one byte, and no label is empty.
    stranger = Reporter(b"?", frozenset({""}), max(voices.group, 1.0))
    return replace(
        situation,
        probability=_raised(situation.probability, voices.group),
        signals=situation.signals + 1,
        reporters=(*situation.reporters, stranger),
        member_of={**situation.member_of, b"?": ""},
    ), states


def _confirmed(situation: Situation, states: _States, voices: Voices) -> tuple[Situation, _States]:
    outflow = situation.outflow | situation.claimed_outflow
    return replace(situation, is_confirmed=True, is_contradicted=False, outflow=outflow), states


def _own_detector(situation: Situation, states: _States, voices: Voices) -> tuple[Situation, _States]:
    if situation.own_detector:
        return situation, states
    probability = _raised(situation.probability, voices.own)
    return replace(situation, probability=probability, signals=situation.signals + 1, own_detector=True), states


def _armed(situation: Situation, states: _States, voices: Voices) -> tuple[Situation, _States]:
    return situation, {hook: replace(state, is_armed=True) for hook, state in states.items()}


_CHANGES: Mapping[Change, Callable[[Situation, _States, Voices], tuple[Situation, _States]]] = {
    Change.GROUP: _one_more_group,
    Change.EVIDENCE: _confirmed,
    Change.OWN_DETECTOR: _own_detector,
    Change.ARMED: _armed,
}


def _raised(probability: float, nats: float) -> float:
    """A probability after evidence of so many nats."""
    odds = probability / (1 - probability) * math.exp(nats)
    return odds / (1 + odds)
