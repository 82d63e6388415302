"""Signals to measure with: real bodies, sealed into one feed."""

from __future__ import annotations

from tocsin_protocol.body import encode_body
from tocsin_protocol.envelope import Envelope, seal_envelope
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.model import Evidence, Loss, Signal, Subject
from tocsin_protocol.signing import Domain, address_of_key, public_key_of
from tocsin_protocol.taxonomy import Category, EvidenceKind, Role, Severity, Stage, SubjectKind, Tlp

# As many incidents at once; each gets its share of the signals.
INCIDENTS = 200
LIFETIME_MS = 3_600_000


def sample_signal(number: int, now_ms: int, *, severity: Severity = Severity.HIGH, subject: str = "") -> Signal:
    """One signal as detectors send them: two subjects, one transaction as evidence, a sentence of text."""
    victim = subject or f"eip155:1:0x{number % INCIDENTS:040x}"
    return Signal(
        category=Category.ASSET_DRAIN,
        stage=Stage.EXPLOITATION,
        severity=severity,
        confidence=90,
        credibility=2,
        detected_ms=now_ms,
        issued_ms=now_ms,
        expires_ms=now_ms + LIFETIME_MS,
        incident=f"bench-{number % INCIDENTS}",
        subjects=(
            Subject(Role.RECIPIENT, SubjectKind.ACCOUNT, f"eip155:1:0xff{number:038x}"),
            Subject(Role.VICTIM, SubjectKind.ACCOUNT, victim),
        ),
        evidence=(Evidence(EvidenceKind.TRANSACTION, "eip155:1", number + 1, f"0x{number:064x}", ""),),
        detector=None,
        loss=Loss(number, 0, 0),
        tier=2,
        tlp=Tlp.AMBER,
        references=(),
        cause=None,
        drill=False,
        text="Net outflow past its limit.",
    )


def seal_feed(network_id: bytes, secret: bytes, count: int, now_ms: int, *, lane_severity: Severity) -> list[Envelope]:
    """`count` signals of one severity, sealed one after another from the feed's beginning."""
    domain, publisher = Domain(network_id), address_of_key(public_key_of(secret))
    envelopes: list[Envelope] = []
    previous = NO_DIGEST
    for number in range(count):
        signal = sample_signal(number, now_ms, severity=lane_severity)
        body = encode_body(signal)
        envelopes.append(seal_envelope(domain, secret, publisher, signal.lane, number + 1, previous, body))
        previous = envelopes[-1].digest
    return envelopes
