"""What the operator's rules say about an incident: a decision with its reasons, non-actions included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from .admission import Reason
from .errors import PolicyError
from .freshness import actionable_until_ms
from .model import MAX_CONFIDENCE, Signal
from .taxonomy import Category, Relation, Role, Severity

MAX_RULES = 256
# To be named as tool, recipient or attacker is no threat to the one who is named.
THREATENED_ROLES = frozenset((Role.VICTIM, Role.AT_RISK))
# What takes a signal back: time does not bring it back, but a drill or a key out of force takes nothing.
_WORTHY = frozenset((Reason.ADMITTED, Reason.EXPIRED, Reason.STALE))


@dataclass(frozen=True, slots=True)
class Rule:
    """Fire `hook` when `organisations` distinct members say this about one of these subjects."""

    name: str
    categories: frozenset[Category]
    min_severity: Severity
    min_confidence: int
    subjects: frozenset[str]
    organisations: int
    hook: str
    roles: frozenset[Role] = THREATENED_ROLES

    def __post_init__(self) -> None:
        if self.organisations < 1:
            raise PolicyError(f"rule {self.name!r}: organisations is {self.organisations} where 1 or more is wanted")
        if not self.subjects:
            raise PolicyError(f"rule {self.name!r}: subjects is empty, so it could never be about us")
        if not self.categories or not self.roles:
            raise PolicyError(f"rule {self.name!r}: {'roles' if self.categories else 'categories'} is empty")
        if not 0 <= self.min_confidence <= MAX_CONFIDENCE:
            raise PolicyError(f"rule {self.name!r}: min_confidence is {self.min_confidence}, not 0…{MAX_CONFIDENCE}")
        if not self.hook:
            raise PolicyError(f"rule {self.name!r}: hook is empty")


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in the operator's order. No rules: never act."""

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.rules]
        if len(set(names)) != len(names):
            raise PolicyError("two rules have the same name")
        if len(names) > MAX_RULES:
            raise PolicyError(f"{len(names)} rules where at most {MAX_RULES} are allowed")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A stored signal as the rules see it: by whom, for which member, and whether it may still actuate."""

    digest: bytes
    publisher: bytes
    member: str
    signal: Signal
    standing: Reason


class Answer(StrEnum):
    """What a rule said, from nearest to acting to farthest."""

    MET = "met"
    QUORUM_SHORT = "quorum-short"
    NOT_ACTIONABLE = "not-actionable"
    NO_MATCH = "no-match"


@dataclass(frozen=True, slots=True)
class RuleAnswer:
    """One rule's answer, with the members and signals it counted.

    When it is met: until when (UTC ms) these signals alone still meet it; 0 otherwise.
    """

    rule: str
    hook: str
    answer: Answer
    members: tuple[str, ...]
    digests: tuple[bytes, ...]
    sentence: str
    until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """All rules' answers about one incident. `hooks` are those to fire, in rule order, each once."""

    hooks: tuple[str, ...]
    answers: tuple[RuleAnswer, ...]
    sentence: str


def decide(policy: Policy, sightings: Sequence[Sighting]) -> Decision:
    """Ask every rule about one incident's sightings. Pure: the sightings' standing carries the clock."""
    standing = _without_retracted(sightings)
    answers = tuple(_ask(rule, standing) for rule in policy.rules)
    met = [answer for answer in answers if answer.answer is Answer.MET]
    hooks = tuple(dict.fromkeys(answer.hook for answer in met))
    if met:
        sentence = "Act: " + " ".join(answer.sentence for answer in met)
    elif not answers:
        sentence = "Do not act: the policy has no rules."
    else:
        nearest = min(answers, key=lambda answer: list(Answer).index(answer.answer))
        sentence = "Do not act: " + nearest.sentence
    return Decision(hooks, answers, sentence)


def is_about(rule: Rule, signal: Signal) -> bool:
    """Whether a signal is of the rule's kind: category, severity, confidence, and a subject in one of its roles."""
    return (
        signal.category in rule.categories
        and signal.severity.rank >= rule.min_severity.rank
        and signal.confidence >= rule.min_confidence
        and any(subject.value in rule.subjects and subject.role in rule.roles for subject in signal.subjects)
    )


def _without_retracted(sightings: Sequence[Sighting]) -> list[Sighting]:
    # [POLICY] A retracted signal does not count; only its own publisher can retract it, and not by a drill.
    retracted = {
        (sighting.publisher, reference.digest)
        for sighting in sightings
        if sighting.standing in _WORTHY
        for reference in sighting.signal.references
        if reference.relation is Relation.RETRACTS
    }
    return [sighting for sighting in sightings if (sighting.publisher, sighting.digest) not in retracted]


def _ask(rule: Rule, sightings: Iterable[Sighting]) -> RuleAnswer:
    # [POLICY] A rule looks at signals of its categories, severity, confidence, and subjects in its roles.
    about = [sighting for sighting in sightings if is_about(rule, sighting.signal)]
    if not about:
        return _answer(rule, Answer.NO_MATCH, about, "no signal matches its category, severity and subjects")
    # [POLICY] Only signals that may still actuate count.
    usable = [sighting for sighting in about if sighting.standing is Reason.ADMITTED]
    if not usable:
        standings = ", ".join(sorted({str(sighting.standing) for sighting in about}))
        return _answer(rule, Answer.NOT_ACTIONABLE, about, f"its signals may not actuate ({standings})")
    # [POLICY] A member counts once, however many of its publishers and signals say so.
    members = sorted({sighting.member for sighting in usable})
    counted = f"{len(members)} of {rule.organisations} organisations ({', '.join(members)}) report it"
    # [POLICY] A rule is met by as many members as it asks for, and fires its hook; nothing else fires anything.
    if len(members) < rule.organisations:
        return _answer(rule, Answer.QUORUM_SHORT, usable, counted)
    return replace(_answer(rule, Answer.MET, usable, counted), until_ms=_met_until_ms(rule, usable))


def _met_until_ms(rule: Rule, usable: Iterable[Sighting]) -> int:
    """When the quorum is lost: each member counts until its last signal ages out."""
    until_ms: dict[str, int] = {}
    for sighting in usable:
        until_ms[sighting.member] = max(until_ms.get(sighting.member, 0), actionable_until_ms(sighting.signal))
    return sorted(until_ms.values(), reverse=True)[rule.organisations - 1]


def _answer(rule: Rule, answer: Answer, sightings: Sequence[Sighting], why: str) -> RuleAnswer:
    return RuleAnswer(
        rule=rule.name,
        hook=rule.hook,
        answer=answer,
        members=tuple(sorted({sighting.member for sighting in sightings})),
        digests=tuple(sighting.digest for sighting in sightings),
        sentence=f"rule {rule.name!r} for hook {rule.hook!r}: {why}.",
    )
