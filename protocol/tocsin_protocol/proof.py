"""Proofs against a publisher, which anybody can check by the roster: two histories of its feed, or of its log."""

from __future__ import annotations

from .encoding import decode_canonical
from .errors import DecodeError, OversizedError, RosterError
from .feed import MAX_PROOF_BYTES, decode_equivocation, verify_equivocation
from .fields import list_of
from .log.members import log_key, log_of_head
from .log.split_view import SplitView, decode_split_view, verify_split_view
from .roster import RosterIndex

_SPLIT_FIELDS = 3


def accused_by(index: RosterIndex, proof: bytes) -> bytes:
    """The publisher that a proof speaks against, unverified; raises DecodeError, RosterError for another network's."""
    split = _split_of(proof)
    if split is None:
        return decode_equivocation(index.domain, proof)[0].publisher
    return log_of_head(index, split.smaller).publisher


def verify_proof(index: RosterIndex, proof: bytes) -> bytes:
    """Check a proof; returns the publisher that it is against. Raises DecodeError, SignatureError or ProofError.

    Raises RosterError where the roster does not have the key that it would be checked with.
    """
    split = _split_of(proof)
    if split is not None:
        log = log_of_head(index, split.smaller)
        # [LOG] A split view is proven by the log key that the roster has of the publisher in the origin.
        verify_split_view(split, log_key(index, log.publisher, log.generation))
        return log.publisher
    accused = decode_equivocation(index.domain, proof)[0].publisher
    entry = index.publisher(accused)
    if entry is None:
        raise RosterError(f"the roster has no publisher 0x{accused.hex()}")
    verify_equivocation(index.domain, entry.key, proof)
    return accused


def _split_of(proof: bytes) -> SplitView | None:
    if len(proof) > MAX_PROOF_BYTES:
        raise OversizedError(f"a proof of {len(proof)} bytes where at most {MAX_PROOF_BYTES} are allowed")
    value = list_of("proof", decode_canonical(proof, max_bytes=MAX_PROOF_BYTES), 2, _SPLIT_FIELDS)
    if len(value) < _SPLIT_FIELDS:
        return None
    # [LOG] Its heads have the log's signature and no other: a proof has one spelling.
    split = decode_split_view(proof)
    for head in (split.smaller, split.larger):
        if head.count(b"\n") != _HEAD_LINES:
            raise DecodeError("a head of a split view does not have one signature alone")
    return split


# Origin, size, root, an empty line, a signature.
_HEAD_LINES = 5
