"""What to ask an endpoint about a claim, and what its answers say. All reads of a claim are pinned to one block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tocsin_protocol.evidence.answers import Doubt
from tocsin_protocol.evidence.predicates import (
    BalanceDelta,
    CallResult,
    CodeHash,
    Execution,
    Log,
    LogEmitted,
    Predicate,
    PriceGap,
    Read,
    TxIncluded,
)
from tocsin_protocol.ids import address_of

from .abi import encode_call, parse_function
from .errors import ChainError, RpcRefused, RpcUnavailable
from .rpc import Request, read_count, read_data, read_quantity

CALL_GAS = 5_000_000
"""Of each view call. It bounds the time a node spends on it, and the answer: memory for 2 MiB would cost more."""

_BALANCE_OF = parse_function("balanceOf(address)(uint256)")
_WORD_BYTES = 32


class Unclear(ChainError):
    """An endpoint's answer that is neither yes nor no."""

    def __init__(self, doubt: Doubt, note: str) -> None:
        super().__init__(note)
        self.doubt = doubt


@dataclass(frozen=True, slots=True)
class Block:
    """A block as one endpoint shows it."""

    number: int
    hash: bytes
    transactions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sight:
    """Where one endpoint stands: its head, and the claims' blocks or why there is none."""

    head: int
    blocks: Mapping[int, Block | Unclear]

    def block(self, number: int) -> Block:
        """The block; raises Unclear."""
        block = self.blocks[number]
        if isinstance(block, Unclear):
            raise block
        return block


def blocks_of(predicate: Predicate) -> tuple[int, ...]:
    """The blocks whose hashes a predicate needs."""
    if isinstance(predicate, BalanceDelta):
        return predicate.block, predicate.since_block
    return (predicate.block,)


def sight_requests(numbers: Iterable[int]) -> list[Request]:
    """What is asked first of an endpoint."""
    blocks: list[Request] = [("eth_getBlockByNumber", (hex(number), False)) for number in numbers]
    return [("eth_chainId", ()), ("eth_blockNumber", ()), *blocks]


def read_sight(results: Sequence[Any], numbers: Sequence[int], chain_id: int) -> Sight:
    """Read the answers to `sight_requests`; raises Unclear when the endpoint is of no use at all."""
    chain, head, *blocks = results
    try:
        found = read_quantity(_unwrap(chain))
        if found != chain_id:
            raise Unclear(Doubt.WRONG_CHAIN, f"of chain eip155:{found}, not eip155:{chain_id}")
        height = read_count(_unwrap(head))
    except RpcUnavailable as exc:
        raise Unclear(Doubt.MALFORMED, str(exc)) from exc
    return Sight(height, {number: _read_block(block, number) for number, block in zip(numbers, blocks, strict=True)})


def _read_block(result: Any, number: int) -> Block | Unclear:
    try:
        value = _unwrap(result)
        if value is None:
            return Unclear(Doubt.NOT_REACHED, f"has no block {number}")
        if read_count(_field(value, "number")) != number:
            return Unclear(Doubt.MALFORMED, f"another block than {number}")
        block_hash = read_data(_field(value, "hash"), 32)
        hashes = _list(_field(value, "transactions"))
        return Block(number, block_hash, frozenset(_hex(item, 32) for item in hashes))
    except Unclear as exc:
        return exc
    except RpcUnavailable as exc:
        return Unclear(Doubt.MALFORMED, str(exc))


def requests_of(predicate: Predicate, sight: Sight) -> list[Request]:
    """What is asked about one predicate; raises Unclear when the endpoint lacks a block of it."""
    # EIP-1898; from the block's hash on, a reorg can make an endpoint refuse but not mix two chains.
    pins = [_pin(sight.block(number)) for number in blocks_of(predicate)]
    match predicate:
        case TxIncluded():
            return [("eth_getTransactionReceipt", (predicate.transaction,))]
        case LogEmitted():
            query = {
                "blockHash": pins[0]["blockHash"],  # EIP-234
                "address": address_of(predicate.account),
                "topics": list(predicate.topics),
            }
            return [("eth_getLogs", (query,))]
        case CallResult():
            return [_view(predicate.read, pins[0])]
        case BalanceDelta():
            return [_balance(predicate, pin) for pin in pins]
        case CodeHash():
            return [("eth_getCode", (address_of(predicate.account), pins[0]))]
        case PriceGap():
            return [_view(price.read, pins[0]) for price in (predicate.oracle, predicate.reference)]


