"""What the chain says now, as far as enough of its endpoints say the same."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tocsin_node.chain.abi import Argument, Function, decode_result, encode_call
from tocsin_node.chain.client import ChainClient
from tocsin_node.chain.errors import AbiError, RpcRefused, RpcUnavailable
from tocsin_node.chain.preflight import read_revert
from tocsin_node.chain.rpc import Request, read_count, read_data, read_quantity

LATEST = "latest"
_CHAIN_ID: Request = ("eth_chainId", ())


async def ask_agreed(client: ChainClient, requests: Sequence[Request]) -> list[Any | RpcRefused | None]:
    """Return for each request what most endpoints in time say, as many as are wanted for a receipt; else None.

    So one that lies is outvoted by two, and of two that differ neither is believed.
    """
    said = await _ask_our_chain(client, requests)
    return [_agree([results[place] for results in said], client.config.witnesses) for place in range(len(requests))]


async def ask_deep_block(client: ChainClient) -> int | None:
    """Return the last block that is `confirmations` deep on as many endpoints as are wanted for a receipt."""
    heads: list[int] = []
    for (head,) in await _ask_our_chain(client, [("eth_blockNumber", ())]):
        with suppress(RpcUnavailable):
            heads.append(read_count(head))
    if len(heads) < client.config.witnesses:
        return None
    # So many have reached it: one alone can neither raise it nor, beside two honest ones, hold it down.
    reached = sorted(heads)[-client.config.witnesses]
    return max(0, reached - client.config.confirmations + 1)


async def _ask_our_chain(client: ChainClient, requests: Sequence[Request]) -> list[list[Any | RpcRefused]]:
    """Return what each endpoint in time says that serves the configured chain."""
    answers = await client.ask_all([_CHAIN_ID, *requests])
    # [HOOK] An endpoint that serves another chain has no say in whether an effect is there.
    return [answer.results[1:] for answer in answers if _is_chain(answer.results[0], client.config.chain_id)]


def _is_chain(result: Any, chain_id: int) -> bool:
    try:
        return read_quantity(result) == chain_id
    except RpcUnavailable:
        return False


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
