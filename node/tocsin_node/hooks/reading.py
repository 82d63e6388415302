"""What the chain says now, as far as enough of its endpoints say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tocsin_node.chain.abi import Argument, Function, decode_result, encode_call
from tocsin_node.chain.client import ChainClient
from tocsin_node.chain.errors import AbiError, RpcRefused, RpcUnavailable
from tocsin_node.chain.preflight import read_revert
from tocsin_node.chain.rpc import Request, read_data

LATEST = "latest"


async def ask_agreed(client: ChainClient, requests: Sequence[Request]) -> list[Any | RpcRefused | None]:
    """Return for each request what most endpoints in time say, as many as are wanted for a receipt; else None.

    So one that lies is outvoted by two, and of two that differ neither is believed.
    """
    answers = await client.ask_all(requests)
    return [
        _agree([answer.results[place] for answer in answers], client.config.witnesses) for place in range(len(requests))
    ]


def _agree(results: Sequence[Any | RpcRefused], witnesses: int) -> Any | RpcRefused | None:
    said = [_comparable(result) for result in results]
    for result, own in zip(results, said, strict=True):
        voices = said.count(own)
        if voices >= witnesses and 2 * voices > len(said):
            return result
    return None


def _comparable(result: Any) -> Any:
    # Endpoints word a refusal each in its own way; what it decodes to is the same.
    return ("refused", read_revert(result)) if isinstance(result, RpcRefused) else result


def call_of(to: str, function: Function, arguments: Sequence[Argument] = (), sender: str | None = None) -> Request:
    """Return the request of a view."""
    call = {"to": to, "data": "0x" + encode_call(function, arguments).hex()}
    return "eth_call", (call if sender is None else call | {"from": sender}, LATEST)


def code_of(address: str) -> Request:
    """Return the request of a contract's code."""
    return "eth_getCode", (address, LATEST)


def is_without_code(result: Any) -> bool:
    """Whether an answer says that there is no code; an answer that makes no sense says nothing."""
    try:
        return result is not None and not isinstance(result, RpcRefused) and not read_data(result)
    except RpcUnavailable:
        return False


def values_of(function: Function, result: Any) -> tuple[Any, ...] | None:
    """Return what a view returned, None where that is not known or is not what its signature says."""
    try:
        if result is None or isinstance(result, RpcRefused):
            return None
        return decode_result(function, read_data(result))
    except (AbiError, RpcUnavailable):
        return None