def judge_results(predicate: Predicate, sight: Sight, results: Sequence[Any]) -> bool:
    """Whether the predicate holds by the answers to `requests_of`; raises Unclear."""
    try:
        holds = _judge(predicate, sight.block(predicate.block), [_unwrap(result) for result in results])
    except RpcUnavailable as exc:
        raise Unclear(Doubt.MALFORMED, str(exc)) from exc
    if holds is None:
        raise Unclear(Doubt.NO_VALUE, "the call gives no such value")
    return holds


def _judge(predicate: Predicate, block: Block, results: Sequence[Any]) -> bool | None:
    match predicate:
        case TxIncluded():
            return predicate.holds(_read_execution(predicate.transaction, block, results[0]))
        case LogEmitted():
            return predicate.holds(tuple(_read_log(item, block) for item in _list(results[0])))
        case CallResult():
            return predicate.holds(read_data(results[0]))
        case BalanceDelta():
            held, since = (_read_balance(predicate, result) for result in results)
            return None if held is None or since is None else predicate.holds(since, held)
        case CodeHash():
            return predicate.holds(read_data(results[0]))
        case PriceGap():
            return predicate.holds(read_data(results[0]), read_data(results[1]))


def _read_execution(transaction: str, block: Block, receipt: Any) -> Execution | None:
    """What the transaction did in the block; None when the block does not hold it. Raises Unclear."""
    is_listed = transaction in block.transactions
    if receipt is None:
        if is_listed:
            raise Unclear(Doubt.NO_VALUE, "has the transaction and no receipt of it")
        return None
    if _hex(_field(receipt, "transactionHash"), 32) != transaction:
        raise Unclear(Doubt.MALFORMED, "the receipt of another transaction")
    if read_data(_field(receipt, "blockHash"), 32) != block.hash:
        # An honest claim looks like this after a reorg: the transaction is there, in another block.
        raise Unclear(Doubt.MOVED, f"has the transaction in another block than {block.number}")
    if not is_listed:
        raise Unclear(Doubt.MALFORMED, "a receipt of a transaction that its block does not list")
    parties = (receipt.get(name) for name in ("from", "to", "contractAddress"))
    return Execution(
        is_success=read_quantity(_field(receipt, "status")) == 1,
        parties=frozenset(_hex(party, 20) for party in parties if party is not None),
        logs=tuple(_read_log(item, block) for item in _list(_field(receipt, "logs"))),
    )


def _read_log(value: Any, block: Block) -> Log:
    """Read one log; raises Unclear for one of another block, or one that a reorg took back."""
    if read_data(_field(value, "blockHash"), 32) != block.hash or value.get("removed") is True:
        raise Unclear(Doubt.MALFORMED, "a log of another block than the one asked for")
    topics = tuple(_hex(item, 32) for item in _list(_field(value, "topics")))
    return Log(_hex(_field(value, "address"), 20), topics)


def _read_balance(predicate: BalanceDelta, result: Any) -> int | None:
    if not _is_token(predicate):
        return read_quantity(result)
    data = read_data(result)
    return int.from_bytes(data) if len(data) == _WORD_BYTES else None


def _balance(predicate: BalanceDelta, pin: dict[str, Any]) -> Request:
    holder = address_of(predicate.account)
    if not _is_token(predicate):
        return "eth_getBalance", (holder, pin)
    return _view(Read(predicate.asset, encode_call(_BALANCE_OF, [holder]), 0), pin)


def _is_token(predicate: BalanceDelta) -> bool:
    return "/erc20:" in predicate.asset


def _view(read: Read, pin: dict[str, Any]) -> Request:
    call = {"to": address_of(read.account), "data": "0x" + read.calldata.hex(), "gas": hex(CALL_GAS)}
    return "eth_call", (call, pin)


def _pin(block: Block) -> dict[str, Any]:
    return {"blockHash": "0x" + block.hash.hex(), "requireCanonical": True}


def _unwrap(result: Any) -> Any:
    """The result; raises Unclear where the request was refused."""
    if isinstance(result, RpcRefused):
        raise Unclear(Doubt.REFUSED, str(result))
    return result


def _field(value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise RpcUnavailable(f"{str(value)[:80]!r} where an object is wanted")
    return value.get(name)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise RpcUnavailable(f"{str(value)[:80]!r} where a list is wanted")
    return value


def _hex(value: Any, size: int) -> str:
    return "0x" + read_data(value, size).hex()
