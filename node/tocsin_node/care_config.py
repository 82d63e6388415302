"""How a node takes care of itself: the sections of node.toml that say so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.ids import check_account_id, check_slug

from .toml_files import FilePath, Section

MAX_NEVER = 256
MAX_DISARM_KEYS = 8
MAX_COMMAND = 32
# More levers than one incident should need; who has more of them sets it higher.
DEFAULT_MAX_ACTIONS = 20

_SELECTOR = re.compile(r"0x[0-9a-f]{8}")


def _check_never(text: str) -> str:
    if _SELECTOR.fullmatch(text):
        return text
    try:
        # A selector or address that was mistyped would pass for a target's name, and protect nothing.
        if text.startswith("0x"):
            raise DecodeError("no selector")
        return check_account_id(text) if ":" in text else check_slug(text)
    except DecodeError as exc:
        wanted = "an account such as eip155:1:0x…, a target's name, or a selector such as 0x8456cb59 is wanted"
        raise ValueError(f"{text[:80]!r}: {wanted}") from exc


class SafetySection(Section):
    """What no hook may ever act on, who may disarm from afar, and how much is too much."""

    never_touch: tuple[Annotated[str, AfterValidator(_check_never)], ...] = Field(default=(), max_length=MAX_NEVER)
    disarm_keys: tuple[Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{40}$")], ...] = Field(
        default=(), max_length=MAX_DISARM_KEYS
    )
    max_actions_per_hour: int = Field(default=DEFAULT_MAX_ACTIONS, ge=1, le=10_000)


class DrillSection(Section):
    """Whether this node uses its drill hooks when a peer drills; at most once an hour for each of them."""

    answer_peers: bool = False


class WatchdogSection(Section):
    """Where `tocsin watchdog` raises its alarm: a webhook, a program, or both."""

    url: str | None = None
    secret_file: FilePath | None = None
    command: tuple[str, ...] = Field(default=(), max_length=MAX_COMMAND)
    after_seconds: int = Field(default=30, ge=5, le=3600)

    @model_validator(mode="after")
    def _check_whole(self) -> WatchdogSection:
        if (self.url is None) != (self.secret_file is None):
            raise ValueError("url and secret_file go together")
        if self.url is not None and not self.url.startswith(("https://", "http://127.0.0.1", "http://[::1]")):
            raise ValueError(f"url: {self.url[:80]!r} is not https://; plain http is for this machine only")
        if self.command and not Path(self.command[0]).is_absolute():
            raise ValueError(f"command: {self.command[0][:80]!r} is not an absolute path")
        return self
