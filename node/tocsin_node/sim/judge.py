"""Decisions in a replay, by the core; what was worked out for the same inputs before is not worked out again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tocsin_protocol.admission import Reason
from tocsin_protocol.decision.budget import Charge, spent_minutes
from tocsin_protocol.decision.decide import LeverState
from tocsin_protocol.decision.judge import Judgement, Sighting, World, explain_judgement, weigh_incident
from tocsin_protocol.evidence.answers import Answer as EvidenceAnswer
from tocsin_protocol.evidence.answers import Checked, WitnessAnswer, combine
from tocsin_protocol.evidence.predicates import TxIncluded
from tocsin_protocol.evidence.weighing import Exhibit
from tocsin_protocol.freshness import check_actionable

from .cast import Cast
from .levers import LeverLife
from .scenario import Answer
from .threads import Word

# Answers kept: a month of cries has a few dozen, an attack as many as it has decisions.
MAX_KEPT = 20_000
# Deep enough for a contradiction to count: the delay until then is in the scenario's own `after_s`.
_SETTLED = 64

_ENDPOINTS = {
    Answer.CONFIRMED: (EvidenceAnswer.CONFIRMED, EvidenceAnswer.CONFIRMED),
    Answer.CONTRADICTED: (EvidenceAnswer.CONTRADICTED, EvidenceAnswer.CONTRADICTED),
    Answer.UNKNOWN: (EvidenceAnswer.UNKNOWN, EvidenceAnswer.UNKNOWN),
    Answer.SPLIT: (EvidenceAnswer.CONFIRMED, EvidenceAnswer.CONTRADICTED),
}


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides under one policy. It keeps answers by all that a decision depends on, and has no other state."""

    world: World
    cast: Cast
    _kept: dict[Any, Judgement] = field(default_factory=dict)

    def judge(
        self,
        incident: bytes,
        words: Sequence[Word],
        lives: Sequence[LeverLife],
        charges: Sequence[Charge],
        now_ms: int,
    ) -> Judgement:
        """Decide on one incident, without the words: most decisions of a replay are read by nobody.

        Weights go by ages and not by the hour: equal inputs at another time are equal.
        """
        key = self._key(incident, words, lives, charges, now_ms)
        known = self._kept.get(key)
        if known is None:
            known = weigh_incident(
                self.world,
                incident,
                [_sighting(word, now_ms) for word in words],
                [self._exhibit(word) for word in words if word.answer is not None],
                _states(lives, now_ms),
                charges,
                now_ms,
            )
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[key] = known
        return known

    def explain(
        self, judgement: Judgement, lives: Sequence[LeverLife], charges: Sequence[Charge], now_ms: int
    ) -> Judgement:
        """The same with its sentence."""
        return explain_judgement(self.world, judgement, _states(lives, now_ms), charges, now_ms)

    def _key(
        self,
        incident: bytes,
        words: Sequence[Word],
        lives: Sequence[LeverLife],
        charges: Sequence[Charge],
        now_ms: int,
    ) -> tuple[Any, ...]:
        said = []
        for word in words:
            heard = word.heard
            # Where words refer to one another, it matters which they are; else only what they are.
            names = (heard.digest, *(r.digest for r in heard.signal.references)) if _refers(words) else ()
            ages = (now_ms - heard.signal.issued_ms, now_ms - heard.at_ms, now_ms < word.until_ms)
            said.append((heard.publisher, heard.report, ages, word.answer, names))
        members = sorted({self.cast.name(word.heard.publisher) for word in words})
        return (
            tuple(said),
            tuple(life.flags(now_ms) for life in lives),
            tuple(spent_minutes(charges, member, incident, now_ms) for member in members) if charges else (),
        )

    def _exhibit(self, word: Word) -> Exhibit:
        checked = (_check(word.answer),) if word.answer is not None else ()
        return Exhibit(word.heard.digest, self.cast.name(word.heard.publisher), checked)


def _states(lives: Iterable[LeverLife], now_ms: int) -> dict[str, LeverState]:
    return {life.lever.hook: life.state(now_ms) for life in lives}


def _refers(words: Sequence[Word]) -> bool:
    return any(word.heard.signal.references for word in words)


def _sighting(word: Word, now_ms: int) -> Sighting:
    heard = word.heard
    standing = (
        check_actionable(heard.signal, now_ms, heard.at_ms) if word.standing is Reason.ADMITTED else word.standing
    )
    return Sighting(heard.digest, heard.publisher, heard.signal, standing, heard.at_ms)


def _check(answer: Answer) -> Checked:
    """What two endpoints of ours say of one claim, put together as the node does."""
    names = zip(("ours", "another"), _ENDPOINTS[answer], strict=True)
    witnesses = [WitnessAnswer(name, said, block_hash=b"one block", depth=_SETTLED) for name, said in names]
    return combine(TxIncluded("eip155:1", 0, ""), witnesses)
