"""What goes wrong between a node and its chain: every fault with a name and a sentence, and what an endpoint then says.

Faults of an endpoint are played by `rpc_proxy`; those of the chain itself by whoever holds the chain.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """What an endpoint, or the chain itself, does."""

    DOWN = "down"
    SLOW = "slow"
    HANG = "hang"
    STATUS_500 = "status-500"
    GARBAGE = "garbage"
    TRUNCATED = "truncated"
    WRONG_ID = "wrong-id"
    ACCEPT_AND_DROP = "accept-and-drop"
    INVENTED_RECEIPT = "invented-receipt"
    INVENTED_REVERT = "invented-revert"
    WRONG_NONCE = "wrong-nonce"
    WRONG_FEE = "wrong-fee"
    WRONG_CHAIN = "wrong-chain"
    OTHER_FORK = "other-fork"
    REORG = "reorg"
    FEE_SPIKE = "fee-spike"
    NONCE_CONTENTION = "nonce-contention"


FAULTS: Mapping[Fault, str] = {
    Fault.DOWN: "It closes every connection without an answer.",
    Fault.SLOW: "It answers everything correctly, a third of a second late.",
    Fault.HANG: "It takes every request and never answers.",
    Fault.STATUS_500: "It answers everything with HTTP status 500 and a page for people.",
    Fault.GARBAGE: "It answers with bytes that are no JSON.",
    Fault.TRUNCATED: "It closes the connection in the middle of every answer.",
    Fault.WRONG_ID: "Its answers belong to other requests.",
    Fault.ACCEPT_AND_DROP: "It accepts transactions and keeps them to itself.",
    Fault.INVENTED_RECEIPT: "It keeps transactions to itself and swears that they are in a block.",
    Fault.INVENTED_REVERT: "It says that every call reverts because the contract is paused already.",
    Fault.WRONG_NONCE: "It says that the guardian has sent 99 transactions.",
    Fault.WRONG_FEE: "It asks for fees that the guardian could never pay.",
    Fault.WRONG_CHAIN: "It serves another chain.",
    Fault.OTHER_FORK: "It follows another fork of the same chain, in which our contracts were never deployed.",
    Fault.REORG: "The block that holds the transaction is replaced by one without it.",
    Fault.FEE_SPIKE: "The base fee rises above the offer while the transaction waits.",
    Fault.NONCE_CONTENTION: "Another transaction of the same key is mined with the nonce that was signed.",
}
"""A sentence for each fault, as the table of the fault matrix prints it."""

CHAIN_FAULTS = frozenset({Fault.REORG, Fault.FEE_SPIKE, Fault.NONCE_CONTENTION})
"""Faults of the chain itself: no endpoint plays them."""
SLOW_SECONDS = 0.33

_INVENTED_BLOCK = "0x" + "77" * 32
_ENFORCED_PAUSE = {"code": 3, "message": "execution reverted", "data": "0xd93c0665"}
_TOO_MUCH_WEI = hex(10**30)
_KEEPING = (Fault.ACCEPT_AND_DROP, Fault.INVENTED_RECEIPT)


def is_kept(fault: Fault | None, method: str) -> bool:
    """Whether a request is answered without being passed on."""
    return fault in _KEEPING and method == "eth_sendRawTransaction"


def keep() -> dict[str, Any]:
    """The answer to a transaction that is kept: a hash, as if it had been accepted."""
    return {"result": "0x" + secrets.token_hex(32)}


def distort(fault: Fault, method: str, params: list[Any], reply: dict[str, Any]) -> dict[str, Any]:
    """Return what an endpoint with this fault makes of a true reply, a JSON-RPC object without its id."""
    lies: dict[tuple[Fault, str], dict[str, Any]] = {
        (Fault.INVENTED_RECEIPT, "eth_getTransactionReceipt"): {"result": _invent_receipt(params)},
        (Fault.INVENTED_REVERT, "eth_call"): {"error": _ENFORCED_PAUSE},
        (Fault.INVENTED_REVERT, "eth_simulateV1"): {"result": [{"calls": [_reverted()]}]},
        (Fault.WRONG_NONCE, "eth_getTransactionCount"): {"result": hex(99)},
        (Fault.WRONG_FEE, "eth_maxPriorityFeePerGas"): {"result": _TOO_MUCH_WEI},
        (Fault.WRONG_CHAIN, "eth_chainId"): {"result": "0x1"},
    }
    if (fault, method) in lies:
        return lies[fault, method]
    if fault is Fault.WRONG_FEE and method == "eth_getBlockByNumber" and isinstance(reply.get("result"), dict):
        return {"result": reply["result"] | {"baseFeePerGas": _TOO_MUCH_WEI}}
    return reply


def _reverted() -> dict[str, Any]:
    return {"status": "0x0", "returnData": _ENFORCED_PAUSE["data"], "gasUsed": "0x5208", "error": _ENFORCED_PAUSE}


def _invent_receipt(params: list[Any]) -> dict[str, Any]:
    asked = params[0] if params else None
    return {"transactionHash": asked, "blockHash": _INVENTED_BLOCK, "blockNumber": "0x1", "status": "0x1"}
