"""Every file of a log against every other and against its signed head: what was changed, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.log.checkpoint import Checkpoint
from tocsin_protocol.log.tiles import TILE_WIDTH, Tile, decode_bundle, read_edge, split_tile, tile_at, tiles_of
from tocsin_protocol.log.tree import leaf_hash, perfect_root

from .files import LogFileError, LogFiles

# Then the rest is left untold: nobody reads more, and a log of which all is wrong says so at once.
MAX_FAULTS = 100


@dataclass(frozen=True, slots=True)
class LogFault:
    """Something in a log that cannot be as it is: an entry, a tile or the head, and what is wrong with it."""

    where: str
    what: str


def check_log(files: LogFiles, head: Checkpoint, pruned: int = 0) -> list[LogFault]:
    """Hash the whole log anew and compare each part with the next; nothing is returned where all agree.

    Of the first `pruned` entries only the hashes are looked at. The head's signatures are for the caller to check. At
    most MAX_FAULTS are told.
    """
    return list(islice(_faults(files, head, pruned), MAX_FAULTS))


def _faults(files: LogFiles, head: Checkpoint, pruned: int) -> Iterator[LogFault]:
    # [LOG] A log is whole where entries fit their leaves, full tiles their hashes in the next level, and all the root.
    below: list[bytes | None] = []
    roots: list[bytes | None] = []
    level = 0
    for tile in tiles_of(head.size):
        if tile.level != level:
            level, below, roots = tile.level, roots, []
        try:
            hashes = split_tile(files.tile(tile), tile.width)
        except (LogFileError, ProtocolError) as exc:
            yield LogFault(tile.path, str(exc))
            roots.append(None)
            continue
        if level:
            yield from _compare_below(tile, hashes, below)
        elif tile.number * TILE_WIDTH >= pruned:
            yield from _compare_entries(files, tile, hashes)
        if tile.width == TILE_WIDTH:
            roots.append(perfect_root(hashes))
    yield from _compare_root(files, head)


def _compare_entries(files: LogFiles, tile: Tile, hashes: list[bytes]) -> Iterator[LogFault]:
    try:
        entries = decode_bundle(files.bundle(tile), tile.width)
    except (LogFileError, ProtocolError) as exc:
        yield LogFault(tile.bundle_path, str(exc))
        return
    for index, (entry, wanted) in enumerate(zip(entries, hashes, strict=True), tile.number * TILE_WIDTH):
        if leaf_hash(entry) != wanted:
            yield LogFault(f"entry {index}", f"is not the one whose hash stands in {tile.path}")


def _compare_below(tile: Tile, hashes: list[bytes], below: list[bytes | None]) -> Iterator[LogFault]:
    first = tile.number * TILE_WIDTH
    for number, wanted in enumerate(hashes, first):
        found = below[number]
        if found is not None and found != wanted:
            path = Tile(tile.level - 1, number, TILE_WIDTH).path
            yield LogFault(path, f"does not have the root that stands in {tile.path}")


def _compare_root(files: LogFiles, head: Checkpoint) -> Iterator[LogFault]:
    def read_tile(level: int, number: int) -> bytes:
        return files.tile(tile_at(level, number, head.size))

    try:
        root = read_edge(head.size, read_tile).root
    except (LogFileError, ProtocolError):
        return  # told already, as the tile that it is
    if root != head.root:
        yield LogFault("checkpoint", f"its root of {head.size} entries is not the one of the tiles")
