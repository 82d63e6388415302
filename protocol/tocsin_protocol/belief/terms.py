"""A belief with all the arithmetic that led to it, and what goes into it (specs/belief.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..errors import BeliefError
from ..model import MAX_CONFIDENCE
from .independence import MAX_WEIGHT, SharedLabel
from .reputation import Standing

# The id under which our own detector stands among the terms; no publisher has it.
OWN = b""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A publisher as the receiver knows it: whose it is, its labels by the roster, and what its word is worth."""

    publisher: bytes
    member: str
    labels: frozenset[str]
    standing: Standing


@dataclass(frozen=True, slots=True)
class OwnFinding:
    """What our own detectors say, with the weight in nats that the operator gives it. Raises BeliefError."""

    labels: frozenset[str]
    llr: float
    confidence: int
    found_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.llr <= MAX_WEIGHT:
            raise BeliefError(f"own finding: llr is {self.llr}, not 0…{MAX_WEIGHT}")
        if not 0 <= self.confidence <= MAX_CONFIDENCE:
            raise BeliefError(f"own finding: confidence is {self.confidence}, not 0…{MAX_CONFIDENCE}")


@dataclass(frozen=True, slots=True)
class Witness:
    """A publisher that declares coverage of the category: how long its reports are known to take, when it was heard."""

    publisher: bytes
    delay_ms: int
    heartbeat_ms: int


class Source(StrEnum):
    """What a term comes from."""

    OWN = "own"
    REPORT = "report"
    DISPUTE = "dispute"
    ALL_CLEAR = "all-clear"
    SILENCE = "silence"


class Answer(StrEnum):
    """Whether a term counted, or why not."""

    COUNTED = "counted"
    SHARES_LABEL = "shares-label"
    WORTHLESS = "worthless"
    NOT_DUE = "not-due"
    NO_HEARTBEAT = "no-heartbeat"


@dataclass(frozen=True, slots=True)
class Term:
    """One voice: `weight` = llr · confidence · decay in nats, to be added or, on the other side, taken away.

    For silence `weight` is -ln((1-r)/(1-f)), never more than llr. `shared` names the label and with whom.
    """

    source: Source
    publisher: bytes
    member: str
    llr: float
    confidence: float
    decay: float
    weight: float
    answer: Answer = Answer.COUNTED
    shared: SharedLabel | None = None


@dataclass(frozen=True, slots=True)
class Belief:
    """How likely an incident is, and why: logit = prior_logit + support + own - opposition - silence, in nats.

    `quorum`: a largest set of foreign reporters that speak for themselves; `groups` is its size. `groups_beside_own`
    is the size of such a set of those who share no label with our own finding. Terms stand in the order of source,
    then publisher. Not exact: a search was cut short, and the sets found are smaller or lighter than others may be.
    """

    probability: float
    logit: float
    prior_logit: float
    support: float
    own: float
    opposition: float
    silence: float
    terms: tuple[Term, ...]
    quorum: tuple[bytes, ...]
    groups_beside_own: int
    is_exact: bool

    @property
    def groups(self) -> int:
        """How many foreign groups report it, each by itself."""
        return len(self.quorum)
