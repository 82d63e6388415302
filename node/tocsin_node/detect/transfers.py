"""ERC-20 Transfer logs of the watched accounts (EIP-20)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tocsin_node.chain.abi import TRANSFER_TOPIC
from tocsin_node.chain.rpc import read_data, read_quantity


@dataclass(frozen=True, slots=True)
class Transfer:
    """One movement; addresses and the transaction hash as 0x and lower-case hex."""

    token: str
    sender: str
    recipient: str
    amount: int
    block: int
    transaction: str


def transfer_filters(tokens: Sequence[str], accounts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the two filters that together catch every transfer from or to the accounts."""
    topics = ["0x" + account[2:].rjust(64, "0") for account in accounts]
    return [
        {"address": list(tokens), "topics": [TRANSFER_TOPIC, topics]},
        {"address": list(tokens), "topics": [TRANSFER_TOPIC, None, topics]},
    ]


def read_transfers(logs: Iterable[dict[str, Any]]) -> list[Transfer]:
    """Return the ERC-20 transfers among the logs; raises RpcUnavailable for logs that are malformed."""
    found: list[Transfer] = []
    for log in logs:
        topics = log.get("topics")
        if not isinstance(topics, list) or len(topics) != 3:
            continue  # ERC-721 has the same event with three indexed values
        found.append(
            Transfer(
                token="0x" + read_data(log.get("address"), 20).hex(),
                sender=_read_address(topics[1]),
                recipient=_read_address(topics[2]),
                amount=int.from_bytes(read_data(log.get("data"), 32)),
                block=read_quantity(log.get("blockNumber")),
                transaction="0x" + read_data(log.get("transactionHash"), 32).hex(),
            )
        )
    return found


def _read_address(topic: Any) -> str:
    return "0x" + read_data(topic, 32)[12:].hex()
