"""What it means that those who watch say nothing (specs/belief.md)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from ..heartbeat import HEARTBEAT_INTERVAL_MS
from .independence import SharedLabel, to_whole_units
from .reputation import Standing
from .terms import Answer, Source, Speaker, Term, Witness

MAX_HEARTBEAT_AGE_MS = 3 * HEARTBEAT_INTERVAL_MS
MIN_DELAYS = 5
MAX_DELAYS = 64


def known_delay(delays: Sequence[int]) -> int | None:
    """How long a publisher takes to report what is real, ms, as far as it is known; `delays`: its own, newest first."""
    # [BELIEF] A reporting delay is known after MIN_DELAYS hits: the longest of the last MAX_DELAYS.
    return max(delays[:MAX_DELAYS]) if len(delays) >= MIN_DELAYS else None


def silence_weight(standing: Standing) -> float:
    """-ln((1-r)/(1-f)) in nats, within 0…λ: how much one's silence divides the odds."""
    # [BELIEF] The silence of a publisher weighs -ln((1-r)/(1-f)), within 0 and its own weight.
    return to_whole_units(min(max(0.0, math.log((1 - standing.false_alarm) / (1 - standing.hit_rate))), standing.llr))


def total_silence(mute: Iterable[Term], counted_weight: float) -> float:
    """What all silence takes away, in nats, when the heaviest independent set of it weighs `counted_weight`."""
    # [BELIEF] All silence together never outweighs the strongest one of those who are silent.
    return min(counted_weight, max((term.llr for term in mute if term.answer is Answer.COUNTED), default=0.0))


def silent_terms(
    witnesses: Iterable[Witness],
    speakers: Mapping[bytes, Speaker],
    words: Iterable[Term],
    since_ms: int | None,
    now_ms: int,
) -> list[Term]:
    """One term for each known witness that said nothing: silent, or why it is not held to be."""
    spoken = {term.publisher for term in words}
    # [BELIEF] Who shares a label with somebody whose word has weight is not silent.
    heard = {
        label: term.publisher
        for term in words
        if term.weight and term.publisher in speakers
        for label in speakers[term.publisher].labels
    }
    mute = {witness.publisher: witness for witness in witnesses if witness.publisher not in spoken}
    return [
        _silent_term(witness, speakers[publisher], heard, since_ms, now_ms)
        for publisher, witness in sorted(mute.items())
        if publisher in speakers and since_ms is not None
    ]


def _silent_term(witness: Witness, speaker: Speaker, heard: Mapping[str, bytes], since_ms: int, now_ms: int) -> Term:
    answer, shared = Answer.COUNTED, None
    weight = silence_weight(speaker.standing)
    # [BELIEF] Nobody is silent whose last heartbeat is older than MAX_HEARTBEAT_AGE_MS.
    if now_ms - witness.heartbeat_ms > MAX_HEARTBEAT_AGE_MS:
        answer = Answer.NO_HEARTBEAT
    # [BELIEF] Nobody is silent until its known reporting delay has passed since the first report.
    elif now_ms - since_ms <= witness.delay_ms:
        answer = Answer.NOT_DUE
    elif label := min(speaker.labels & heard.keys(), default=""):
        answer, shared = Answer.SHARES_LABEL, SharedLabel(label, heard[label])
    elif not weight:
        answer = Answer.WORTHLESS
    return Term(
        source=Source.SILENCE,
        publisher=witness.publisher,
        member=speaker.member,
        llr=speaker.standing.llr,
        confidence=1.0,
        decay=1.0,
        weight=weight,
        answer=answer,
        shared=shared,
    )
