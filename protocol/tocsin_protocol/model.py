"""What a signal says: the body as a value that cannot be wrong (specs/signal.md)."""

from __future__ import annotations

from dataclasses import dataclass

from .taxonomy import (
    CRITICAL,
    STANDARD,
    Category,
    Cause,
    EvidenceKind,
    Relation,
    Role,
    Severity,
    Stage,
    SubjectKind,
    Tlp,
)


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """What a signal is about, and the part it plays."""

    role: Role
    kind: SubjectKind
    value: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A claim a receiver can check again; `reference` names it on `chain`: a transaction, an account."""

    kind: EvidenceKind
    chain: str
    block: int
    reference: str
    detail: str


@dataclass(frozen=True, slots=True)
class Detector:
    """What found it. The roster's labels count; these only say which of them."""

    name: str
    vendor: str
    content_hash: bytes
    rpc_group: str


@dataclass(frozen=True, slots=True)
class Loss:
    """Money in micro-USD: lost so far, per hour, and still at risk."""

    observed_micro_usd: int
    rate_micro_usd_per_hour: int
    at_risk_micro_usd: int


@dataclass(frozen=True, slots=True)
class Reference:
    """An earlier signal, by digest."""

    relation: Relation
    digest: bytes


@dataclass(frozen=True, slots=True)
class Signal:
    """One statement about a threat. Times in UTC ms, confidence and credibility as numbers, no floats."""

    category: Category
    stage: Stage
    severity: Severity
    confidence: int
    credibility: int
    detected_ms: int
    issued_ms: int
    expires_ms: int
    incident: str
    subjects: tuple[Subject, ...]
    evidence: tuple[Evidence, ...]
    detector: Detector | None
    loss: Loss
    tier: int
    tlp: Tlp
    references: tuple[Reference, ...]
    cause: Cause | None
    drill: bool
    text: str

    @property
    def lane(self) -> int:
        """The feed it belongs in."""
        return CRITICAL if self.severity is Severity.CRITICAL else STANDARD
