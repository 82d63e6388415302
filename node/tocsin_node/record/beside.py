"""What a log's entries name by a hash, written beside its tiles: signals, drafts, decisions, large details."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path

from tocsin_protocol.audit import MAX_DETAIL_BYTES, AuditEntry, EntryKind
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.log.tiles import TILE_WIDTH, Tile, encode_bundle, tile_at

from ..errors import NodeError
from ..private_files import replace_file
from .files import LogFileError
from .source import STAND_IN, LogSource

DETAILS = "detail"


def signals_path(tile: Tile) -> str:
    """Where the signals are that the entries of a bundle are about: a bundle as well, with nothing for the others."""
    return tile.bundle_path.replace("tile/entries", "signals", 1)


def write_beside(source: LogSource, folder: Path) -> int:
    """Write what the folder lacks; returns the number of files written. Raises NodeError or ProtocolError.

    Only we may read these files: signals have labels, and details name our levers and what they may do.
    """
    size = source.head.size
    tiles = [tile_at(0, number, size) for number in range(-(-size // TILE_WIDTH))]
    lacking = [tile for tile in tiles if tile.width < TILE_WIDTH or not (folder / signals_path(tile)).exists()]
    written = 0
    for tile in lacking:
        first = tile.number * TILE_WIDTH
        if first < source.pruned:
            why = "is not there, and its entries were pruned: give the folder that has them"
            raise LogFileError(f"{folder / signals_path(tile)}: {why}")
        entries = list(islice(source.entries(first), tile.width))
        for digest, data in _details(source, entries):
            path = folder / DETAILS / digest.hex()
            if not path.exists():
                _write(path, data)
                written += 1
        # Last, so that whoever finds it finds the others.
        _write(folder / signals_path(tile), encode_bundle([_signal(source, entry) for entry in entries]))
        written += 1
    return written


def _signal(source: LogSource, entry: AuditEntry) -> bytes:
    if entry.kind is not EntryKind.SIGNAL:
        return b""
    return source.read_signal(entry.reference) or source.read_draft(entry.reference) or b""


def _details(source: LogSource, entries: list[AuditEntry]) -> Iterator[tuple[bytes, bytes]]:
    for entry in entries:
        detail = decode_canonical(entry.detail, max_bytes=MAX_DETAIL_BYTES)
        if detail.keys() == STAND_IN:
            digest, found = detail["sha256"], source.read_large(detail["sha256"])
        elif entry.kind is EntryKind.DECISION and "detail" in detail:
            digest, found = detail["detail"], source.read_decision(detail["decision"], detail["detail"])
        else:
            continue
        if found is not None and sha256(found).digest() == digest:
            yield digest, found


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
    except OSError as exc:
        raise NodeError(f"{path}: cannot be written ({exc.strerror})") from exc
