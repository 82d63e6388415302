"""What a client remembers from one run to the next: where it was, and what it was shown of log and roster."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from .errors import ClientError

STATE_VERSION = 1
MAX_STATE_BYTES = 256 * 1024


class State(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`cursor` is the last event handed on, `head` the last signed head of the log, `roster` the hash of the latest."""

    version: int = STATE_VERSION
    feed: str
    cursor: int | None = None
    head: str | None = None
    epoch: int = -1
    roster: str = ""


class StateFile:
    """The state of one follower of one feed; a file of mode 0600, replaced whole. Without a path it is in memory."""

    def __init__(self, path: Path | None, feed: str) -> None:
        """Read what is there; raises ClientError rather than begin anew, which would forget what was seen."""
        self._path = path
        data = None if path is None else _read(path)
        if data is None:
            self.state = State(feed=feed)
            return
        try:
            self.state = msgspec.json.decode(data, type=State)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise ClientError(f"{path}: is no state of a follower ({exc})") from exc
        if self.state.version != STATE_VERSION:
            raise ClientError(f"{path}: is of version {self.state.version}, where {STATE_VERSION} is wanted")
        # [CLIENT] A state belongs to one feed: with another it is refused.
        if self.state.feed != feed:
            raise ClientError(f"{path}: is about {self.state.feed}, not {feed}; name another file")

    def save(self) -> None:
        """Write it durably; raises ClientError."""
        if self._path is None:
            return
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(self.state) + b"\n")
                file.flush()
                os.fsync(descriptor)
            temporary.replace(self._path)
        except OSError as exc:
            with suppress(OSError):
                temporary.unlink()
            raise ClientError(f"{self._path}: cannot be written ({exc.strerror})") from exc


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_STATE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ClientError(f"{path}: cannot be read ({exc.strerror})") from exc
    if len(data) > MAX_STATE_BYTES:
        raise ClientError(f"{path}: is longer than {MAX_STATE_BYTES} bytes")
    return data
