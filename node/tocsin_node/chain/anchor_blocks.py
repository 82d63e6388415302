"""Where the endpoints of a chain show the log's anchors: each endpoint is heard, and none is believed alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import trio

from .errors import ChainError, RpcRefused, RpcUnavailable
from .rpc import MAX_BATCH, Request, RpcEndpoint, read_count, read_data, read_quantity

TIMEOUT_MS = 30_000
"""For one batch: nobody waits for it but a person."""
_PER_ANCHOR = 2


@dataclass(frozen=True, slots=True)
class AnchorBlock:
    """A transaction, and the block that is said to hold it."""

    chain: str
    hash: bytes
    block_number: int
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class Sight:
    """What one endpoint says about one anchor: the time of its block (seconds since 1970), or what is wrong."""

    endpoint: str
    time_s: int
    fault: str


@dataclass(frozen=True, slots=True)
class Heard:
    """For each block a sight of every endpoint of its chain; what endpoints count; and which could not be asked, why.

    `counts`: endpoint, chain and account, and how many transactions the chain has of it.
    """

    sights: list[list[Sight]]
    counts: list[tuple[str, tuple[str, str], int]]
    faults: list[str]


async def read_anchor_blocks(
    urls: Sequence[str], blocks: Sequence[AnchorBlock], accounts: Collection[tuple[str, str]]
) -> Heard:
    """Ask every endpoint about the blocks and accounts (chain, address) of the chain that it says it is of."""
    found: list[list[Sight]] = [[] for _ in blocks]
    counts: list[tuple[str, tuple[str, str], int]] = []
    faults: list[str] = []

    async def ask(url: str) -> None:
        endpoint = RpcEndpoint(url, timeout_ms=TIMEOUT_MS)
        try:
            chain = f"eip155:{read_count(await endpoint.call('eth_chainId'))}"
            wanted = [(place, block) for place, block in enumerate(blocks) if block.chain == chain]
            for place, sight in await _ask_one(endpoint, wanted):
                found[place].append(sight)
            for account in (one for one in accounts if one[0] == chain):
                counted = await endpoint.call("eth_getTransactionCount", account[1], "latest")
                counts.append((endpoint.name, account, read_count(counted)))
        except ChainError as exc:
            faults.append(f"endpoint {endpoint.name}: {exc}")
        finally:
            with trio.CancelScope(shield=True):
                await endpoint.aclose()

    async with trio.open_nursery() as nursery:
        for url in urls:
            nursery.start_soon(ask, url)
    return Heard(found, sorted(counts), sorted(faults))


async def _ask_one(endpoint: RpcEndpoint, wanted: Sequence[tuple[int, AnchorBlock]]) -> list[tuple[int, Sight]]:
    sights = []
    for some in _chunks(wanted):
        requests: list[Request] = []
        for _, block in some:
            requests.append(("eth_getTransactionReceipt", ("0x" + block.hash.hex(),)))
            requests.append(("eth_getBlockByHash", ("0x" + block.block_hash.hex(), False)))
        results = await endpoint.batch(requests)
        for n, (place, block) in enumerate(some):
            receipt, header = results[_PER_ANCHOR * n : _PER_ANCHOR * (n + 1)]
            sights.append((place, _judge(endpoint.name, block, receipt, header)))
    return sights


def _chunks(wanted: Sequence[tuple[int, AnchorBlock]]) -> Iterator[Sequence[tuple[int, AnchorBlock]]]:
    size = MAX_BATCH // _PER_ANCHOR
    for start in range(0, len(wanted), size):
        yield wanted[start : start + size]


def _judge(endpoint: str, block: AnchorBlock, receipt: Any, header: Any) -> Sight:
    # [LOG] An anchor holds where each of two endpoints or more shows its transaction, done, in the block that is told.
    fault = ""
    try:
        if isinstance(receipt, RpcRefused):
            fault = f"refuses to tell of it: {receipt}"
        elif not isinstance(receipt, dict) or read_data(receipt.get("transactionHash"), 32) != block.hash:
            fault = f"does not know transaction 0x{block.hash.hex()}"
        elif (shown := read_data(receipt.get("blockHash"), 32)) != block.block_hash:
            other = f"block {read_count(receipt.get('blockNumber'))} (0x{shown.hex()})"
            fault = f"shows it in {other}, and not in {block.block_number} (0x{block.block_hash.hex()})"
        elif read_count(receipt.get("blockNumber")) != block.block_number or read_quantity(receipt.get("status")) != 1:
            fault = f"does not show it done in block {block.block_number}"
        elif not isinstance(header, dict):
            fault = f"does not know block 0x{block.block_hash.hex()}"
        else:
            return Sight(endpoint, read_count(header.get("timestamp")), "")
    except RpcUnavailable as exc:
        fault = f"says what makes no sense: {exc}"
    return Sight(endpoint, 0, fault)
