"""Configuration of the hooks: what every hook may say, and the hooks that send messages or run programs."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, field_validator
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.ids import check_account_id, check_slug

MAX_ARGV = 32
MAX_TEXT_CHARS = 400


def _check_name(text: str) -> str:
    try:
        return check_slug(text)
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc


def check_account(text: str) -> str:
    """Return a CAIP-10 account; raises ValueError, as pydantic wants it."""
    try:
        return check_account_id(text)
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc


def _check_target(text: str) -> str:
    return check_account(text) if ":" in text else _check_name(text)


HookName = Annotated[str, AfterValidator(_check_name)]
HookTarget = Annotated[str, AfterValidator(_check_target)]


class BaseHookConfig(BaseModel):
    """What every hook may say of itself; what a lever costs, saves and covers stands in the policy."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: HookName
    ends_after_minutes: int | None = Field(
        default=None, ge=1, le=10_080, description="the receiving side ends the effect by itself after this"
    )
    capability_valid_until: AwareDatetime | None = Field(
        default=None, strict=False, description="when our right to use it ends, where no chain can be asked"
    )

    drill: bool = Field(default=False, description="set off by drills and by nothing else; it has no effect")

    @property
    def valid_until_ms(self) -> int | None:
        """The end of our right in UTC milliseconds."""
        until = self.capability_valid_until
        return None if until is None else int(until.timestamp()) * 1_000


class MessageHookConfig(BaseHookConfig):
    """A hook that tells somebody else what to contain."""

    target: HookTarget
    form: Literal["standard", "cloudevents"] = Field(
        default="standard", description="Standard Webhooks' type, timestamp and data, or a CloudEvents 1.0 envelope"
    )
    openc2: bool = Field(default=False, description="add the intent as an OpenC2 command")
    undo: str = Field(default="", max_length=MAX_TEXT_CHARS, description="what people do to take it back")


class WebhookHookConfig(MessageHookConfig):
    """A signed request to a service of the operator's own (Standard Webhooks, v1 HMAC)."""

    kind: Literal["webhook"]
    url: str
    secret_file: Path = Field(strict=False)
    timeout_ms: int = Field(default=10_000, ge=50, le=60_000)
    max_attempts: int = Field(default=8, ge=1, le=50)
    retry_min_ms: int = Field(default=500, ge=1, le=600_000)
    retry_max_ms: int = Field(default=60_000, ge=1, le=3_600_000)

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError as exc:
            raise ValueError("the text is not a URL") from exc
        if not host or parts.scheme not in ("https", "http"):
            raise ValueError(f"{parts.scheme[:20]!r}: an https:// URL is wanted")
        if parts.scheme == "http" and not _is_loopback(host):
            raise ValueError("plain http is for this machine only")
        return url


class CommandHookConfig(MessageHookConfig):
    """A program of the operator's own, run without a shell, that reads the intent as JSON."""

    kind: Literal["command"]
    argv: list[Annotated[str, Field(min_length=1, max_length=4_096)]] = Field(min_length=1, max_length=MAX_ARGV)
    user: str | None = Field(default=None, pattern=r"^[a-z_][a-z0-9_-]{0,31}$")
    timeout_ms: int = Field(default=10_000, ge=50, le=600_000)
    max_attempts: int = Field(default=1, ge=1, le=50)
    retry_min_ms: int = Field(default=500, ge=1, le=600_000)

    @field_validator("argv")
    @classmethod
    def _check_program(cls, argv: list[str]) -> list[str]:
        if not Path(argv[0]).is_absolute():
            raise ValueError(f"{argv[0][:80]!r} is not an absolute path: no PATH is searched for a lever")
        if any("\0" in item for item in argv):
            raise ValueError("an argument holds a zero byte")
        return argv


class PluginHookConfig(BaseHookConfig):
    """A hook of the operator's own, in Python, by its entry point in the group `tocsin.hooks`."""

    kind: Literal["plugin"]
    target: HookTarget
    entry_point: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    settings: dict[str, Any] = Field(default_factory=dict, max_length=64)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
