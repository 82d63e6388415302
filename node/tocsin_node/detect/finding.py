"""What a watcher reports, and how it is doing."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .config import WatchedAsset


@dataclass(frozen=True, slots=True)
class Finding:
    """A crossing. Amounts in the asset's smallest unit, money in micro-USD, times in UTC milliseconds.

    `key` is the same for the same crossing, also after a restart. Transactions stand with their blocks. A recipient is
    not an attacker.
    """

    key: bytes
    watcher: str
    chain: str
    account: str
    asset: str
    block_number: int
    block_hash: bytes
    block_time_ms: int
    window_s: int
    net_outflow: int
    limit: int
    balance_at_start: int
    balance: int
    loss_micro_usd: int
    at_risk_micro_usd: int
    transactions: tuple[tuple[int, str], ...]
    recipients: tuple[str, ...]


Report = Callable[[Finding], Awaitable[bool]]
"""Takes a finding over; False, and never an error, when that failed and the same may be offered again."""


@dataclass(slots=True)
class WatcherStatus:
    """How the watcher is doing; only the watcher writes it."""

    endpoint: str = ""
    head_number: int = 0
    head_time_ms: int = 0
    polled_ms: int = 0
    findings: int = 0
    unwitnessed: int = 0
    reorgs: int = 0
    restarts: int = 0
    errors: int = 0
    last_error: str = ""

    def head_age_ms(self, now_ms: int) -> int:
        """How old the newest block that was read is."""
        return max(0, now_ms - self.head_time_ms)


def worth(amount: int, item: WatchedAsset) -> int:
    """Return the micro-USD of an amount in the smallest unit, rounded down."""
    return int(amount * item.price_micro_usd // 10**item.decimals)


def finding_key(account: str, asset: str, block_hash: bytes) -> bytes:
    """Return the 32 bytes that name a crossing."""
    return hashlib.sha256(f"tocsin/outflow/1 {account} {asset} ".encode() + block_hash).digest()
