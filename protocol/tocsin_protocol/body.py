"""The canonical bytes of a signal's body (specs/signal.md)."""

from __future__ import annotations

from typing import Any

from .encoding import decode_canonical, encode_canonical
from .envelope import MAX_BODY_BYTES
from .errors import DecodeError
from .fields import bool_of, bytes_of, check_unique, enum_of, id_of, list_of, map_of, text_of, uint_of
from .ids import (
    DIGEST_BYTES,
    check_account_id,
    check_asset_id,
    check_chain_id,
    check_dependency,
    check_hash,
    check_slug,
)
from .model import Detector, Evidence, Loss, Reference, Signal, Subject
from .taxonomy import Category, Cause, EvidenceKind, Relation, Role, Severity, Stage, SubjectKind, Tlp

MAX_SUBJECTS = 64
MAX_EVIDENCE = 32
MAX_REFERENCES = 32
MAX_TEXT_BYTES = 4096
MAX_DETAIL_BYTES = 256
MAX_INCIDENT_BYTES = 64
MAX_CONFIDENCE = 100
MAX_CREDIBILITY = 6
MAX_TIER = 4
MAX_LIFETIME_MS = 7 * 24 * 3600 * 1000

_KEYS = (
    "category",
    "cause",
    "confidence",
    "credibility",
    "detected",
    "detector",
    "drill",
    "evidence",
    "expires",
    "incident",
    "issued",
    "loss",
    "refs",
    "severity",
    "stage",
    "subjects",
    "text",
    "tier",
    "tlp",
)
_OPTIONAL = frozenset(("cause", "detector", "incident", "text"))

_SUBJECT_CHECKS = {
    SubjectKind.CHAIN: check_chain_id,
    SubjectKind.ACCOUNT: check_account_id,
    SubjectKind.ASSET: check_asset_id,
    SubjectKind.CODE_HASH: check_hash,
    SubjectKind.DEPENDENCY: check_dependency,
    SubjectKind.LINEAGE: check_slug,
}


def encode_body(signal: Signal) -> bytes:
    """The canonical body of a signal; raises DecodeError naming a field out of bounds."""
    fields: dict[str, Any] = {
        "category": str(signal.category),
        "confidence": signal.confidence,
        "credibility": signal.credibility,
        "detected": signal.detected_ms,
        "drill": signal.drill,
        "evidence": [[str(e.kind), e.chain, e.block, e.reference, e.detail] for e in signal.evidence],
        "expires": signal.expires_ms,
        "issued": signal.issued_ms,
        "loss": [
            signal.loss.observed_micro_usd,
            signal.loss.rate_micro_usd_per_hour,
            signal.loss.at_risk_micro_usd,
        ],
        "refs": [[str(r.relation), r.digest] for r in signal.references],
        "severity": str(signal.severity),
        "stage": str(signal.stage),
        "subjects": [[str(s.role), str(s.kind), s.value] for s in signal.subjects],
        "tier": signal.tier,
        "tlp": str(signal.tlp),
    }
    if signal.cause is not None:
        fields["cause"] = str(signal.cause)
    if signal.detector is not None:
        d = signal.detector
        fields["detector"] = [d.name, d.vendor, d.content_hash, d.rpc_group]
    if signal.incident:
        fields["incident"] = signal.incident
    if signal.text:
        fields["text"] = signal.text
    body = encode_canonical(fields)
    decode_body(body)
    return body


def decode_body(body: bytes) -> Signal:
    """Open a body; raises DecodeError naming the field that is wrong."""
    fields = map_of("body", decode_canonical(body, max_bytes=MAX_BODY_BYTES), _KEYS, _OPTIONAL)
    issued_ms = uint_of("issued", fields["issued"])
    expires_ms = uint_of("expires", fields["expires"])
    if not issued_ms < expires_ms <= issued_ms + MAX_LIFETIME_MS:
        raise DecodeError(f"expires is not within {MAX_LIFETIME_MS} ms after issued")
    subjects = tuple(_subject(s) for s in list_of("subjects", fields["subjects"], 1, MAX_SUBJECTS))
    check_unique("subject", subjects, ordered=True)
    return Signal(
        category=enum_of("category", fields["category"], Category),
        stage=enum_of("stage", fields["stage"], Stage),
        severity=enum_of("severity", fields["severity"], Severity),
        confidence=uint_of("confidence", fields["confidence"], 0, MAX_CONFIDENCE),
        credibility=uint_of("credibility", fields["credibility"], 1, MAX_CREDIBILITY),
        detected_ms=uint_of("detected", fields["detected"]),
        issued_ms=issued_ms,
        expires_ms=expires_ms,
        incident=text_of("incident", fields["incident"], MAX_INCIDENT_BYTES) if "incident" in fields else "",
        subjects=subjects,
        evidence=tuple(_evidence(e) for e in list_of("evidence", fields["evidence"], 0, MAX_EVIDENCE)),
        detector=_detector(fields["detector"]) if "detector" in fields else None,
        loss=Loss(*(uint_of("loss", amount) for amount in list_of("loss", fields["loss"], 3, 3))),
        tier=uint_of("tier", fields["tier"], 0, MAX_TIER),
        tlp=enum_of("tlp", fields["tlp"], Tlp),
        references=tuple(_reference(r) for r in list_of("refs", fields["refs"], 0, MAX_REFERENCES)),
        cause=enum_of("cause", fields["cause"], Cause) if "cause" in fields else None,
        drill=bool_of("drill", fields["drill"]),
        text=text_of("text", fields["text"], MAX_TEXT_BYTES, lines=True) if "text" in fields else "",
    )


def _subject(value: Any) -> Subject:
    role, kind_text, text = list_of("subject", value, 3, 3)
    kind = enum_of("subject kind", kind_text, SubjectKind)
    return Subject(enum_of("subject role", role, Role), kind, id_of("subject", text, _SUBJECT_CHECKS[kind]))


def _evidence(value: Any) -> Evidence:
    kind, chain, block, reference, detail = list_of("evidence", value, 5, 5)
    return Evidence(
        enum_of("evidence kind", kind, EvidenceKind),
        id_of("evidence chain", chain, check_chain_id),
        uint_of("evidence block", block),
        text_of("evidence reference", reference),
        text_of("evidence detail", detail, MAX_DETAIL_BYTES, least_bytes=0),
    )


def _detector(value: Any) -> Detector:
    name, vendor, content_hash, rpc_group = list_of("detector", value, 4, 4)
    return Detector(
        id_of("detector name", name, check_slug),
        id_of("detector vendor", vendor, check_slug),
        bytes_of("detector content hash", content_hash, 32),
        id_of("detector rpc group", rpc_group, check_slug),
    )


def _reference(value: Any) -> Reference:
    relation, digest = list_of("ref", value, 2, 2)
    return Reference(enum_of("ref relation", relation, Relation), bytes_of("ref digest", digest, DIGEST_BYTES))
