"""Hashing of the Merkle tree over the log's entries (RFC 6962, section 2.1, SHA-256)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry."""
    # [LOG] A leaf is SHA-256(0x00 ‖ entry), a node SHA-256(0x01 ‖ left ‖ right), the root of nothing SHA-256("").
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root over 2^k hashes of one height."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[n], hashes[n + 1]) for n in range(0, len(hashes), 2)]
    return hashes[0]


def extend_peaks(size: int, peaks: Iterable[bytes], leaves: Iterable[bytes]) -> tuple[bytes, ...]:
    """The peaks of a tree of `size` entries after these leaf hashes are added.

    Peaks are the roots of the largest perfect subtrees, one for each 1 in the binary form of the size, largest first.
    """
    grown = list(peaks)
    for leaf in leaves:
        grown.append(leaf)
        ones = size
        while ones & 1:
            right = grown.pop()
            grown[-1] = node_hash(grown[-1], right)
            ones >>= 1
        size += 1
    return tuple(grown)


def root_of_peaks(peaks: Sequence[bytes]) -> bytes:
    """The root of a tree with these peaks."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def root_of_leaves(leaves: Iterable[bytes]) -> bytes:
    """The root of a tree of these leaf hashes."""
    return root_of_peaks(extend_peaks(0, (), leaves))
