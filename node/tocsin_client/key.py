"""A key of a feed: read from a private file or the environment, and never shown."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from .errors import ClientError

KEY_VARIABLE = "TOCSIN_FEED_KEY"
MAX_KEY_FILE_BYTES = 4096
_KEY = re.compile(r"tocsin_([0-9a-f]{12})_[0-9a-f]{64}")


class FeedKey:
    """One key. It prints as its id alone, and cannot be pickled into a log or a queue."""

    __slots__ = ("_text", "id")

    def __init__(self, text: str, where: str = "the key") -> None:
        """Take a key as `tocsin feed key` shows it; raises ClientError, which does not repeat it."""
        match = _KEY.fullmatch(text.strip())
        if match is None:
            raise ClientError(f"{where} is not tocsin_, 12 hex digits, _ and 64 hex digits")
        self._text = text.strip()
        self.id = match[1]

    @classmethod
    def from_file(cls, path: Path) -> FeedKey:
        """Read a key from a file that group and world cannot; raises ClientError."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as exc:
            raise ClientError(f"{path}: cannot be read ({exc.strerror})") from exc
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ClientError(f"{path}: is not a regular file")
            # [CLIENT] A key file that group or world can read is refused.
            if mode := stat.S_IMODE(status.st_mode) & 0o077:
                raise ClientError(f"{path}: others can read it (mode …{mode:02o}): run chmod 600 {path}")
            data = file.read(MAX_KEY_FILE_BYTES + 1)
        return cls(data.decode("ascii", errors="replace"), str(path))

    @classmethod
    def from_environment(cls, name: str = KEY_VARIABLE) -> FeedKey | None:
        """The key in an environment variable, None where it is not set; raises ClientError."""
        text = os.environ.get(name, "")
        return cls(text, name) if text else None

    def header(self) -> dict[str, str]:
        """The header that shows it."""
        return {"authorization": f"Bearer {self._text}"}

    def __repr__(self) -> str:
        return f"FeedKey({self.id})"

    def __reduce__(self) -> str:
        raise TypeError("a FeedKey is not to be written anywhere")
