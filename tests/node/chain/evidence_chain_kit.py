"""A drained lender on anvil, what can truly be claimed about it, and the same claims made false."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import trio
from chain_kit import Bench
from tocsin_node.chain.abi import encode_call, parse_function
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.evidence import EvidenceChecker
from tocsin_node.chain.rpc import read_data, read_quantity
from tocsin_node.demo.anvil import Mined
from tocsin_node.demo.scenario_chain import LENDER_DEPOSITS, UNIT, run_step
from tocsin_protocol.evidence.answers import SETTLED_DEPTH, Checked
from tocsin_protocol.evidence.predicates import (
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
from tocsin_protocol.signing import keccak256

PATIENCE_S = 60.0
_SUPPLY = encode_call(parse_function("totalSupply()"))


@dataclass(frozen=True)
class Drained:
    """The bench with the first bite SETTLED_DEPTH blocks ago, and more of the attack since."""

    bench: Bench
    mined: Mined
    claims: dict[str, Predicate]
    lies: dict[str, Predicate]

    @property
    def all(self) -> tuple[Predicate, ...]:
        return tuple(self.claims.values())


async def drain(bench: Bench) -> Drained:
    """Take the first bite and a second, so that the head tells another story, and let the first one's block settle."""
    scenario, anvil = bench.scenario, bench.anvil
    mined = await run_step(anvil, scenario, scenario.steps[0])
    later = [await run_step(anvil, scenario, step) for step in scenario.steps[1:3]]
    await anvil.mine(SETTLED_DEPTH - len(later))
    lender, thief = scenario.account(scenario.lender), scenario.account(scenario.thief)
    code = read_data(await anvil.call("eth_getCode", scenario.dex, hex(mined.block)))
    wei = [
        read_quantity(await anvil.call("eth_getBalance", scenario.thief, hex(number)))
        for number in (mined.block - 1, mined.block)
    ]
    held = PriceRead(Read(scenario.account(scenario.token), balance_of(scenario.lender), 0), 6)
    owed = PriceRead(Read(lender, _SUPPLY, 0), 6)
    left = LENDER_DEPOSITS - 8_900_000 * UNIT
    transaction = TxIncluded(anvil.chain, mined.block, mined.hash, scenario.asset, lender)
    log = LogEmitted(anvil.chain, mined.block, scenario.account(scenario.token), (TRANSFER_TOPIC, topic_of(lender)))
    call = CallResult(anvil.chain, mined.block, held.read, Comparison.AT_MOST, left)
    balance = BalanceDelta(anvil.chain, mined.block, lender, scenario.asset, mined.block - 1, LENDER_DEPOSITS, left)
    coin = BalanceDelta(anvil.chain, mined.block, thief, f"{anvil.chain}/slip44:60", mined.block - 1, *wei)
    deployed = CodeHash(anvil.chain, mined.block, scenario.account(scenario.dex), "0x" + keccak256(code).hex())
    price = PriceGap(anvil.chain, mined.block, owed, held, 400)
    return Drained(
        bench,
        mined,
        {
            "transaction": transaction,
            "log": log,
            "call": call,
            "balance": balance,
            "coin": coin,
            "code": deployed,
            "price": price,
        },
        {
            "transaction": replace(transaction, account=scenario.account(scenario.vault)),
            "no-such-transaction": replace(transaction, transaction="0x" + "77" * 32),
            "log": replace(log, topics=(TRANSFER_TOPIC, topic_of(scenario.account(scenario.vault)))),
            "call": replace(call, value=left - 1),
            "balance": replace(balance, after=left - 1),
            "coin": replace(coin, after=coin.after - 1),
            "code": replace(deployed, code_hash="0x" + "77" * 32),
            "price": replace(price, min_gap_bps=100_000),
        },
    )


def balance_of(address: str) -> bytes:
    return encode_call(parse_function("balanceOf(address)"), [address])


@asynccontextmanager
async def open_checker(bench: Bench, *urls: str) -> AsyncIterator[EvidenceChecker]:
    """A checker whose endpoints are these."""
    async with open_chain(bench.chain_config(*urls)) as client:
        yield EvidenceChecker({bench.anvil.chain: client})


async def check(
    bench: Bench, predicates: Sequence[Predicate], *urls: str, deadline_s: float = PATIENCE_S
) -> list[Checked]:
    async with open_checker(bench, *urls) as checker:
        with trio.fail_after(PATIENCE_S):
            return await checker.check_predicates(predicates, deadline_s=deadline_s)
