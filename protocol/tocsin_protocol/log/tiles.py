"""The tree as static files: C2SP tlog-tiles, 256 hashes a tile, and bundles of 256 entries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from ..errors import DecodeError, OversizedError, ProofError, TruncatedError
from .proofs import NodeReader
from .tree import HASH_BYTES, extend_peaks, perfect_root, root_of_peaks

TILE_HEIGHT = 8
TILE_WIDTH = 256
MAX_ENTRY_BYTES = 65_535
_LENGTH_BYTES = 2
_ENTRIES = "entries"
_PATH = re.compile(r"tile/([0-9]{1,2}|entries)/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?\Z")
_FULL_BYTES = TILE_WIDTH * HASH_BYTES
CHECKPOINT_PATH = "checkpoint"


@dataclass(frozen=True, slots=True)
class Tile:
    """Where a tile stands in the tree, and how many hashes it has: below TILE_WIDTH it is partial."""

    level: int
    number: int
    width: int

    @property
    def path(self) -> str:
        """Where the tile is served."""
        return f"tile/{self.level}/{_place(self.number, self.width)}"

    @property
    def bundle_path(self) -> str:
        """Where the entries of a tile of level 0 are served."""
        return f"tile/{_ENTRIES}/{_place(self.number, self.width)}"


def tile_at(level: int, number: int, size: int) -> Tile:
    """A tile of a tree of `size` entries; raises ProofError where the tree has none there."""
    width = min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - number * TILE_WIDTH)
    if number < 0 or width <= 0:
        raise ProofError(f"a tree of {size} has no tile {number} of level {level}")
    return Tile(level, number, width)


def tiles_of(size: int) -> Iterator[Tile]:
    """All tiles of a tree, level by level."""
    # [LOG] A tile is partial only at the right end; it is then hashed into no level above, and an empty one is none.
    for level in count():
        hashes = size >> (TILE_HEIGHT * level)
        if not hashes:
            return
        for number in range(-(-hashes // TILE_WIDTH)):
            yield tile_at(level, number, size)


def decode_path(path: str) -> tuple[Tile, bool]:
    """The tile that a path names, and whether it is its entries that are asked for; raises DecodeError."""
    found = _PATH.match(path)
    if found is None:
        raise DecodeError(f"{path[:80]!r} is no path of a tile or bundle")
    level, place, width = found.groups()
    tile = Tile(0 if level == _ENTRIES else int(level), int(place.replace("/", "").replace("x", "")), int(width or 256))
    # [LOG] A path has one spelling: no zeros before a number but those of its last group, and no width where full.
    if path != (tile.bundle_path if level == _ENTRIES else tile.path):
        raise DecodeError(f"{path[:80]!r} is not in the one spelling of its tile")
    return tile, level == _ENTRIES


def split_tile(data: bytes, width: int) -> list[bytes]:
    """The hashes of a tile of this width; raises DecodeError."""
    if len(data) != width * HASH_BYTES:
        raise DecodeError(f"a tile of {len(data)} bytes where {width} hashes need {width * HASH_BYTES}")
    return [data[n : n + HASH_BYTES] for n in range(0, len(data), HASH_BYTES)]


def node_reader(read_tile: Callable[[int, int], bytes]) -> NodeReader:
    """Read nodes of any height out of tiles, given a reader of the bytes of the tile (level, number)."""

    def node(height: int, index: int) -> bytes:
        level, inner = divmod(height, TILE_HEIGHT)
        number, first = divmod(index << inner, TILE_WIDTH)
        hashes = read_tile(level, number)[first * HASH_BYTES : (first + (1 << inner)) * HASH_BYTES]
        return perfect_root(split_tile(hashes, 1 << inner))

    return node


@dataclass(frozen=True, slots=True)
class RightEdge:
    """What of a tree is needed to add to it: its peaks, and the bytes of the partial tile of each level."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()
    partial: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return root_of_peaks(self.peaks)


def read_edge(size: int, read_tile: Callable[[int, int], bytes]) -> RightEdge:
    """Rebuild the edge of a tree from its tiles; raises DecodeError where one has not the hashes it should."""
    partial: list[bytes] = []
    peaks: list[bytes] = []
    for level in count():
        hashes = size >> (TILE_HEIGHT * level)
        if not hashes:
            break
        number, width = divmod(hashes, TILE_WIDTH)
        data = read_tile(level, number) if width else b""
        leaves = split_tile(data, width)
        partial.append(data)
        peaks[:0] = extend_peaks(0, (), leaves)
    return RightEdge(size, tuple(peaks), tuple(partial))


def grow_edge(edge: RightEdge, leaves: Sequence[bytes]) -> tuple[RightEdge, list[tuple[Tile, bytes]]]:
    """Add leaf hashes; returns the new edge and every tile that is new or longer, with its bytes."""
    size = edge.size + len(leaves)
    changed: list[tuple[Tile, bytes]] = []
    partial: list[bytes] = []
    added = list(leaves)
    for level in count():
        before = edge.partial[level] if level < len(edge.partial) else b""
        if not added:
            partial += edge.partial[level:]
            break
        first = edge.size >> (TILE_HEIGHT * (level + 1))
        data, added = before + b"".join(added), []
        for number, begin in enumerate(range(0, len(data), _FULL_BYTES), first):
            tile = data[begin : begin + _FULL_BYTES]
            changed.append((Tile(level, number, len(tile) // HASH_BYTES), tile))
            if len(tile) == _FULL_BYTES:
                added.append(perfect_root(split_tile(tile, TILE_WIDTH)))
        partial.append(data[len(data) - len(data) % _FULL_BYTES :])
    return RightEdge(size, extend_peaks(edge.size, edge.peaks, leaves), tuple(partial)), changed


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Entries as one bundle: each with its length before it, two bytes, big-endian; raises OversizedError."""
    parts = []
    for entry in entries:
        # [LOG] An entry has at most MAX_ENTRY_BYTES bytes; what is larger is told by its hash.
        if len(entry) > MAX_ENTRY_BYTES:
            raise OversizedError(f"an entry of {len(entry)} bytes where at most {MAX_ENTRY_BYTES} are allowed")
        parts += [len(entry).to_bytes(_LENGTH_BYTES, "big"), entry]
    return b"".join(parts)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """The entries of a bundle of this width; raises DecodeError."""
    entries, at = [], 0
    for number in range(width):
        length = int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
        end = at + _LENGTH_BYTES + length
        if at + _LENGTH_BYTES > len(data) or end > len(data):
            raise TruncatedError(f"a bundle ends in entry {number} of {width}")
        entries.append(data[at + _LENGTH_BYTES : end])
        at = end
    if at != len(data):
        raise DecodeError(f"{len(data) - at} bytes after the {width} entries of a bundle")
    return entries


def _place(number: int, width: int) -> str:
    """`x001/x234/067` and, of a partial tile, `.p/` and its width."""
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03}")
    return "/".join(groups) + ("" if width == TILE_WIDTH else f".p/{width}")
