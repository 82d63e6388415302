"""Where a log's files are read from: a database of ours, a folder, a server."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import httpx
from tocsin_protocol.log.note import MAX_NOTE_BYTES
from tocsin_protocol.log.tiles import CHECKPOINT_PATH, MAX_ENTRY_BYTES, TILE_WIDTH, Tile
from tocsin_protocol.log.tree import HASH_BYTES

from ..errors import NodeError

MAX_BUNDLE_BYTES = TILE_WIDTH * (MAX_ENTRY_BYTES + 2)
FETCH_SECONDS = 30.0


class LogFileError(NodeError):
    """A file of a log that is not there, or cannot be read."""


class LogFiles(Protocol):
    """A log as C2SP's files. What they say is checked by whoever reads them; each raises LogFileError."""

    def checkpoint(self) -> bytes:
        """The signed head."""

    def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile."""

    def bundle(self, tile: Tile) -> bytes:
        """The entries under a tile of level 0."""


class LogFolder:
    """A log that was exported to a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def checkpoint(self) -> bytes:
        """The signed head."""
        return self._read(CHECKPOINT_PATH, MAX_NOTE_BYTES)

    def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile."""
        return self._read(tile.path, TILE_WIDTH * HASH_BYTES)

    def bundle(self, tile: Tile) -> bytes:
        """The entries under a tile of level 0."""
        return self._read(tile.bundle_path, MAX_BUNDLE_BYTES)

    def _read(self, path: str, most: int) -> bytes:
        try:
            with (self._folder / path).open("rb") as file:
                data = file.read(most + 1)
        except OSError as exc:
            raise LogFileError(f"{self._folder / path}: cannot be read ({exc.strerror})") from exc
        return _bounded(f"{self._folder / path}", data, most)


class LogServer:
    """A log that somebody serves over HTTP. Close it, or its connections stay open.

    `key` is one of the feed that serves it, of the operator's: without it a feed shows no entries.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        self._url = url.rstrip("/")
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._client = httpx.Client(timeout=FETCH_SECONDS, follow_redirects=False, headers=headers)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def checkpoint(self) -> bytes:
        """The signed head."""
        return self._fetch(CHECKPOINT_PATH, MAX_NOTE_BYTES)

    def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile."""
        return self._fetch(tile.path, TILE_WIDTH * HASH_BYTES)

    def bundle(self, tile: Tile) -> bytes:
        """The entries under a tile of level 0."""
        return self._fetch(tile.bundle_path, MAX_BUNDLE_BYTES)

    def _fetch(self, path: str, most: int) -> bytes:
        url, data = f"{self._url}/{path}", bytearray()
        try:
            with self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise LogFileError(f"{url}: answered {response.status_code}")
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > most:
                        break
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise LogFileError(f"{url}: cannot be fetched ({exc or type(exc).__name__})") from exc
        return _bounded(url, bytes(data), most)


def _bounded(where: str, data: bytes, most: int) -> bytes:
    if len(data) > most:
        raise LogFileError(f"{where}: longer than {most} bytes")
    return data
