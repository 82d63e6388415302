"""What our endpoints say about a claim, and what that makes: confirmed, contradicted, or unknown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .predicates import Predicate

MIN_ENDPOINTS = 2
SETTLED_DEPTH = 6


class Answer(StrEnum):
    """Whether a claim holds. Not to know is an answer of its own."""

    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"
    UNKNOWN = "unknown"


class Doubt(StrEnum):
    """Why an answer is unknown: the first eight of one endpoint, the others of all together."""

    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    MALFORMED = "malformed"
    WRONG_CHAIN = "wrong-chain"
    NOT_REACHED = "not-reached"
    MOVED = "moved"
    NO_VALUE = "no-value"
    NO_TIME = "no-time"
    NO_ENDPOINTS = "no-endpoints"
    TOO_FEW = "too-few"
    FORK = "fork"
    DISAGREEMENT = "disagreement"
    NOT_SETTLED = "not-settled"


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """What one endpoint says of one claim.

    Of an answer that is not unknown: the hash of the claim's block there, and how many blocks the head is above it.
    """

    endpoint: str
    answer: Answer
    block_hash: bytes = b""
    depth: int = 0
    doubt: Doubt | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """What all endpoints together make of one claim; `is_disagreement` is a matter for the operator's alarm."""

    predicate: Predicate
    answer: Answer
    doubt: Doubt | None
    is_disagreement: bool
    witnesses: tuple[WitnessAnswer, ...]


def combine(predicate: Predicate, witnesses: Sequence[WitnessAnswer]) -> Checked:
    """Judge a claim by what each endpoint of its chain says of it, in any order."""
    answer, doubt, is_alarm = _judge(witnesses)
    return Checked(predicate, answer, doubt, is_alarm, tuple(witnesses))


def _judge(witnesses: Sequence[WitnessAnswer]) -> tuple[Answer, Doubt | None, bool]:
    if not witnesses:
        return Answer.UNKNOWN, Doubt.NO_ENDPOINTS, False
    # [EVIDENCE] An endpoint that gives no usable answer is no witness, neither for a claim nor against it.
    heard = [item for item in witnesses if item.answer is not Answer.UNKNOWN]
    # [EVIDENCE] Witnesses who answer differently about one block disagree: unknown, and an alarm.
    blocks = {item.block_hash for item in heard}
    if len({(item.block_hash, item.answer) for item in heard}) > len(blocks):
        return Answer.UNKNOWN, Doubt.DISAGREEMENT, True
    # [EVIDENCE] Witnesses who show different blocks are on a fork: unknown, and an alarm where the block is settled.
    if len(blocks) > 1:
        return Answer.UNKNOWN, Doubt.FORK, _is_settled(heard)
    # [EVIDENCE] Fewer than MIN_ENDPOINTS witnesses are too few: unknown.
    if len(heard) < MIN_ENDPOINTS:
        return Answer.UNKNOWN, Doubt.TOO_FEW, False
    # [EVIDENCE] Nothing is contradicted by a block less than SETTLED_DEPTH below the head that a witness shows.
    answer = heard[0].answer
    if answer is Answer.CONTRADICTED and not _is_settled(heard):
        return Answer.UNKNOWN, Doubt.NOT_SETTLED, False
    return answer, None, False


def _is_settled(heard: Iterable[WitnessAnswer]) -> bool:
    return all(item.depth >= SETTLED_DEPTH for item in heard)
