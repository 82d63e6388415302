"""Claims of every kind, and what hypothesis draws predicates from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from tocsin_protocol.evidence.answers import SETTLED_DEPTH, Answer, Checked, WitnessAnswer, combine
from tocsin_protocol.evidence.predicates import (
    MAX_CALLDATA_BYTES,
    MAX_DECIMALS,
    MAX_GAP_BPS,
    MAX_SPAN_BLOCKS,
    MAX_WORD,
    TRANSFER_TOPIC,
    BalanceDelta,
    CallResult,
    CodeHash,
    Comparison,
    LogEmitted,
    Predicate,
    PriceGap,
    PriceRead,
    Read,
    TxIncluded,
    topic_of,
)
from tocsin_protocol.evidence.weighing import Exhibit
from tocsin_protocol.model import Evidence
from tocsin_protocol.taxonomy import EvidenceKind

CHAIN = "eip155:1"
BLOCK = 16_817_996
TX = "0x" + "c3" * 32
HASH = "0x" + "8d" * 32


def address(digit: str) -> str:
    return "0x" + digit * 40


def account(digit: str) -> str:
    return f"{CHAIN}:{address(digit)}"


VICTIM, TOKEN, ORACLE, FEED = account("a"), account("c"), account("e"), account("f")
ASSET = f"{CHAIN}/erc20:{address('c')}"
COIN = f"{CHAIN}/slip44:60"
SELECTOR = "0x50d25bcd"

PREDICATES: dict[str, Predicate] = {
    "transaction": TxIncluded(CHAIN, BLOCK, TX, ASSET, VICTIM),
    "log": LogEmitted(CHAIN, BLOCK, TOKEN, (TRANSFER_TOPIC, topic_of(VICTIM))),
    "call": CallResult(CHAIN, BLOCK, Read(TOKEN, bytes.fromhex("18160ddd"), 0), Comparison.AT_LEAST, 10**24),
    "balance": BalanceDelta(CHAIN, BLOCK, VICTIM, ASSET, BLOCK - 300, 200 * 10**12, 3 * 10**12),
    "code": CodeHash(CHAIN, BLOCK, VICTIM, HASH),
    "price": PriceGap(
        CHAIN,
        BLOCK,
        PriceRead(Read(ORACLE, bytes.fromhex(SELECTOR[2:]), 0), 8),
        PriceRead(Read(FEED, bytes.fromhex("feaf968c"), 1), 18),
        500,
    ),
}

CLAIMS: dict[str, tuple[str, str]] = {
    "transaction": (TX, f"{ASSET} {VICTIM}"),
    "log": (f"{address('c')} {TRANSFER_TOPIC}", topic_of(VICTIM)),
    "call": (f"{address('c')} 0x18160ddd", "0 ge 1000000000000000000000000"),
    "balance": (address("a"), f"{ASSET} {BLOCK - 300} 200000000000000 3000000000000"),
    "code": (address("a"), HASH),
    "price": (f"{address('e')} {SELECTOR} 0 8", f"{address('f')} 0xfeaf968c 1 18 500"),
}


def claim(kind: str, reference: str | None = None, detail: str | None = None, **changes: Any) -> Evidence:
    """The claim of a kind, with changes."""
    given = CLAIMS[kind]
    return Evidence(
        EvidenceKind(kind),
        changes.get("chain", CHAIN),
        changes.get("block", BLOCK),
        given[0] if reference is None else reference,
        given[1] if detail is None else detail,
    )


def said(answer: Answer, block: int = 1, depth: int = SETTLED_DEPTH) -> WitnessAnswer:
    """What one endpoint says, about the block with this number for a hash."""
    return WitnessAnswer("rpc.example", answer, bytes([block]) * 32, depth)


def checked(kind: str, *answers: Answer) -> Checked:
    return combine(PREDICATES[kind], [said(answer) for answer in answers])


def exhibit(signal: int, member: str, *answers: Answer) -> Exhibit:
    """A signal whose claims, about blocks of their own, two endpoints answer so."""
    found = [
        replace(checked("code", answer, answer), predicate=replace(PREDICATES["code"], block=at))
        for at, answer in enumerate(answers)
    ]
    return Exhibit(bytes([signal]) * 32, member, tuple(found))


amounts = st.integers(0, 2**256 - 1)
blocks = st.integers(1, 2**52)
accounts = st.binary(min_size=20, max_size=20).map(lambda raw: f"{CHAIN}:0x{raw.hex()}")
tokens = st.binary(min_size=20, max_size=20).map(lambda raw: f"{CHAIN}/erc20:0x{raw.hex()}")
hashes = st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())
reads = st.builds(Read, accounts, st.binary(min_size=4, max_size=MAX_CALLDATA_BYTES), st.integers(0, MAX_WORD))
prices = st.builds(PriceRead, reads, st.integers(0, MAX_DECIMALS))
_chains = st.just(CHAIN)


@st.composite
def balances(draw: st.DrawFn) -> BalanceDelta:
    block = draw(blocks)
    since = draw(st.integers(max(0, block - MAX_SPAN_BLOCKS), block - 1))
    before, after = draw(st.lists(amounts, min_size=2, max_size=2, unique=True))
    return BalanceDelta(CHAIN, block, draw(accounts), draw(st.one_of(tokens, st.just(COIN))), since, before, after)


@st.composite
def logs(draw: st.DrawFn) -> LogEmitted:
    others = draw(st.lists(st.one_of(st.none(), hashes), max_size=3))
    while others and others[-1] is None:
        others.pop()
    return LogEmitted(CHAIN, draw(blocks), draw(accounts), (draw(hashes), *others))


predicates: st.SearchStrategy[Predicate] = st.one_of(
    st.builds(TxIncluded, _chains, blocks, hashes, st.one_of(st.just(""), tokens), st.one_of(st.just(""), accounts)),
    logs(),
    st.builds(CallResult, _chains, blocks, reads, st.sampled_from(Comparison), amounts),
    balances(),
    st.builds(CodeHash, _chains, blocks, accounts, hashes),
    st.builds(PriceGap, _chains, blocks, prices, prices, st.integers(1, MAX_GAP_BPS)).filter(
        lambda gap: gap.oracle.read != gap.reference.read
    ),
)
