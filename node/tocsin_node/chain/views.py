"""What a view of a contract returns, where enough endpoints agree."""

from __future__ import annotations

from .abi import Function, decode_result, encode_call
from .client import ChainClient
from .errors import AbiError, RpcRefused, RpcUnavailable
from .rpc import read_data


async def read_view(client: ChainClient, to: str, function: Function) -> tuple[object, ...] | None:
    """Return what a view without arguments returns now, or None unless enough endpoints answer and all agree."""
    call = {"to": to, "data": "0x" + encode_call(function).hex()}
    answers = await client.ask_all([("eth_call", (call, "latest"))])
    try:
        values = {
            decode_result(function, read_data(answer.results[0]))
            for answer in answers
            if not isinstance(answer.results[0], RpcRefused)
        }
    except (AbiError, RpcUnavailable):
        return None
    return values.pop() if len(values) == 1 and len(answers) >= client.config.witnesses else None
