"""What a signal says: the body as a value that cannot be wrong (specs/signal.md)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from .encoding import MAX_UINT
from .ids import DIGEST_BYTES
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

MAX_SUBJECTS = 64
MAX_EVIDENCE = 32
MAX_REFERENCES = 32
MAX_CONFIDENCE = 100
MAX_CREDIBILITY = 6
MAX_TIER = 4

_Hash = Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
# An optional text that stands is not empty: that would be a second spelling of none.
_Stated = Annotated[str, Meta(min_length=1)]
_Uint = Annotated[int, Meta(ge=0, le=MAX_UINT)]


class _Row(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Written as a list of its fields."""


class Subject(_Row, frozen=True, order=True):
    """What a signal is about, and the part it plays."""

    role: Role
    kind: SubjectKind
    value: str


class Evidence(_Row, frozen=True):
    """A claim a receiver can check again; `reference` names it on `chain`: a transaction, an account."""

    kind: EvidenceKind
    chain: str
    block: _Uint
    reference: str
    detail: str


class Detector(_Row, frozen=True):
    """What found it. The roster's labels count; these only say which of them."""

    name: str
    vendor: str
    content_hash: _Hash
    rpc_group: str


class Loss(_Row, frozen=True):
    """Money in micro-USD: lost so far, per hour, and still at risk."""

    observed_micro_usd: _Uint
    rate_micro_usd_per_hour: _Uint
    at_risk_micro_usd: _Uint


class Reference(_Row, frozen=True):
    """An earlier signal, by digest."""

    relation: Relation
    digest: _Hash


class Signal(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One statement about a threat. Times in UTC ms, confidence and credibility as numbers, no floats.

    The fields stand in the order of their keys on the wire, which makes what msgspec writes canonical.
    """

    category: Category
    cause: Cause | None = None
    confidence: Annotated[int, Meta(ge=0, le=MAX_CONFIDENCE)]
    credibility: Annotated[int, Meta(ge=1, le=MAX_CREDIBILITY)]
    detected_ms: _Uint = field(name="detected")
    detector: Detector | None = None
    drill: bool
    evidence: Annotated[tuple[Evidence, ...], Meta(max_length=MAX_EVIDENCE)]
    expires_ms: _Uint = field(name="expires")
    incident: _Stated = ""
    issued_ms: _Uint = field(name="issued")
    loss: Loss
    references: Annotated[tuple[Reference, ...], Meta(max_length=MAX_REFERENCES)] = field(name="refs")
    severity: Severity
    stage: Stage
    subjects: Annotated[tuple[Subject, ...], Meta(min_length=1, max_length=MAX_SUBJECTS)]
    text: _Stated = ""
    tier: Annotated[int, Meta(ge=0, le=MAX_TIER)]
    tlp: Tlp

    @property
    def lane(self) -> int:
        """The feed it belongs in."""
        return CRITICAL if self.severity is Severity.CRITICAL else STANDARD
