"""A lender, a pool that holds its receipt tokens, and a vault on the pool: fixed manifests to vary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol_kit import NOW_MS
from tocsin_protocol.exposure.manifest import (
    Amount,
    AmountSource,
    Dependency,
    Holding,
    HoldingKind,
    Link,
    Manifest,
    PriceBounds,
    SubjectId,
    Token,
    TokenKind,
)
from tocsin_protocol.taxonomy import SubjectKind

USD = 1_000_000
READ_MS = NOW_MS - 60_000


def address(number: int) -> str:
    return f"0x{number:040x}"


def account(number: int) -> SubjectId:
    return SubjectId(SubjectKind.ACCOUNT, f"eip155:1:{address(number)}")


def token(number: int) -> SubjectId:
    return SubjectId(SubjectKind.ASSET, f"eip155:1/erc20:{address(number)}")


def lineage(name: str) -> SubjectId:
    return SubjectId(SubjectKind.LINEAGE, name)


def compiler(name: str) -> SubjectId:
    return SubjectId(SubjectKind.DEPENDENCY, name)


CHAIN = SubjectId(SubjectKind.CHAIN, "eip155:1")
VYPER = compiler("vyper 0.2.15")
FAMILY = lineage("compound-v2")
LENDER_MARKET, POOL_VAULT, OUR_VAULT = account(0xE1), account(0xB1), account(0xC1)
E_TOKEN, POOL_TOKEN, FEED, KEY = token(0xE2), token(0xB2), account(0xFEED), account(0xAD)


def usd(amount: float, read_ms: int = READ_MS) -> Amount:
    return Amount(round(amount * USD), read_ms, AmountSource.CHAIN)


def holding(
    name: str, *subjects: SubjectId, amount: Amount | None = None, kind: HoldingKind = HoldingKind.MARKET
) -> Holding:
    return Holding(name, kind, tuple(sorted(subjects)), amount)


def hangs_on(
    subject: SubjectId, link: Link, share: float = 1.0, *, on: str = "", provider: str = "", **changes: Any
) -> Dependency:
    bounds = PriceBounds(900_000, 1_100_000, 3_600_000) if link is Link.ORACLE else None
    base = Dependency(on, link, subject, provider, round(share * 1_000_000), None, bounds)
    return replace(base, **changes)


def manifest(protocol: str, *parts: Holding | Token | Dependency) -> Manifest:
    """A manifest whose lists are in their one order."""
    return Manifest(
        protocol,
        tuple(sorted((p for p in parts if isinstance(p, Holding)), key=lambda h: h.name)),
        tuple(sorted((p for p in parts if isinstance(p, Token)), key=lambda t: t.asset)),
        tuple(
            sorted((p for p in parts if isinstance(p, Dependency)), key=lambda d: (d.holding, str(d.link), d.subject))
        ),
    )


LENDER = manifest(
    "lender",
    holding("usdc", LENDER_MARKET, amount=usd(150_000_000)),
    holding("weth", account(0xE3), amount=usd(50_000_000)),
    Token(E_TOKEN.value, TokenKind.RECEIPT, "usdc"),
    hangs_on(FAMILY, Link.SIMILAR_CODE),
)
POOL = manifest(
    "pool",
    holding("boosted", POOL_VAULT, amount=usd(23_000_000), kind=HoldingKind.POOL),
    Token(POOL_TOKEN.value, TokenKind.LP, ""),
    hangs_on(E_TOKEN, Link.DEPOSIT, 0.513507, on="boosted", provider="lender"),
    hangs_on(VYPER, Link.COMPILER),
)
OURS = manifest(
    "ours",
    holding("stable-market", OUR_VAULT, amount=usd(10_000_000)),
    holding("eth-market", account(0xC2), amount=usd(30_000_000)),
    hangs_on(POOL_TOKEN, Link.COLLATERAL, 1.0, on="stable-market", provider="pool", amount=usd(4_000_000)),
    hangs_on(FEED, Link.ORACLE, 0.25, on="eth-market"),
    hangs_on(KEY, Link.ADMIN_KEY),
    hangs_on(FAMILY, Link.SIMILAR_CODE, 0.8, on="eth-market"),
)
