"""Configuration of the hooks."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.ids import chain_of, check_account_id, check_slug

from tocsin_node.chain.abi import Argument, encode_call, parse_function
from tocsin_node.chain.config import check_eip155_chain
from tocsin_node.chain.errors import AbiError

MAX_ARGUMENTS = 16


def _check_name(text: str) -> str:
    try:
        return check_slug(text)
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc


def _check_account(text: str) -> str:
    try:
        return check_account_id(text)
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc


def _check_target(text: str) -> str:
    return _check_account(text) if ":" in text else _check_name(text)


HookName = Annotated[str, AfterValidator(_check_name)]


class _HookConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: HookName


class EvmHookConfig(_HookConfig):
    """A function of a contract that the guardian may call; its chain must be configured too."""

    kind: Literal["evm"]
    target: Annotated[str, AfterValidator(_check_account)]
    function: str = "pause()"
    arguments: list[str | int | bool | list[str | int | bool]] = Field(default_factory=list, max_length=MAX_ARGUMENTS)
    check: str | None = Field(default="paused()(bool)", description="a view that is true while the effect is there")

    @field_validator("target")
    @classmethod
    def _check_chain(cls, target: str) -> str:
        check_eip155_chain(chain_of(target))
        return target

    @field_validator("check")
    @classmethod
    def _check_view(cls, text: str | None) -> str | None:
        if not text:  # TOML has no null: the empty text says that there is nothing to ask
            return None
        try:
            view = parse_function(text)
        except AbiError as exc:
            raise ValueError(str(exc)) from exc
        if view.inputs or view.outputs != ("bool",):
            raise ValueError(f"{text[:80]!r} is not a view without arguments that returns one bool")
        return text

    @model_validator(mode="after")
    def _check_call(self) -> EvmHookConfig:
        try:
            self.calldata()
        except AbiError as exc:
            raise ValueError(str(exc)) from exc
        return self

    def calldata(self) -> bytes:
        """The configured call; raises AbiError."""
        arguments: list[Argument] = [list(item) if isinstance(item, list) else item for item in self.arguments]
        return encode_call(parse_function(self.function), arguments)


class WebhookHookConfig(_HookConfig):
    """A signed request to a service of the operator's own (Standard Webhooks, v1 HMAC)."""

    kind: Literal["webhook"]
    target: Annotated[str, AfterValidator(_check_target)]
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
            raise ValueError(f"{url[:80]!r} is not a URL") from exc
        if not host or parts.scheme not in ("https", "http"):
            raise ValueError(f"{url[:80]!r} is not an https:// URL")
        if parts.scheme == "http" and not _is_loopback(host):
            raise ValueError(f"{url[:80]!r}: plain http is for this machine only")
        return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


HookConfig = Annotated[EvmHookConfig | WebhookHookConfig, Field(discriminator="kind")]
