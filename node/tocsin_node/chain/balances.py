"""What an account holds, when as many endpoints as make a witness say the same."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from tocsin_protocol.ids import address_of

from .abi import encode_call, parse_function
from .client import ChainClient
from .errors import RpcUnavailable
from .rpc import Request, read_count, read_data, read_quantity

_BALANCE_OF = parse_function("balanceOf(address)(uint256)")


async def find_reached_block(client: ChainClient) -> int:
    """The newest block that as many endpoints as make a witness have reached; raises RpcUnavailable."""
    heads = []
    for answer in await client.ask_all([("eth_blockNumber", ())]):
        with suppress(RpcUnavailable):  # a refusal and what is no number are no votes
            heads.append(read_count(answer.results[0]))
    wanted = client.config.witnesses
    if len(heads) < wanted:
        raise RpcUnavailable(f"{len(heads)} of {wanted} endpoints tell their newest block")
    return sorted(heads, reverse=True)[wanted - 1]


async def read_balance(client: ChainClient, account: str, asset: str, block: int) -> int:
    """What `account` holds of `asset` (an ERC-20 or the chain's own) at a block, in its smallest unit.

    Raises RpcUnavailable where not enough endpoints say the same.
    """
    request, size = _request(address_of(account), asset, block)
    votes: Counter[int] = Counter()
    for answer in await client.ask_all([request]):
        with suppress(RpcUnavailable):  # a refusal and what is no balance are no votes
            result = answer.results[0]
            votes[int.from_bytes(read_data(result, size)) if size else read_quantity(result)] += 1
    agreed = [value for value, count in votes.items() if count >= client.config.witnesses]
    if len(agreed) != 1:
        raise RpcUnavailable(f"the endpoints do not agree on the balance of {account} in {asset}")
    return agreed[0]


def _request(holder: str, asset: str, block: int) -> tuple[Request, int]:
    """What to ask, and the size of the answer where it is data and no quantity."""
    if "/erc20:" not in asset:
        return ("eth_getBalance", (holder, hex(block))), 0
    call = {"to": address_of(asset), "data": "0x" + encode_call(_BALANCE_OF, [holder]).hex()}
    return ("eth_call", (call, hex(block))), 32
