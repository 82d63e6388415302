"""Proof that a log has signed two histories: anybody can check it with the log's key alone."""

from __future__ import annotations

from dataclasses import dataclass

from ..encoding import decode_canonical, encode_canonical
from ..errors import DecodeError, ProofError
from ..fields import bytes_of, list_of
from .checkpoint import Checkpoint, verify_checkpoint
from .note import MAX_NOTE_BYTES, VerifierKey
from .proofs import MAX_PROOF_HASHES, roots_of_path
from .tree import HASH_BYTES

MAX_SPLIT_VIEW_BYTES = 2 * MAX_NOTE_BYTES + 4096


@dataclass(frozen=True, slots=True)
class SplitView:
    """Two signed checkpoints, the smaller first, and a path out of the larger tree to its own first entries."""

    smaller: bytes
    larger: bytes
    path: tuple[bytes, ...]


def encode_split_view(split: SplitView) -> bytes:
    """The canonical bytes of a proof."""
    return encode_canonical([split.smaller, split.larger, list(split.path)])


def decode_split_view(data: bytes) -> SplitView:
    """Parse a proof; raises DecodeError. Nothing of it counts before `verify_split_view`."""
    fields = list_of("split view", decode_canonical(data, max_bytes=MAX_SPLIT_VIEW_BYTES), 3, 3)
    if type(fields[0]) is not bytes or type(fields[1]) is not bytes:
        raise DecodeError("a head of a split view is not bytes")
    path = list_of("path", fields[2], 0, MAX_PROOF_HASHES)
    return SplitView(fields[0], fields[1], tuple(bytes_of("path", item, HASH_BYTES) for item in path))


def verify_split_view(split: SplitView, log: VerifierKey) -> tuple[Checkpoint, Checkpoint]:
    """Return the two heads that no one log can have; raises DecodeError, SignatureError or ProofError.

    The proof is against the holder of the key: both heads carry its signature.
    """
    smaller = verify_checkpoint(split.smaller, [log]).checkpoint
    larger = verify_checkpoint(split.larger, [log]).checkpoint
    # [LOG] Two heads of one log and one size with two roots are a split view.
    if smaller.size == larger.size:
        if split.path or smaller.root == larger.root:
            raise ProofError(f"two heads of size {smaller.size} with one root, or with a path that they do not need")
        return smaller, larger
    # [LOG] So are two of two sizes where a path from the larger's root leads to another root for the smaller size.
    found_smaller, found_larger = roots_of_path(smaller.size, larger.size, split.path)
    if found_larger != larger.root:
        raise ProofError(f"the path does not lead to the root of size {larger.size}")
    if found_smaller == smaller.root:
        raise ProofError(f"the log of size {larger.size} begins with that of size {smaller.size}: no split")
    return smaller, larger
