"""The amounts of our manifest, as our own endpoints tell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tocsin_protocol.exposure.manifest import Amount

from tocsin_node.amounts import AmountKey, AmountReading, Balance

from .balances import find_reached_block, read_balance
from .client import ChainClient, open_chain
from .config import ChainConfig
from .errors import ChainError, RpcUnavailable


@dataclass(frozen=True, slots=True)
class ReadAmounts:
    """What was read, and of the rest why it was not, by the amount's name."""

    amounts: Mapping[AmountKey, Amount]
    faults: Mapping[str, str]


async def read_amounts(
    clients: Mapping[str, ChainClient], readings: Sequence[AmountReading], now_ms: int
) -> ReadAmounts:
    """Read every amount, one after the other: nothing waits for them. An amount is read whole or not at all."""
    blocks: dict[str, int] = {}
    amounts, faults = {}, {}
    for reading in readings:
        try:
            held = {item: await _read(clients, item, blocks) for item in reading.balances}
        except ChainError as exc:
            faults[reading.name] = str(exc)
        else:
            amounts[reading.key] = reading.worth(held, now_ms)
    return ReadAmounts(amounts, faults)


async def open_and_read(chains: Sequence[ChainConfig], readings: Sequence[AmountReading], now_ms: int) -> ReadAmounts:
    """The same, through clients of its own: for a command beside the node, or without one."""
    wanted = {item.chain for reading in readings for item in reading.balances}
    async with AsyncExitStack() as stack:
        clients = {
            config.chain: await stack.enter_async_context(open_chain(config))
            for config in chains
            if config.chain in wanted
        }
        return await read_amounts(clients, readings, now_ms)


async def _read(clients: Mapping[str, ChainClient], item: Balance, blocks: dict[str, int]) -> int:
    client = clients.get(item.chain)
    if client is None:
        raise RpcUnavailable(f"the node's configuration has no chain {item.chain}")
    # One block for all of a chain: what moves between two of our accounts is counted once.
    if item.chain not in blocks:
        blocks[item.chain] = await find_reached_block(client)
    return await read_balance(client, item.account, item.asset, blocks[item.chain])
