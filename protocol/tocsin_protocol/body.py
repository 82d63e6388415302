"""The canonical bytes of a signal's body (specs/signal.md)."""

from __future__ import annotations

from .encoding import Layout
from .envelope import MAX_BODY_BYTES
from .errors import DecodeError
from .fields import check_unique, id_of, text_of
from .ids import (
    check_account_id,
    check_asset_id,
    check_chain_id,
    check_dependency,
    check_hash,
    check_slug,
)
from .model import Detector, Evidence, Signal, Subject
from .taxonomy import SubjectKind

MAX_TEXT_BYTES = 4096
MAX_DETAIL_BYTES = 256
MAX_INCIDENT_BYTES = 64
MAX_LIFETIME_MS = 7 * 24 * 3600 * 1000

_LAYOUT = Layout("body", Signal, MAX_BODY_BYTES)

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
    body = _LAYOUT.encode(signal)
    decode_body(body)
    return body


def decode_body(body: bytes) -> Signal:
    """Open a body; raises DecodeError naming the field that is wrong."""
    signal = _LAYOUT.decode(body)
    if not signal.issued_ms < signal.expires_ms <= signal.issued_ms + MAX_LIFETIME_MS:
        raise DecodeError(f"expires is not within {MAX_LIFETIME_MS} ms after issued")
    for subject in signal.subjects:
        _check_subject(subject)
    check_unique("subject", signal.subjects, ordered=True)
    for evidence in signal.evidence:
        _check_evidence(evidence)
    if signal.detector is not None:
        _check_detector(signal.detector)
    if signal.incident:
        text_of("incident", signal.incident, MAX_INCIDENT_BYTES)
    if signal.text:
        text_of("text", signal.text, MAX_TEXT_BYTES, lines=True)
    return signal


def _check_subject(subject: Subject) -> None:
    id_of("subject", subject.value, _SUBJECT_CHECKS[subject.kind])


def _check_evidence(evidence: Evidence) -> None:
    id_of("evidence chain", evidence.chain, check_chain_id)
    text_of("evidence reference", evidence.reference)
    text_of("evidence detail", evidence.detail, MAX_DETAIL_BYTES, least_bytes=0)


def _check_detector(detector: Detector) -> None:
    id_of("detector name", detector.name, check_slug)
    id_of("detector vendor", detector.vendor, check_slug)
    id_of("detector rpc group", detector.rpc_group, check_slug)
