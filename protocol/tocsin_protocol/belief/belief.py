"""How likely an incident is: independent log-likelihood ratios, added (specs/belief.md).

Odds times likelihood ratios (Pearl, "Probabilistic Reasoning in Intelligent Systems", 1988, section 2.1), of
those reporters only who are held to be independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..model import MAX_CONFIDENCE
from .independence import (
    IndependentSet,
    Reporter,
    heaviest_independent,
    largest_independent,
    shared_labels,
    to_whole_units,
)
from .priors import check_half_life, check_prior
from .silence import silent_terms, total_silence
from .statements import Stance, Statement, current_word
from .terms import OWN, Answer, Belief, OwnFinding, Source, Speaker, Term, Witness

MIN_VOICE = math.log(2)
MAX_LOGIT = 30.0

_SOURCES = {
    Stance.REPORT: Source.REPORT,
    Stance.DISPUTE: Source.DISPUTE,
    Stance.ALL_CLEAR: Source.ALL_CLEAR,
}


@dataclass(frozen=True, slots=True)
class _Side:
    """The voices on one side, each with its answer, and what those that count weigh together, in nats."""

    terms: tuple[Term, ...]
    weight: float
    is_exact: bool


def assess_belief(
    statements: Iterable[Statement],
    speakers: Mapping[bytes, Speaker],
    *,
    prior: float,
    half_life_ms: int,
    now_ms: int,
    own: OwnFinding | None = None,
    witnesses: Sequence[Witness] = (),
    since_ms: int | None = None,
) -> Belief:
    """How likely one incident is at `now_ms`, by all that was said about it. Raises BeliefError.

    `statements` are those that may count: of keys in force, and of no proven equivocator. They may repeat and stand
    in any order. A caller that decides often keeps the `current_word` of each publisher and passes those: the answer
    is the same, and the cost then grows with the publishers that spoke, not with their signals. `witnesses` cover
    the category, and are silent when they have not spoken since the first report at `since_ms` (None: not asked).
    """
    check_prior(prior)
    check_half_life(half_life_ms)
    words = [
        _word_term(word, speakers.get(publisher), _decay(word.since_ms, now_ms, half_life_ms))
        for publisher, word in sorted(_current_words(statements, half_life_ms).items())
    ]
    mute = silent_terms(witnesses, speakers, words, since_ms, now_ms)
    labels = {term.publisher: _labels(term, speakers) for term in (*words, *mute)}
    reports = [term for term in words if term.source is Source.REPORT]
    ours = []
    if own is not None:
        ours = [_own_term(own, _decay(own.found_ms, now_ms, half_life_ms))]
        labels[OWN] = own.labels
    # [BELIEF] Reports count by the heaviest set, our own detector's among them, of which no two share a label.
    support = _weigh([*ours, *reports], labels)
    # [BELIEF] What is said against it counts by the heaviest such set of those who say it.
    opposition = _weigh([term for term in words if term.source is not Source.REPORT], labels)
    silence = _weigh(mute, labels)
    silence = replace(silence, weight=total_silence(mute, silence.weight))
    quorum, beside = _quorums(reports, labels, own)
    return _conclude(prior, support, opposition, silence, quorum, beside)


def _conclude(
    prior: float,
    support: _Side,
    opposition: _Side,
    silence: _Side,
    quorum: IndependentSet,
    beside: IndependentSet,
) -> Belief:
    prior_logit = math.log(prior / (1 - prior))
    logit = prior_logit + support.weight - opposition.weight - silence.weight
    own = sum(term.weight for term in support.terms if term.source is Source.OWN and term.answer is Answer.COUNTED)
    sides = (support, opposition, silence)
    return Belief(
        probability=_probability(logit),
        logit=logit,
        prior_logit=prior_logit,
        support=to_whole_units(support.weight - own),
        own=own,
        opposition=opposition.weight,
        silence=silence.weight,
        terms=tuple(term for side in sides for term in side.terms),
        quorum=quorum.publishers,
        groups_beside_own=len(beside.publishers),
        is_exact=quorum.is_exact and beside.is_exact and all(side.is_exact for side in sides),
    )


def _current_words(statements: Iterable[Statement], half_life_ms: int) -> dict[bytes, Statement]:
    by_publisher: dict[bytes, list[Statement]] = {}
    for statement in statements:
        by_publisher.setdefault(statement.publisher, []).append(statement)
    words = {publisher: current_word(said, half_life_ms) for publisher, said in by_publisher.items()}
    return {publisher: word for publisher, word in words.items() if word is not None}


def _word_term(word: Statement, speaker: Speaker | None, decay: float) -> Term:
    # [BELIEF] A report weighs what its publisher weighs, times confidence, times decay; that of a stranger nothing.
    llr = 0.0 if speaker is None else speaker.standing.llr
    member = "" if speaker is None else speaker.member
    return _term(_SOURCES[word.stance], word.publisher, member, llr, word.confidence, decay)


def _own_term(own: OwnFinding, decay: float) -> Term:
    return _term(Source.OWN, OWN, "", own.llr, own.confidence, decay)


def _term(source: Source, publisher: bytes, member: str, llr: float, confidence: int, decay: float) -> Term:
    share = confidence / MAX_CONFIDENCE
    weight = to_whole_units(llr * share * decay)
    answer = Answer.COUNTED if weight else Answer.WORTHLESS
    return Term(source, publisher, member, llr, share, decay, weight, answer)


def _decay(since_ms: int, now_ms: int, half_life_ms: int) -> float:
    return float(2.0 ** (-max(0, now_ms - since_ms) / half_life_ms))


def _labels(term: Term, speakers: Mapping[bytes, Speaker]) -> frozenset[str]:
    speaker = speakers.get(term.publisher)
    return frozenset() if speaker is None else speaker.labels


def _weigh(terms: Sequence[Term], labels: Mapping[bytes, frozenset[str]]) -> _Side:
    """Which of these voices count, and why the others do not."""
    candidates = [term for term in terms if term.answer is Answer.COUNTED]
    reporters = [Reporter(term.publisher, labels[term.publisher], term.weight) for term in candidates]
    counted = heaviest_independent(reporters)
    shared = shared_labels(reporters, counted)
    answered = [
        replace(term, answer=Answer.SHARES_LABEL, shared=shared[term.publisher]) if term.publisher in shared else term
        for term in terms
    ]
    return _Side(tuple(answered), counted.weight, counted.is_exact)


def _quorums(
    reports: Iterable[Term], labels: Mapping[bytes, frozenset[str]], own: OwnFinding | None
) -> tuple[IndependentSet, IndependentSet]:
    """The largest set of groups, and the largest of those who share no label with our own finding."""
    # [BELIEF] A reporter is a voice in the quorum while its word now weighs at least MIN_VOICE.
    voices = [Reporter(term.publisher, labels[term.publisher]) for term in reports if term.weight >= MIN_VOICE]
    # [BELIEF] The groups of a quorum are the largest set of such voices of whom no two share a label, ours left out.
    quorum = largest_independent(voices)
    if own is None or not any(voice.labels & own.labels for voice in voices):
        return quorum, quorum
    # [BELIEF] Beside our own detector only groups count that share no label with it.
    return quorum, largest_independent(voice for voice in voices if not voice.labels & own.labels)


def _probability(logit: float) -> float:
    """The logistic function, kept away from 0 and 1."""
    # [BELIEF] Whatever is said, the logit of the belief stays within MAX_LOGIT of even odds.
    return 1 / (1 + math.exp(-min(max(logit, -MAX_LOGIT), MAX_LOGIT)))
