"""A log written to a folder, for any static file server, cold storage or another's verifier."""

from __future__ import annotations

from pathlib import Path

from tocsin_protocol.log.checkpoint import Checkpoint
from tocsin_protocol.log.tiles import CHECKPOINT_PATH, TILE_WIDTH, tiles_of

from ..errors import NodeError
from ..private_files import replace_file
from .files import LogFiles

PUBLIC_FILE_MODE = 0o644


def export_log(files: LogFiles, head: Checkpoint, note: bytes, folder: Path) -> int:
    """Write what the folder lacks of the log, the signed head last; returns the number of files written.

    Full tiles that are there are left: they never change. Raises NodeError.
    """
    written = 0
    # [LOG] The files of a head are written before the head, so that whoever reads it finds them.
    for tile in tiles_of(head.size):
        parts = [(tile.path, files.tile)] + ([(tile.bundle_path, files.bundle)] if tile.level == 0 else [])
        for path, read in parts:
            if not (tile.width == TILE_WIDTH and (folder / path).exists()):
                _write(folder / path, read(tile))
                written += 1
    _write(folder / CHECKPOINT_PATH, note)
    return written + 1


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data, mode=PUBLIC_FILE_MODE)
    except OSError as exc:
        raise NodeError(f"{path}: cannot be written ({exc.strerror})") from exc
