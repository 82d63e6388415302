"""The signed envelope: a header that is checked before the body is opened (specs/signal.md)."""

from __future__ import annotations

from dataclasses import dataclass

from .encoding import decode_canonical, encode_canonical
from .errors import DecodeError
from .fields import bytes_of, list_of, uint_of
from .ids import DIGEST_BYTES, NO_DIGEST, PUBLISHER_BYTES
from .signing import SIGNATURE_BYTES, Domain, sign_digest
from .taxonomy import LANES

ENVELOPE_VERSION = 1
ENVELOPE_FIELDS = 7
MAX_BODY_BYTES = 16 * 1024
MAX_ENVELOPE_BYTES = MAX_BODY_BYTES + 256
FIRST_SEQUENCE = 1


@dataclass(frozen=True, slots=True)
class Envelope:
    """One signed signal. `digest` is its identity: the EIP-712 digest, never the signature bytes."""

    publisher: bytes
    lane: int
    sequence: int
    previous: bytes
    body: bytes
    signature: bytes
    digest: bytes
    encoded: bytes


def seal_envelope(
    domain: Domain, secret: bytes, publisher: bytes, lane: int, sequence: int, previous: bytes, body: bytes
) -> Envelope:
    """Sign a body into its place in a feed; raises DecodeError where a field is out of bounds."""
    uint_of("lane", lane, 0, len(LANES) - 1)
    uint_of("sequence", sequence, FIRST_SEQUENCE)
    signature = sign_digest(secret, domain.signal_digest(publisher, lane, sequence, previous, body))
    encoded = encode_canonical([ENVELOPE_VERSION, publisher, lane, sequence, previous, body, signature])
    return decode_envelope(domain, encoded)


def decode_envelope(domain: Domain, data: bytes) -> Envelope:
    """Parse an envelope and compute its digest; checks neither signature nor body. Raises DecodeError."""
    fields = decode_canonical(data, max_bytes=MAX_ENVELOPE_BYTES, max_items=ENVELOPE_FIELDS)
    list_of("envelope", fields, ENVELOPE_FIELDS, ENVELOPE_FIELDS)
    version, publisher, lane, sequence, previous, body, signature = fields
    uint_of("version", version, ENVELOPE_VERSION, ENVELOPE_VERSION)
    bytes_of("publisher", publisher, PUBLISHER_BYTES)
    uint_of("lane", lane, 0, len(LANES) - 1)
    uint_of("sequence", sequence, FIRST_SEQUENCE)
    bytes_of("previous", previous, DIGEST_BYTES)
    if (sequence == FIRST_SEQUENCE) != (previous == NO_DIGEST):
        raise DecodeError("previous is not zero at the first sequence, or zero after it")
    if type(body) is not bytes or not 1 <= len(body) <= MAX_BODY_BYTES:
        raise DecodeError(f"body is not 1…{MAX_BODY_BYTES} bytes")
    bytes_of("signature", signature, SIGNATURE_BYTES)
    digest = domain.signal_digest(publisher, lane, sequence, previous, body)
    return Envelope(publisher, lane, sequence, previous, body, signature, digest, data)
