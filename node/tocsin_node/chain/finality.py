"""Whether a block that holds our transaction stays: a light watch until it is final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

import trio

from .client import ChainClient
from .errors import RpcRefused, RpcUnavailable
from .rpc import Request, read_count, read_data

MAX_WATCH_S = 3_600.0
"""Four times what Ethereum takes when all is well; a chain that takes longer has other troubles."""
DEPTH_WITHOUT_TAG = 64
"""Blocks after which a transaction counts as final on an endpoint that knows no `finalized`: two epochs."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """Whether one endpoint still shows the transaction in its block, and up to which block it calls it final."""

    shows: bool
    final_number: int


async def wait_final(client: ChainClient, transaction: bytes, block_number: int, block_hash: bytes) -> bool | None:
    """Return True when the block is final and False when it was replaced; None after MAX_WATCH_S without either."""
    requests: list[Request] = [
        ("eth_blockNumber", ()),
        ("eth_getBlockByNumber", ("finalized", False)),
        ("eth_getTransactionReceipt", ("0x" + transaction.hex(),)),
    ]
    with trio.move_on_after(MAX_WATCH_S):
        while True:
            answers = await client.ask_all(requests)
            sights = [sight for answer in answers if (sight := _read_sight(answer.results, block_hash)) is not None]
            stays = judge_sights(sights, block_number, client.config.witnesses)
            if stays is not None:
                return stays
            await trio.sleep(client.config.watch_ms / 1_000)
    return None


def _read_sight(results: Sequence[Any], block_hash: bytes) -> _Sight | None:
    head, final, receipt = results
    if isinstance(head, RpcRefused) or isinstance(receipt, RpcRefused):
        return None
    try:
        shows = isinstance(receipt, dict) and read_data(receipt.get("blockHash"), 32) == block_hash
        if isinstance(final, dict):
            return _Sight(shows, read_count(final.get("number")))
        return _Sight(shows, read_count(head) - DEPTH_WITHOUT_TAG)
    except RpcUnavailable:
        return None


def judge_sights(sights: Sequence[_Sight], block_number: int, witnesses: int) -> bool | None:
    """Say whether the block is final (True), replaced (False) or neither yet."""
    # [SEND] Until its block is final a transaction stays watched; when the block is replaced, the same bytes are sent.
    shown = [sight for sight in sights if sight.shows]
    missed = len(sights) - len(shown)
    if missed >= witnesses and missed > len(shown):
        return False
    if len(shown) >= witnesses and median_low(sight.final_number for sight in shown) >= block_number:
        return True
    return None
