"""Configuration of one chain."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.ids import check_chain_id

MAX_ENDPOINTS = 8
MAX_RELAYS = 4


def check_eip155_chain(text: str) -> str:
    """Return a CAIP-2 id of an EVM chain; raises ValueError, as pydantic wants it."""
    try:
        check_chain_id(text)
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc
    namespace, _, reference = text.partition(":")
    if namespace != "eip155" or not reference.isdecimal() or str(int(reference)) != reference:
        raise ValueError(f"{text!r} is not an EVM chain such as eip155:1")
    return text


EvmChain = Annotated[str, AfterValidator(check_eip155_chain)]


def _check_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        # Its path may hold the key to an account with the provider.
        raise ValueError(f"{url.partition(':')[0][:20]!r}: an http:// or https:// URL is wanted")
    return url


class RelayForm(StrEnum):
    """How a private relay wants to be asked."""

    FLASHBOTS = "flashbots"
    RAW = "raw"


class RelayConfig(BaseModel):
    """A private relay: eth_sendPrivateTransaction with a signed header, or plain eth_sendRawTransaction."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    url: Annotated[str, AfterValidator(_check_url)]
    form: RelayForm = Field(default=RelayForm.FLASHBOTS, strict=False)


class ChainConfig(BaseModel):
    """How to reach one chain and how patient to be with it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    chain: EvmChain
    endpoints: list[str] = Field(min_length=1, max_length=MAX_ENDPOINTS)
    private_relays: list[RelayConfig] = Field(default=[], max_length=MAX_RELAYS)
    private_ms: int = Field(default=30_000, ge=100, le=600_000, description="then to every endpoint, in public")
    confirmations: int = Field(default=1, ge=1, le=1_024, description="blocks, the one it is in included")
    request_timeout_ms: int = Field(default=5_000, ge=50, le=60_000)
    grace_ms: int = Field(default=100, ge=0, le=5_000, description="for the others, once enough are heard")
    warm_ms: int = Field(default=6_000, ge=50, le=60_000, description="between two looks at nonce and fees")
    poll_min_ms: int = Field(default=2, ge=1, le=10_000)
    poll_max_ms: int = Field(default=1_000, ge=1, le=60_000)
    rebroadcast_ms: int = Field(default=6_000, ge=50, le=600_000)
    bump_ms: int = Field(default=24_000, ge=100, le=3_600_000)
    max_bumps: int = Field(default=5, ge=0, le=7)
    watch_ms: int = Field(default=12_000, ge=20, le=600_000, description="between two looks until it is final")
    settle_ms: int = Field(default=600_000, ge=100, le=86_400_000, description="then the outcome is unknown")
    gas_limit: int = Field(default=300_000, ge=21_000, le=30_000_000)
    min_priority_fee_wei: int = Field(default=2_000_000_000, ge=1, le=10**15)
    max_fee_wei: int = Field(default=2_000_000_000_000, ge=1, le=MAX_UINT, description="as much as a journal holds")
    max_day_spend_wei: int = Field(default=5 * 10**18, ge=1, le=2**63 - 1, description="all actions within a day")

    @field_validator("endpoints")
    @classmethod
    def _check_endpoints(cls, urls: list[str]) -> list[str]:
        for url in urls:
            _check_url(url)
        if len(set(urls)) != len(urls):
            raise ValueError("an endpoint is named twice: two names are not two witnesses")
        return urls

    @property
    def chain_id(self) -> int:
        """The number of EIP-155."""
        return int(self.chain.partition(":")[2])

    @property
    def witnesses(self) -> int:
        """How many endpoints must say the same before it is believed: two, where two are configured."""
        return min(2, len(self.endpoints))
