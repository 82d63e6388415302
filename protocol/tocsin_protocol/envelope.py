"""The signed envelope: a header that is checked before the body is opened (specs/signal.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .encoding import MAX_UINT, Layout
from .errors import DecodeError
from .fields import uint_of
from .ids import DIGEST_BYTES, NO_DIGEST, PUBLISHER_BYTES
from .signing import SIGNATURE_BYTES, Domain, sign_digest
from .taxonomy import LANES

ENVELOPE_VERSION: Literal[1] = 1
MAX_BODY_BYTES = 16 * 1024
MAX_ENVELOPE_BYTES = MAX_BODY_BYTES + 256
FIRST_SEQUENCE = 1

_Digest = Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]


class _Wire(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """An envelope's list of fields."""

    version: Literal[1]
    publisher: Annotated[bytes, Meta(min_length=PUBLISHER_BYTES, max_length=PUBLISHER_BYTES)]
    lane: Annotated[int, Meta(ge=0, le=len(LANES) - 1)]
    sequence: Annotated[int, Meta(ge=FIRST_SEQUENCE, le=MAX_UINT)]
    previous: _Digest
    body: Annotated[bytes, Meta(min_length=1, max_length=MAX_BODY_BYTES)]
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


_LAYOUT = Layout("envelope", _Wire, MAX_ENVELOPE_BYTES)


class Envelope(Struct, frozen=True, gc=False):
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
    wire = _Wire(ENVELOPE_VERSION, publisher, lane, sequence, previous, body, signature)
    return decode_envelope(domain, _LAYOUT.encode(wire))


def decode_envelope(domain: Domain, data: bytes) -> Envelope:
    """Parse an envelope and compute its digest; checks neither signature nor body. Raises DecodeError."""
    wire = _LAYOUT.decode(data)
    if (wire.sequence == FIRST_SEQUENCE) != (wire.previous == NO_DIGEST):
        raise DecodeError("previous is not zero at the first sequence, or zero after it")
    digest = domain.signal_digest(wire.publisher, wire.lane, wire.sequence, wire.previous, wire.body)
    return Envelope(wire.publisher, wire.lane, wire.sequence, wire.previous, wire.body, wire.signature, digest, data)
