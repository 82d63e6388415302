"""Inclusion and consistency proofs: made as in RFC 6962 (2.1.1, 2.1.2), verified as in RFC 9162 (2.1.3.2, 2.1.4.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import ProofError
from .tree import EMPTY_ROOT, node_hash

MAX_PROOF_HASHES = 63

# The hash of the perfect subtree of height h (2^h leaves) at this index among those of its height.
NodeReader = Callable[[int, int], bytes]


def prove_inclusion(index: int, size: int, node: NodeReader) -> tuple[bytes, ...]:
    """The path from an entry to the root of a tree of `size` entries; raises ProofError where it is not in it."""
    if not 0 <= index < size:
        raise ProofError(f"entry {index} is not in a tree of {size}")
    path, begin, end = [], 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(begin, middle, node))
            begin = middle
    return tuple(reversed(path))


def prove_consistency(old: int, size: int, node: NodeReader) -> tuple[bytes, ...]:
    """The proof that a tree of `size` entries begins with one of `old`; raises ProofError where it cannot."""
    path = list(_consistency_path(old, size, node))
    # Who checks it has the old root, and so this hash.
    return tuple(path[1:] if _is_perfect(old) else path)


def prove_prefix(old: int, size: int, node: NodeReader) -> tuple[bytes, ...]:
    """A consistency proof that leads to the root of the first `old` entries without knowing it; for split views."""
    return _consistency_path(old, size, node)


def _consistency_path(old: int, size: int, node: NodeReader) -> tuple[bytes, ...]:
    if not 0 < old < size:
        raise ProofError(f"a tree of {size} has no proper beginning of {old}")
    path, begin, end = [], 0, size
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append(range_root(middle, end, node))
            end = middle
        else:
            path.append(range_root(begin, middle, node))
            begin = middle
    path.append(range_root(begin, end, node))
    return tuple(reversed(path))


def range_root(begin: int, end: int, node: NodeReader) -> bytes:
    """The root over the entries from `begin` up to `end`, one of the ranges that RFC 6962 splits a tree into."""
    size = end - begin
    if _is_perfect(size):
        return node(size.bit_length() - 1, begin // size)
    middle = begin + _split(size)
    return node_hash(range_root(begin, middle, node), range_root(middle, end, node))


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Raise ProofError unless the path leads from the leaf hash at `index` to the root of a tree of `size` entries."""
    # [LOG] An inclusion proof has exactly the hashes that lead from its index to the root of a tree of its size.
    if not 0 <= index < size:
        raise ProofError(f"entry {index} is not in a tree of {size}")
    place, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofError(f"{len(path)} hashes are too many for entry {index} of {size}")
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofError(f"{len(path)} hashes are too few for entry {index} of {size}")
    if found != root:
        raise ProofError(f"entry {index} is not in the tree of {size} with this root")


def verify_consistency(old: int, size: int, path: Sequence[bytes], old_root: bytes, root: bytes) -> None:
    """Raise ProofError unless the tree of `size` entries with `root` begins with that of `old` with `old_root`."""
    # [LOG] Each tree begins with the tree of no entries, and with itself; neither needs a hash.
    if old == 0 or old == size:
        if path:
            raise ProofError(f"{len(path)} hashes where {old} and {size} entries need none")
        if old_root != (EMPTY_ROOT if old == 0 else root):
            raise ProofError(f"two roots for one tree of {old} entries")
        return
    # [LOG] A consistency proof leads to both roots, old and new, from the same hashes, and has none to spare.
    found = roots_of_path(old, size, [old_root, *path] if _is_perfect(old) else path)
    if found != (old_root, root):
        raise ProofError(f"the tree of {size} does not begin with the tree of {old} that is told")


def roots_of_path(old: int, size: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of `old` and of `size` entries that a path of `prove_prefix` leads to; raises ProofError."""
    if not 0 < old < size:
        raise ProofError(f"a tree of {size} has no proper beginning of {old}")
    if not path:
        raise ProofError("a consistency proof without hashes")
    place, last = old - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old_root = new_root = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError(f"{len(path)} hashes are too many between {old} and {size} entries")
        if place & 1 or place == last:
            old_root, new_root = node_hash(sibling, old_root), node_hash(sibling, new_root)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new_root = node_hash(new_root, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofError(f"{len(path)} hashes are too few between {old} and {size} entries")
    return old_root, new_root


def _split(size: int) -> int:
    """The largest power of two below a size."""
    return 1 << ((size - 1).bit_length() - 1)


def _is_perfect(size: int) -> bool:
    return size & (size - 1) == 0
