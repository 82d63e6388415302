"""Amounts of our manifest that the chain tells: the balances that each is the sum of, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.exposure.manifest import Amount, AmountSource, Dependency, Manifest
from tocsin_protocol.ids import chain_of

AmountKey = tuple[str, ...]
"""A holding by its name, or a dependency by holding, link and subject."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What one account holds of one asset (CAIP-10, CAIP-19), and micro-USD for a whole unit of it."""

    account: str
    asset: str
    decimals: int
    price_micro_usd: int

    @property
    def chain(self) -> str:
        """The CAIP-2 chain to ask."""
        return chain_of(self.account)


@dataclass(frozen=True, slots=True)
class AmountReading:
    """One amount of the manifest as a sum of balances."""

    key: AmountKey
    balances: tuple[Balance, ...]

    @property
    def name(self) -> str:
        """What people call it."""
        return ", ".join(self.key)

    def worth(self, held: Mapping[Balance, int], now_ms: int) -> Amount:
        """The amount for balances in the smallest units of their assets, in micro-USD rounded down."""
        # [EXPOSURE] Balances are worth what the operator says: prices on chain are what attackers bend.
        total = sum(held[item] * item.price_micro_usd // 10**item.decimals for item in self.balances)
        return Amount(min(MAX_UINT, total), now_ms, AmountSource.CHAIN)


def with_amounts(manifest: Manifest, amounts: Mapping[AmountKey, Amount]) -> Manifest:
    """The manifest with these amounts in place of its own."""
    return replace(
        manifest,
        holdings=tuple(replace(item, amount=amounts.get((item.name,), item.amount)) for item in manifest.holdings),
        dependencies=tuple(_with_amount(item, amounts) for item in manifest.dependencies),
    )


def _with_amount(dependency: Dependency, amounts: Mapping[AmountKey, Amount]) -> Dependency:
    key = (dependency.holding, dependency.link, dependency.subject.value)
    return replace(dependency, amount=amounts.get(key, dependency.amount))
