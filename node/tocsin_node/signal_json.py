"""Signals as JSON: what people and programs hand in to be published, and what they read."""

from __future__ import annotations

from typing import Any

from tocsin_protocol.body import decode_body, encode_body
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.fields import bool_of, enum_of, list_of, map_of, text_of, uint_of
from tocsin_protocol.ids import DIGEST_BYTES
from tocsin_protocol.model import MAX_TIER, Detector, Evidence, Loss, Reference, Signal, Subject
from tocsin_protocol.taxonomy import Category, Cause, EvidenceKind, Relation, Role, Severity, Stage, SubjectKind, Tlp

DEFAULT_LIFETIME_MS = 60 * 60 * 1000
DEFAULT_CREDIBILITY = 3

_NAMES = (
    "category",
    "cause",
    "confidence",
    "credibility",
    "detected_ms",
    "detector",
    "drill",
    "evidence",
    "expires_ms",
    "incident",
    "issued_ms",
    "loss",
    "references",
    "severity",
    "stage",
    "subjects",
    "text",
    "tier",
    "tlp",
)
_REQUIRED = frozenset(("category", "confidence", "severity", "subjects"))
_LOSS_NAMES = ("at_risk_micro_usd", "observed_micro_usd", "rate_micro_usd_per_hour")


def signal_to_json(signal: Signal) -> dict[str, Any]:
    """A signal as a JSON object; bytes as 0x and hex."""
    return {
        "category": str(signal.category),
        "stage": str(signal.stage),
        "severity": str(signal.severity),
        "confidence": signal.confidence,
        "credibility": signal.credibility,
        "detected_ms": signal.detected_ms,
        "issued_ms": signal.issued_ms,
        "expires_ms": signal.expires_ms,
        "incident": signal.incident,
        "subjects": [{"role": str(s.role), "kind": str(s.kind), "value": s.value} for s in signal.subjects],
        "evidence": [
            {"kind": str(e.kind), "chain": e.chain, "block": e.block, "reference": e.reference, "detail": e.detail}
            for e in signal.evidence
        ],
        "detector": None if signal.detector is None else _detector_to_json(signal.detector),
        "loss": {name: getattr(signal.loss, name) for name in _LOSS_NAMES},
        "tier": signal.tier,
        "tlp": str(signal.tlp),
        "references": [{"relation": str(r.relation), "digest": "0x" + r.digest.hex()} for r in signal.references],
        "cause": None if signal.cause is None else str(signal.cause),
        "drill": signal.drill,
        "text": signal.text,
    }


def draft_signal(document: Any, now_ms: int) -> Signal:
    """A signal from JSON, checked as its receivers will check it; raises DecodeError naming the field.

    Wanted are category, severity, confidence and subjects; the rest has defaults. `issued_ms` is always `now_ms`:
    only its publisher knows when a signal is issued.
    """
    optional = frozenset(_NAMES) - _REQUIRED
    fields = map_of("signal", document, _NAMES, optional)
    detector, cause = fields.get("detector"), fields.get("cause")
    signal = Signal(
        category=enum_of("category", fields["category"], Category),
        stage=enum_of("stage", fields.get("stage", Stage.EXPLOITATION.value), Stage),
        severity=enum_of("severity", fields["severity"], Severity),
        confidence=uint_of("confidence", fields["confidence"], 0, 100),
        credibility=uint_of("credibility", fields.get("credibility", DEFAULT_CREDIBILITY), 1, 6),
        detected_ms=uint_of("detected_ms", fields.get("detected_ms", now_ms)),
        issued_ms=now_ms,
        expires_ms=uint_of("expires_ms", fields.get("expires_ms", now_ms + DEFAULT_LIFETIME_MS)),
        incident=_text("incident", fields),
        subjects=tuple(sorted(_subject(s) for s in list_of("subjects", fields["subjects"], 1, 64))),
        evidence=tuple(_evidence(e) for e in list_of("evidence", fields.get("evidence", []), 0, 32)),
        detector=None if detector is None else _detector(detector),
        loss=_loss(fields.get("loss", {})),
        tier=uint_of("tier", fields.get("tier", 0), 0, MAX_TIER),
        tlp=enum_of("tlp", fields.get("tlp", Tlp.AMBER.value), Tlp),
        references=tuple(_reference(r) for r in list_of("references", fields.get("references", []), 0, 32)),
        cause=None if cause is None else enum_of("cause", cause, Cause),
        drill=bool_of("drill", fields.get("drill", False)),
        text=_text("text", fields),
    )
    # lengths, spellings of ids and the order of times come to light here
    return decode_body(encode_body(signal))


def subject_kind(value: str) -> SubjectKind:
    """The kind of subject an id looks like; whether it is one is for `draft_signal` to say."""
    if " " in value:
        return SubjectKind.DEPENDENCY
    if "/" in value:
        return SubjectKind.ASSET
    if value.startswith("0x"):
        return SubjectKind.CODE_HASH
    if ":" not in value:
        return SubjectKind.LINEAGE
    return SubjectKind.CHAIN if value.count(":") == 1 else SubjectKind.ACCOUNT


def _subject(value: Any) -> Subject:
    fields = map_of("subject", value, ("kind", "role", "value"), frozenset(("kind",)))
    text = text_of("subject value", fields["value"])
    kind = enum_of("subject kind", fields.get("kind", subject_kind(text).value), SubjectKind)
    return Subject(enum_of("subject role", fields["role"], Role), kind, text)


def _evidence(value: Any) -> Evidence:
    names = ("block", "chain", "detail", "kind", "reference")
    fields = map_of("evidence", value, names, frozenset(("detail",)))
    kind = enum_of("evidence kind", fields["kind"], EvidenceKind)
    return Evidence(
        kind,
        text_of("evidence chain", fields["chain"]),
        uint_of("evidence block", fields["block"]),
        text_of("evidence reference", fields["reference"]),
        _text("detail", fields),
    )


def _detector(value: Any) -> Detector:
    fields = map_of("detector", value, ("content_hash", "name", "rpc_group", "vendor"))
    name, vendor, group = (text_of(f"detector {part}", fields[part]) for part in ("name", "vendor", "rpc_group"))
    return Detector(name, vendor, _digest("detector content_hash", fields["content_hash"]), group)


def _detector_to_json(detector: Detector) -> dict[str, Any]:
    return {
        "name": detector.name,
        "vendor": detector.vendor,
        "content_hash": "0x" + detector.content_hash.hex(),
        "rpc_group": detector.rpc_group,
    }


def _loss(value: Any) -> Loss:
    fields = map_of("loss", value, _LOSS_NAMES, frozenset(_LOSS_NAMES))
    return Loss(**{name: uint_of(name, fields.get(name, 0)) for name in _LOSS_NAMES})


def _reference(value: Any) -> Reference:
    fields = map_of("reference", value, ("digest", "relation"))
    relation = enum_of("reference relation", fields["relation"], Relation)
    return Reference(relation, _digest("reference digest", fields["digest"]))


def _text(name: str, fields: dict[str, Any]) -> str:
    """A text that may be empty or absent; its length is for the body's own check."""
    value = fields.get(name, "")
    if type(value) is not str:
        raise DecodeError(f"{name} is not text")
    return value


def _digest(where: str, value: Any) -> bytes:
    text = text_of(where, value).removeprefix("0x")
    try:
        data = bytes.fromhex(text)
    except ValueError as exc:
        raise DecodeError(f"{where} is not 0x and hex digits") from exc
    if len(data) != DIGEST_BYTES:
        raise DecodeError(f"{where} is not {DIGEST_BYTES} bytes")
    return data
