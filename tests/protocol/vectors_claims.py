"""Vectors of claims: trees with their proofs, and pro-rata payouts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tocsin_protocol.recovery.claims import MAX_AMOUNT, Claim, build_tree, claim_leaf, pro_rata
from vector_kit import case

USDC, DAI = bytes.fromhex(f"{0xA55E7:040x}"), b"\xda" * 20


def owed(*amounts: int, asset: bytes = USDC) -> list[Claim]:
    """Claims of accounts 1, 2, … to these amounts."""
    return [Claim(n.to_bytes(20, "big"), asset, amount) for n, amount in enumerate(amounts, 1)]


def claims() -> dict[str, Any]:
    """specs/vectors/claims.json"""
    return {
        "trees": [
            _tree("one", "the root of one leaf is the leaf", owed(1000)),
            _tree("two", "the lower hash is first", owed(1000, 1000**2)),
            _tree("three", "leaves at two depths", owed(1000, 1000**2, 1000**3)),
            _tree("five", "", owed(*(1000**n for n in range(1, 6)))),
            _tree("eight", "a full tree", owed(*(1000**n for n in range(1, 9)))),
            _tree("two-assets", "an account has a claim to each asset", [*owed(5, 7), *owed(5, 7, asset=DAI)]),
            _tree("largest", "the ends of the range", owed(1, MAX_AMOUNT)),
        ],
        "payouts": [
            _payout("all", "the fund covers what is owed", owed(3, 5, 7), {USDC: 15}),
            _payout("more", "nobody gets more than he is owed", owed(3, 5, 7), {USDC: 1000}),
            _payout("half", "shares that come out even", owed(2, 4, 6), {USDC: 6}),
            _payout("largest-remainder", "what is left goes to the largest remainder", owed(1, 2, 4), {USDC: 4}),
            _payout("lowest-account", "of equal remainders to the lowest account", owed(1, 1, 1), {USDC: 2}),
            _payout("too-small", "who gets nothing is left out", owed(1, 999), {USDC: 1}),
            _payout("no-fund", "an asset without a fund", owed(3, 5), {}),
            _payout("two-funds", "each asset by itself", [*owed(3, 5), *owed(3, 5, asset=DAI)], {USDC: 4, DAI: 8}),
            _payout("largest", "sums beyond 256 bits", owed(MAX_AMOUNT, MAX_AMOUNT, 1), {USDC: MAX_AMOUNT}),
        ],
    }


def _tree(name: str, why: str, found: list[Claim]) -> dict[str, Any]:
    tree = build_tree(found)
    rows = [{**_row(claim), "leaf": claim_leaf(claim), "proof": tree.proof(claim)} for claim in found]
    return case(name, why, claims=rows, root=tree.root)


def _payout(name: str, why: str, found: list[Claim], funds: dict[bytes, int]) -> dict[str, Any]:
    listed = [{"asset": asset, "amount": str(amount)} for asset, amount in funds.items()]
    return case(name, why, claims=_rows(found), funds=listed, paid=_rows(pro_rata(found, funds)))


def _rows(found: Iterable[Claim]) -> list[dict[str, Any]]:
    return [_row(claim) for claim in found]


def _row(claim: Claim) -> dict[str, Any]:
    return {"account": claim.account, "asset": claim.asset, "amount": str(claim.amount)}
