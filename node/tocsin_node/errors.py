"""What a node raises on purpose, by what the caller does about it."""

from __future__ import annotations

from pathlib import Path

MAX_SHOWN_CHARS = 120


class NodeError(Exception):
    """Base of the errors of the shell. The message is one sentence for the operator."""


class ConfigError(NodeError):
    """A config, policy, roster or key file that stops start-up (exit code 78).

    The message names the file, its line where that is known, the key, the value found and what was wanted.
    """

    def __init__(
        self, file: Path | str, key: str, wanted: str, *, found: object = None, line: int | None = None
    ) -> None:
        key = key if len(key) <= MAX_SHOWN_CHARS else key[: MAX_SHOWN_CHARS - 1] + "…"
        place = f"{file}" if line is None else f"{file}:{line}"
        what = key if found is None else f"{key} = {shorten(found)}"
        super().__init__(f"{place}: {what}: {wanted}" if key else f"{place}: {wanted}")
        self.file = str(file)
        self.line = line
        self.key = key
        self.wanted = wanted


class ControlError(NodeError):
    """A running node refused a request, or could not do it; `code` says which."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NodeUnreachable(NodeError):
    """No node answers on the control socket (exit code 69)."""


def shorten(value: object) -> str:
    """A value as it is shown in a message, cut at MAX_SHOWN_CHARS."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"
