"""Configuration of the built-in watchers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.ids import chain_of, check_account_id, check_asset_id, check_slug
from tocsin_protocol.outflow import BPS, MAX_REORG_BLOCKS, LimiterParams, OutflowError

from tocsin_node.chain.config import check_eip155_chain

MAX_WATCHED = 64
"""Accounts, and assets, of one watcher: what one query for logs may name."""


def _as_value_error(check: Callable[[str], str]) -> Callable[[str], str]:
    def run(text: str) -> str:
        try:
            return check(text)
        except DecodeError as exc:
            raise ValueError(str(exc)) from exc

    return run


def _check_erc20(text: str) -> str:
    check_asset_id(text)
    if "/erc20:" not in text:
        raise ValueError(f"{text[:160]!r} is not an ERC-20 asset such as eip155:1/erc20:0x…")
    check_eip155_chain(chain_of(text))
    return text


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class WatchedAsset(_Config):
    """One asset with its price, which turns token units into money."""

    asset: Annotated[str, AfterValidator(_as_value_error(_check_erc20))]
    decimals: int = Field(ge=0, le=36)
    price_micro_usd: int = Field(ge=0, le=10**18, description="micro-USD for one whole token")
    max_outflow_bps: int = Field(default=2_000, ge=1, le=BPS)
    min_outflow: int = Field(default=0, ge=0, description="whole tokens; less than this in a window is never a finding")


class OutflowWatcherConfig(_Config):
    """A limiter for each (account, asset): net outflow over a rolling window (ERC-7265)."""

    name: Annotated[str, AfterValidator(_as_value_error(check_slug))]
    accounts: list[Annotated[str, AfterValidator(_as_value_error(check_account_id))]] = Field(
        min_length=1, max_length=MAX_WATCHED
    )
    assets: list[WatchedAsset] = Field(min_length=1, max_length=MAX_WATCHED)
    window_s: int = Field(default=3_600, ge=1, le=7 * 86_400)
    tick_s: int = Field(default=12, ge=1, le=86_400)
    poll_ms: int = Field(default=1_000, ge=5, le=600_000)
    max_blocks: int = Field(default=32, ge=1, le=62, description="blocks read at a time")
    backfill_blocks: int = Field(default=300, ge=0, le=MAX_REORG_BLOCKS * 100, description="read at start")

    @model_validator(mode="after")
    def _check_together(self) -> OutflowWatcherConfig:
        chains = {chain_of(name) for name in (*self.accounts, *(item.asset for item in self.assets))}
        if len(chains) != 1:
            raise ValueError(f"accounts and assets are of {len(chains)} chains where one is wanted")
        if len(set(self.accounts)) != len(self.accounts):
            raise ValueError("an account is named twice")
        if len({item.asset for item in self.assets}) != len(self.assets):
            raise ValueError("an asset is named twice")
        try:
            for item in self.assets:
                self.limiter_params(item)
        except OutflowError as exc:
            raise ValueError(str(exc)) from exc
        return self

    @property
    def chain(self) -> str:
        """The CAIP-2 chain that is watched."""
        return chain_of(self.accounts[0])

    def limiter_params(self, item: WatchedAsset) -> LimiterParams:
        """What is too much of one asset, in its smallest unit."""
        return LimiterParams(
            window_s=self.window_s,
            tick_s=self.tick_s,
            max_outflow_bps=item.max_outflow_bps,
            min_outflow=item.min_outflow * 10**item.decimals,
        )
