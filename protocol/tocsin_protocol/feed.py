"""Feeds: per publisher and lane, signals form a hash chain (specs/signal.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .encoding import decode_canonical, encode_canonical
from .envelope import FIRST_SEQUENCE, MAX_ENVELOPE_BYTES, Envelope, decode_envelope
from .errors import DecodeError, SignatureError
from .fields import list_of
from .ids import NO_DIGEST
from .signing import Domain, address_of_key, is_signed_by, verify_digest

MAX_PROOF_BYTES = 2 * MAX_ENVELOPE_BYTES + 16


@dataclass(frozen=True, slots=True)
class FeedHead:
    """The highest signal known of one feed. Sequence 0 stands for an empty feed."""

    publisher: bytes
    lane: int
    sequence: int
    digest: bytes


class Position(StrEnum):
    """Where an envelope stands against what is held of its feed."""

    LINKED = "linked"
    UNLINKED = "unlinked"
    DUPLICATE = "duplicate"
    EQUIVOCATION = "equivocation"


def chain_position(envelope: Envelope, *, same: bytes | None, before: bytes | None, after: Envelope | None) -> Position:
    """Place an envelope, given the digests held at its sequence and the one before, and the envelope after it."""
    if same is not None:
        return Position.DUPLICATE if same == envelope.digest else Position.EQUIVOCATION
    expected = NO_DIGEST if envelope.sequence == FIRST_SEQUENCE else before
    if expected is not None and envelope.previous != expected:
        return Position.EQUIVOCATION
    if after is not None and after.previous != envelope.digest:
        return Position.EQUIVOCATION
    return Position.LINKED if expected is not None else Position.UNLINKED


def encode_equivocation(one: Envelope, other: Envelope) -> bytes:
    """A portable proof that a publisher told two histories; raises DecodeError if they prove nothing."""
    first, second = sorted((one, other), key=lambda e: (e.sequence, e.digest))
    _check_contradiction(first, second)
    return encode_canonical([first.encoded, second.encoded])


def decode_equivocation(domain: Domain, proof: bytes) -> tuple[Envelope, Envelope]:
    """Parse a proof, checking everything but the signatures; raises DecodeError."""
    pair = list_of("proof", decode_canonical(proof, max_bytes=MAX_PROOF_BYTES, max_items=2), 2, 2)
    if any(type(item) is not bytes for item in pair):
        raise DecodeError("proof does not hold two byte strings")
    first, second = (decode_envelope(domain, item) for item in pair)
    if (first.sequence, first.digest) >= (second.sequence, second.digest):
        raise DecodeError("proof's envelopes are not in rising order")
    _check_contradiction(first, second)
    return first, second


def _check_contradiction(first: Envelope, second: Envelope) -> None:
    if (first.publisher, first.lane) != (second.publisher, second.lane):
        raise DecodeError("proof's envelopes are of two feeds")
    # [FEED] Two signals with one sequence and different digests are a proof of equivocation.
    if first.sequence == second.sequence and first.digest != second.digest:
        return
    # [FEED] A signal whose previous is not the digest of its signed predecessor is a proof of equivocation.
    if first.sequence + 1 == second.sequence and second.previous != first.digest:
        return
    raise DecodeError("proof's envelopes do not contradict each other")


def verify_equivocation(domain: Domain, public_key: bytes, proof: bytes) -> tuple[Envelope, Envelope]:
    """Check a proof against the publisher's key; raises DecodeError or SignatureError."""
    first, second = decode_equivocation(domain, proof)
    # [FEED] A proof speaks against the publisher whose key made both signatures, and against nobody else.
    if address_of_key(public_key) != first.publisher:
        raise SignatureError("proof is checked with a key that is not its publisher's")
    verify_digest(public_key, first.digest, first.signature)
    verify_digest(public_key, second.digest, second.signature)
    return first, second


def is_valid_signature(envelope: Envelope, public_key: bytes) -> bool:
    """Whether the envelope is signed by this key."""
    return is_signed_by(public_key, envelope.digest, envelope.signature)
