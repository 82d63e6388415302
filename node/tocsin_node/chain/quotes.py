"""What endpoints say about an account's next nonce and the fees, and which of it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

from .errors import RpcRefused, RpcUnavailable
from .rpc import Request, read_count, read_quantity

REQUESTS = 4
"""How many requests a quote takes, and so how many results it is read from."""


@dataclass(frozen=True, slots=True)
class Quote:
    """One endpoint's next nonce and fees in wei per gas."""

    nonce: int
    base_fee_wei: int
    tip_wei: int


def quote_requests(account: str) -> tuple[Request, ...]:
    """What to ask an endpoint for its quote."""
    return (
        ("eth_chainId", ()),
        ("eth_getTransactionCount", (account, "pending")),
        ("eth_getBlockByNumber", ("latest", False)),
        ("eth_maxPriorityFeePerGas", ()),
    )


def read_quote(results: Sequence[Any], chain_id: int) -> Quote:
    """Return the quote in an endpoint's answers; raises RpcUnavailable that says why there is none."""
    chain, count, block, tip = results[:REQUESTS]
    found = read_quantity(chain)
    # [SEND] An endpoint that serves another chain has no say in what is signed.
    if found != chain_id:
        raise RpcUnavailable(f"an endpoint serves eip155:{found} where eip155:{chain_id} is wanted")
    if not isinstance(block, dict):
        raise RpcUnavailable("an endpoint shows no block")
    return Quote(
        nonce=read_count(count),
        base_fee_wei=read_quantity(block.get("baseFeePerGas")),
        tip_wei=0 if isinstance(tip, RpcRefused) else read_quantity(tip),
    )


def merge_quotes(quotes: Sequence[Quote], floor: int) -> Quote:
    """Return what to sign with, given quotes of at least one endpoint and the lowest nonce that may be free."""
    # [SEND] The nonce is what most endpoints name, else the lowest that may be free; of fees the lower median.
    return Quote(
        nonce=choose_nonce([quote.nonce for quote in quotes], floor),
        # Too low is refused and bumped; too high may be more than the guardian has, and there is no way back.
        base_fee_wei=median_low(quote.base_fee_wei for quote in quotes),
        tip_wei=median_low(quote.tip_wei for quote in quotes),
    )


def choose_nonce(nonces: Sequence[int], floor: int) -> int:
    """Return the nonce that most endpoints name, else the lowest that is not known to be used.

    Too low shows at once (nonce too low); too high waits for ever behind a gap, so one liar of two could stop us.
    """
    votes = {nonce: nonces.count(nonce) for nonce in nonces if nonce >= floor}
    if not votes:
        return floor
    most = max(votes.values())
    return min(nonce for nonce, count in votes.items() if count == most)


def find_gap(nonces: Sequence[int], nonce: int, witnesses: int) -> int | None:
    """Return the nonce that keeps one of ours waiting, by endpoints' counts with their pools; None where none does."""
    missing = [count for count in nonces if count < nonce]
    if len(missing) < witnesses or 2 * len(missing) <= len(nonces):
        return None
    return choose_nonce(missing, 0)
