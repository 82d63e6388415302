"""Anchors: the head of a log as the data of a transaction, so that a chain says since when it stands."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from ..encoding import MAX_UINT
from ..errors import DecodeError, ProofError
from .checkpoint import Checkpoint, origin_of, read_origin
from .tree import HASH_BYTES

# "tocsin", nothing, and the version of the form.
ANCHOR_MAGIC = b"tocsin\x00\x01"
ANCHOR_BYTES = 80
_SIZE_AT = len(ANCHOR_MAGIC) + HASH_BYTES
_ROOT_AT = _SIZE_AT + 8


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the data of a transaction says: which log, by the SHA-256 of its origin, how many entries, which root."""

    origin_hash: bytes
    size: int
    root: bytes


def encode_anchor(head: Checkpoint) -> bytes:
    """The data of the transaction that anchors a head; raises ProofError for a log without entries."""
    # [LOG] A log without entries is not anchored.
    if not 0 < head.size <= MAX_UINT:
        raise ProofError(f"a log of {head.size} entries cannot be anchored")
    return ANCHOR_MAGIC + sha256(head.origin.encode()).digest() + head.size.to_bytes(8, "big") + head.root


def decode_anchor(data: bytes) -> Anchor:
    """Read the data of a transaction; raises DecodeError for what is not exactly an anchor."""
    # [LOG] An anchor is ANCHOR_MAGIC ‖ SHA-256(origin) ‖ size (8 bytes, big-endian) ‖ root, and nothing after it.
    if len(data) != ANCHOR_BYTES:
        raise DecodeError(f"an anchor of {len(data)} bytes where {ANCHOR_BYTES} are wanted")
    if not data.startswith(ANCHOR_MAGIC):
        raise DecodeError(f"an anchor begins with {data[:8].hex()} where {ANCHOR_MAGIC.hex()} is wanted")
    size = int.from_bytes(data[_SIZE_AT:_ROOT_AT], "big")
    if not 0 < size <= MAX_UINT:
        raise DecodeError(f"size of an anchor is {size} where 1…2^53-1 is wanted")
    return Anchor(data[len(ANCHOR_MAGIC) : _SIZE_AT], size, data[_ROOT_AT:])


def verify_anchor(anchor: Anchor, origin: str, size: int, root: bytes) -> None:
    """Raise ProofError unless this log, of so many entries, had this root when it was anchored."""
    # [LOG] An anchor vouches for the root of one size of one log, in this generation or one before.
    if all(anchor.origin_hash != sha256(name.encode()).digest() for name in _names_of(origin)):
        raise ProofError(f"the anchor is not of the log {origin}")
    if anchor.size != size:
        raise ProofError(f"the anchor is of {anchor.size} entries where {size} are told")
    if anchor.root != root:
        raise ProofError(f"the anchored root of {size} entries is {anchor.root.hex()}, that of the log is {root.hex()}")


def _names_of(origin: str) -> list[str]:
    """The names that a log has had: one that was begun anew has kept the entries of the copy that it began with."""
    log = read_origin(origin)
    if log is None:
        return [origin]
    return [origin_of(log.network_id, log.publisher, number) for number in range(log.generation, 0, -1)]
