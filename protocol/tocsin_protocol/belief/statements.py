"""What a publisher says about an incident, and which of all he said is his word now (specs/belief.md)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from ..errors import BeliefError
from ..model import MAX_CONFIDENCE, Signal
from ..taxonomy import Category, Relation

MAX_TIME_MS = 2**53 - 1


class Stance(StrEnum):
    """How a signal stands to the incident. An update takes the side of what it updates, a retraction none."""

    REPORT = "report"
    DISPUTE = "dispute"
    ALL_CLEAR = "all-clear"
    UPDATE = "update"
    RETRACTION = "retraction"


OPPOSING = frozenset((Stance.DISPUTE, Stance.ALL_CLEAR))
# The words of a busy incident are weighed again with each new one.
_MAX_KEPT = 8_192
_SIDED = frozenset((Stance.REPORT, *OPPOSING))
_REPLACING = frozenset((Relation.UPDATES, Relation.RETRACTS))
_META = {
    Category.META_ALL_CLEAR: Stance.ALL_CLEAR,
    Category.META_RETRACTION: Stance.RETRACTION,
    Category.META_UPDATE: Stance.UPDATE,
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One signal as belief sees it. Times in UTC ms, confidence in percent. Raises BeliefError.

    `replaces`: the digests that it updates or retracts; only those of the same publisher give way.
    """

    publisher: bytes
    digest: bytes
    stance: Stance
    confidence: int
    issued_ms: int
    received_ms: int
    replaces: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= MAX_CONFIDENCE:
            raise BeliefError(f"statement: confidence is {self.confidence}, not 0…{MAX_CONFIDENCE}")
        if not (0 <= self.issued_ms <= MAX_TIME_MS and 0 <= self.received_ms <= MAX_TIME_MS):
            raise BeliefError(f"statement: a time is not 0…{MAX_TIME_MS} ms")

    @property
    def since_ms(self) -> int:
        """What its age counts from."""
        # [BELIEF] A statement's age counts from its issue, or from its arrival when that is earlier.
        return min(self.issued_ms, self.received_ms)


@lru_cache(_MAX_KEPT)
def read_statement(signal: Signal, publisher: bytes, digest: bytes, received_ms: int) -> Statement | None:
    """A signal as a statement; None for a drill, which says nothing."""
    # [BELIEF] A drill says nothing.
    if signal.drill or signal.category is Category.META_DRILL:
        return None
    relations = {reference.relation for reference in signal.references}
    # [BELIEF] An all-clear and a signal that disputes another speak against the incident, every other report for it.
    stance = _META.get(signal.category, Stance.REPORT)
    if Relation.DISPUTES in relations and stance is not Stance.ALL_CLEAR:
        stance = Stance.DISPUTE
    return Statement(
        publisher=publisher,
        digest=digest,
        stance=stance,
        confidence=signal.confidence,
        issued_ms=signal.issued_ms,
        received_ms=received_ms,
        replaces=tuple(ref.digest for ref in signal.references if ref.relation in _REPLACING),
    )


def current_word(statements: Iterable[Statement], half_life_ms: int) -> Statement | None:
    """What one publisher says now: one statement, with its side; None when nothing of his stands.

    It does not depend on the moment, for all words fade alike: a caller may keep it until the publisher speaks again.
    """
    known = {statement.digest: statement for statement in statements}
    # [BELIEF] A statement that its own publisher updated or retracted no longer counts.
    replaced = {digest for statement in known.values() for digest in statement.replaces}
    standing = [statement for statement in _with_sides(known) if statement.digest not in replaced]
    if not standing:
        return None
    # [BELIEF] A publisher is on the side it took last; of two sides at one moment, against.
    latest = max(standing, key=lambda s: (s.since_ms, s.stance in OPPOSING))
    is_opposing = latest.stance in OPPOSING
    # [BELIEF] A publisher counts once: by the strongest, as faded, of what it says on that side.
    side = [statement for statement in standing if (statement.stance in OPPOSING) is is_opposing]
    return max(side, key=lambda s: (_strength(s, half_life_ms), s.since_ms, s.digest))


def _with_sides(known: dict[bytes, Statement]) -> list[Statement]:
    """Statements that take a side; an update takes that of what it updates, however long the chain."""
    sides: dict[bytes, Stance] = {}
    sided = []
    # [BELIEF] An update that is no report of its own takes the side of what it updates; of nothing known, none.
    for statement in sorted(known.values(), key=lambda s: (s.issued_ms, s.stance is Stance.UPDATE, s.digest)):
        stance = statement.stance
        if stance is Stance.UPDATE:
            updated = [sides[digest] for digest in statement.replaces if digest in sides]
            stance = max(updated, default=stance, key=lambda side: (side in OPPOSING, side))
        if stance in _SIDED:
            sides[statement.digest] = stance
            sided.append(statement if stance is statement.stance else replace(statement, stance=stance))
    return sided


def _strength(statement: Statement, half_life_ms: int) -> float:
    """The logarithm of confidence times decay, less what is the same for all at one moment."""
    if not statement.confidence:
        return -math.inf
    return math.log2(statement.confidence) + statement.since_ms / half_life_ms
