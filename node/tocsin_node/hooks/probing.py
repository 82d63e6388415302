"""What `tocsin doctor` asks about a lever on a chain: nothing is signed, nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import trio

from tocsin_node.chain.client import ChainClient
from tocsin_node.chain.errors import ChainError, RpcRefused, RpcUnavailable
from tocsin_node.chain.fees import first_fees
from tocsin_node.chain.preflight import read_revert
from tocsin_node.chain.rpc import Request, read_count, read_quantity
from tocsin_node.chain.sender import Sender

from .call import ContractCall
from .config import ContractHookConfig
from .hook import Answer, Check
from .reading import LATEST, ask_agreed, code_of, is_without_code
from .refusals import IN_EFFECT, explain, meaning_of
from .rights import probe_right
from .routes import Route

ACTIONS_FUNDED = 4
"""Actions at today's fee that the guardian's balance must pay for: one, and three that meet a rising fee."""
MAX_HEAD_LAG = 8
"""Blocks that an endpoint may be behind the most advanced one."""
_WEI = 10**18


async def probe_call(
    config: ContractHookConfig, call: ContractCall, sender: Sender, route: Route, payload: bytes, now_ms: int
) -> tuple[Check, ...]:
    """Look at the endpoints, the gas, the code, the call itself and its check."""
    client, guardian = sender.client, sender.guardian.address
    results = await ask_agreed(
        client,
        [
            ("eth_getBalance", (guardian, LATEST)),
            code_of(config.contract),
            code_of(route.to),
            ("eth_call", (route.simulated(guardian, payload), LATEST)),
            *call.questions(route.unwrap(payload)),
        ],
    )
    return (
        *probe_right(config, now_ms),
        await probe_endpoints(client),
        await _judge_gas(client, guardian, results[0]),
        _judge_code((config.contract, results[1]), (route.to, results[2])),
        _judge_call(config, call, results[3]),
        *(_judge_view(config, call, result) for result in results[4:]),
    )


async def probe_target(
    config: ContractHookConfig, call: ContractCall, client: ChainClient, calldata: bytes
) -> tuple[Check, ...]:
    """Look at the code and the check of a contract that others are to call."""
    results = await ask_agreed(client, [code_of(config.contract), *call.questions(calldata)])
    checks = (_judge_view(config, call, result) for result in results[1:])
    return (_judge_code((config.contract, results[0])), *checks)


async def probe_endpoints(client: ChainClient) -> Check:
    """Whether as many endpoints as are wanted serve this chain, keep up, and have the same block."""
    answers = await _ask_each(client, [("eth_chainId", ()), ("eth_blockNumber", ())])
    heads: dict[int, int] = {}
    for index, results in answers.items():
        chain, head = _read_head(results)
        if chain is not None and chain != client.config.chain_id:
            name = client.endpoints[index].name
            return Check("endpoints", Answer.NOT_OK, f"{name} serves eip155:{chain}, not {client.config.chain}")
        if head is not None:
            heads[index] = head
    count = f"{len(heads)} of {len(client.endpoints)} endpoints answer"
    if len(heads) < client.config.witnesses:
        return Check("endpoints", Answer.NOT_OK, f"{count}; {client.config.witnesses} are wanted")
    late = [client.endpoints[index].name for index, head in heads.items() if head + MAX_HEAD_LAG < max(heads.values())]
    if late:
        return Check(
            "endpoints", Answer.NOT_OK, f"{', '.join(late)}: more than {MAX_HEAD_LAG} blocks behind the others"
        )
    if len(await _read_block_hashes(client, min(heads.values()))) > 1:
        return Check("endpoints", Answer.NOT_OK, "the endpoints show different blocks: one is on another fork")
    if len(heads) < len(client.endpoints):
        silent = ", ".join(point.name for index, point in enumerate(client.endpoints) if index not in heads)
        return Check("endpoints", Answer.NOT_KNOWN, f"{count}, not {silent}")
    return Check("endpoints", Answer.OK, f"{count} and agree")


async def _ask_each(client: ChainClient, requests: Sequence[Request]) -> dict[int, list[Any | RpcRefused]]:
    """Return what each endpoint answers within its own time: by day nobody is in a hurry."""
    answers: dict[int, list[Any | RpcRefused]] = {}

    async def ask(index: int) -> None:
        with suppress(ChainError):
            answers[index] = await client.endpoints[index].batch(requests)

    async with trio.open_nursery() as nursery:
        for index in range(len(client.endpoints)):
            nursery.start_soon(ask, index)
    return answers


def _read_head(results: Sequence[Any]) -> tuple[int | None, int | None]:
    try:
        chain, head = results
        return read_quantity(chain), read_count(head)
    except RpcUnavailable:
        return None, None


async def _read_block_hashes(client: ChainClient, number: int) -> set[str]:
    answers = await _ask_each(client, [("eth_getBlockByNumber", (hex(number), False))])
    return {str(results[0].get("hash")) for results in answers.values() if isinstance(results[0], dict)}


async def probe_gas(client: ChainClient, account: str, what: str) -> Check:
    """Whether an account that sends nothing but `what` can pay for some of it."""
    (balance,) = await ask_agreed(client, [("eth_getBalance", (account, LATEST))])
    return await _judge_gas(client, account, balance, what)


async def _judge_gas(client: ChainClient, guardian: str, balance: Any, what: str = "actions") -> Check:
    try:
        wei = read_quantity(balance)
        base_fee_wei = await _read_base_fee(client)
    except RpcUnavailable:
        return Check("gas", Answer.NOT_KNOWN, f"what {guardian} has is not known, or the endpoints differ")
    config = client.config
    if base_fee_wei is None:
        return Check("gas", Answer.NOT_KNOWN, f"{guardian} has {_ether(wei)}; no endpoint says what gas costs")
    fees = first_fees(base_fee_wei, 0, min_tip_wei=config.min_priority_fee_wei, max_fee_wei=config.max_fee_wei)
    actions = wei // (fees.max_fee_wei * config.gas_limit)
    sentence = f"{guardian} has {_ether(wei)}, at today's fee {actions} {what}"
    if actions < ACTIONS_FUNDED:
        return Check("gas", Answer.NOT_OK, f"{sentence}; {ACTIONS_FUNDED} are wanted: send it ether")
    return Check("gas", Answer.OK, sentence)


async def _read_base_fee(client: ChainClient) -> int | None:
    """The highest of any endpoint: their heads may differ by a block."""
    fees = []
    for answer in await client.ask_all([("eth_getBlockByNumber", (LATEST, False))]):
        if isinstance(answer.results[0], dict):
            with suppress(RpcUnavailable):
                fees.append(read_quantity(answer.results[0].get("baseFeePerGas")))
    return max(fees, default=None)


def _ether(wei: int) -> str:
    return f"{wei // _WEI}.{wei % _WEI // 10**12:06d} ether"


def _judge_code(*codes: tuple[str, Any]) -> Check:
    for address, code in codes:
        if is_without_code(code):
            return Check("code", Answer.NOT_OK, f"there is no contract at {address}")
    if any(code is None or isinstance(code, RpcRefused) for _, code in codes):
        return Check("code", Answer.NOT_KNOWN, "no code was shown, or the endpoints differ")
    return Check("code", Answer.OK, f"there is a contract at {codes[0][0]}")


def _judge_call(config: ContractHookConfig, call: ContractCall, result: Any) -> Check:
    """Whether the simulation goes through: that is what holding the role means."""
    shown = f"{config.function} of {config.contract}"
    if result is None:
        return Check("call", Answer.NOT_KNOWN, f"{shown}: no simulation, or the endpoints differ")
    if not isinstance(result, RpcRefused):
        return Check("call", Answer.OK, f"{shown} would go through now")
    revert = read_revert(result)
    if revert is None:
        said = f"{shown} reverts without a reason: it may not have this function, or a guard of its own"
        return Check("call", Answer.NOT_KNOWN if call.uses_stand_ins else Answer.NOT_OK, said)
    meaning = meaning_of(revert)
    said = f"{shown} reverts with {explain(revert)}"
    # What is in effect cannot be tried again, and a made-up argument may be refused where a real one is not.
    is_telling = meaning != IN_EFFECT and not call.uses_stand_ins
    return Check("call", Answer.NOT_OK if is_telling else Answer.NOT_KNOWN, said)


def _judge_view(config: ContractHookConfig, call: ContractCall, result: Any) -> Check:
    is_in_effect = call.is_in_effect(result)
    if is_in_effect is not None:
        return Check("effect", Answer.OK, f"{config.check} answers: {'' if is_in_effect else 'not '}in effect")
    if result is None:
        return Check("effect", Answer.NOT_KNOWN, f"{config.check} is not answered, or the endpoints differ")
    return Check("effect", Answer.NOT_OK, f"{config.check} is not what the contract has: its effect cannot be read")
