"""Following one chain by polling: every block once, in order, with what a reorg takes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tocsin_protocol.outflow import MAX_REORG_BLOCKS

from tocsin_node.chain.client import ChainClient
from tocsin_node.chain.errors import ChainError, RpcRefused, RpcUnavailable
from tocsin_node.chain.rpc import MAX_BATCH, RpcEndpoint, read_count, read_data, read_quantity

from .transfers import Transfer, read_transfers

MAX_STEP_BLOCKS = MAX_BATCH - 2
"""Headers of one batch, beside the queries for logs."""
MAX_BEHIND_BLOCKS = 8
"""An endpoint further behind the newest block that another shows is left; endpoints differ by a few on fast chains."""
SHUNNED_LOOKS = 60
"""Looks for which the newer head of an endpoint that failed counts for nothing: it may have no block to show for it."""


@dataclass(frozen=True, slots=True)
class Header:
    """One block, time in seconds of chain time."""

    number: int
    hash: bytes
    parent: bytes
    timestamp_s: int


@dataclass(frozen=True, slots=True)
class Advance:
    """Blocks that are new, with their transfers; before them, everything above `rolled_back_to` is void.

    `is_lost`: the reorg goes deeper than what is remembered, so start again from the chain's state.
    """

    headers: tuple[Header, ...]
    transfers: tuple[Transfer, ...]
    rolled_back_to: int | None = None
    is_lost: bool = False


class Follower:
    """One reader of one chain; it stays with an endpoint until that one fails, whatever it was asked for."""

    def __init__(self, client: ChainClient, filters: Sequence[dict[str, Any]], max_blocks: int) -> None:
        self._client = client
        self._filters = tuple(filters)
        self._max_blocks = min(max_blocks, MAX_STEP_BLOCKS)
        self._index = 0
        self._shunned: dict[int, int] = {}
        self._checked: set[int] = set()
        self._ring: list[Header] = []

    @property
    def endpoint(self) -> RpcEndpoint:
        """The endpoint it reads from."""
        return self._client.endpoints[self._index]

    @property
    def last(self) -> Header | None:
        """The last block that was handed out."""
        return self._ring[-1] if self._ring else None

    async def head(self) -> Header:
        """Return the newest block; raises ChainError, and then the next endpoint is asked the next time."""
        with self.leaving_on_error():
            await self._check_chain()
            return _read_header(await self.endpoint.call("eth_getBlockByNumber", "latest", False))

    async def leave_if_behind(self, head: Header) -> None:
        """Ask every endpoint for its head, and go on with the one that is furthest when `head` is far behind it."""
        if len(self._client.endpoints) == 1:
            return
        self._shunned = {index: looks - 1 for index, looks in self._shunned.items() if looks > 1}
        best, best_index = head.number + MAX_BEHIND_BLOCKS, self._index
        for answer in await self._client.ask_all([("eth_getBlockByNumber", ("latest", False))]):
            try:
                number = _read_header(_unwrap(answer.results[0])).number
            except ChainError:
                continue
            if number > best and answer.index not in self._shunned:
                best, best_index = number, answer.index
        self._index = best_index

    async def start_at(self, number: int, head: Header) -> None:
        """Begin after block `number`; raises ChainError, also when `head` is no longer on the chain."""
        with self.leaving_on_error():
            results = await self.endpoint.batch(
                [("eth_getBlockByNumber", (hex(item), False)) for item in (number, head.number)]
            )
            first, again = (_read_header(_unwrap(result)) for result in results)
            if again.hash != head.hash:
                raise RpcUnavailable(f"{self.endpoint.name}: block {head.number} was replaced")
            self._ring = [first]

    async def advance(self, head: Header) -> Advance | None:
        """Return the next blocks towards `head`, or None when there is nothing new; raises ChainError."""
        with self.leaving_on_error():
            return await self._advance(head)

    async def _advance(self, head: Header) -> Advance | None:
        last = self._ring[-1]
        if head.number <= last.number:
            known = self._known(head.number)
            # An endpoint that is behind shows a block that is known; only another one is news.
            return None if known is None or known.hash == head.hash else await self._roll_back()
        numbers = range(last.number + 1, min(head.number, last.number + self._max_blocks) + 1)
        results = await self.endpoint.batch(
            [
                *(("eth_getBlockByNumber", (hex(number), False)) for number in numbers),
                *(("eth_getLogs", (self._range(item, numbers[0], numbers[-1]),)) for item in self._filters),
            ]
        )
        headers = tuple(_read_header(_unwrap(result)) for result in results[: len(numbers)])
        if headers[0].parent != last.hash:
            return await self._roll_back()
        parent = last.hash
        for header, number in zip(headers, numbers, strict=True):
            if header.parent != parent or header.number != number:
                raise RpcUnavailable(f"{self.endpoint.name}: blocks that do not follow one another")
            parent = header.hash
        transfers = tuple(read_transfers(_read_logs(results[len(numbers) :], headers)))
        self._ring = [*self._ring, *headers][-MAX_REORG_BLOCKS:]
        return Advance(headers, transfers)

    async def transfers_of(self, first: int, last: int, filters: Sequence[dict[str, Any]]) -> list[list[Transfer]]:
        """Return, for each endpoint that answers, the transfers of a range of blocks."""
        requests = [("eth_getLogs", (self._range(item, first, last),)) for item in filters]
        found = []
        for answer in await self._client.ask_all(requests):
            try:
                found.append(read_transfers(_merge(answer.results)))
            except ChainError:
                continue
        return found

    async def _roll_back(self) -> Advance:
        """Find the newest block that is still on the chain, and forget those above it."""
        for end in range(len(self._ring), 0, -MAX_STEP_BLOCKS):
            part = self._ring[max(0, end - MAX_STEP_BLOCKS) : end]
            results = await self.endpoint.batch([("eth_getBlockByNumber", (hex(item.number), False)) for item in part])
            for header, result in zip(reversed(part), reversed(results), strict=True):
                if isinstance(result, dict) and read_data(result.get("hash"), 32) == header.hash:
                    self._ring = [item for item in self._ring if item.number <= header.number]
                    return Advance((), (), rolled_back_to=header.number)
        self._ring = []
        return Advance((), (), is_lost=True)

    @contextmanager
    def leaving_on_error(self) -> Iterator[None]:
        """An endpoint may answer one question and refuse the next for ever: whichever fails, another is asked."""
        try:
            yield
        except ChainError:
            self._shunned[self._index] = SHUNNED_LOOKS
            self._index = (self._index + 1) % len(self._client.endpoints)
            raise

    async def _check_chain(self) -> None:
        if self._index not in self._checked:
            found = read_quantity(await self.endpoint.call("eth_chainId"))
            if found != self._client.config.chain_id:
                raise RpcUnavailable(f"{self.endpoint.name}: of chain eip155:{found}, not {self._client.config.chain}")
            self._checked.add(self._index)

    def _known(self, number: int) -> Header | None:
        return next((header for header in reversed(self._ring) if header.number == number), None)

    @staticmethod
    def _range(item: dict[str, Any], first: int, last: int) -> dict[str, Any]:
        return item | {"fromBlock": hex(first), "toBlock": hex(last)}


def _read_header(value: Any) -> Header:
    if not isinstance(value, dict):
        raise RpcUnavailable("a block that is not an object")
    return Header(
        number=read_count(value.get("number")),
        hash=read_data(value.get("hash"), 32),
        parent=read_data(value.get("parentHash"), 32),
        timestamp_s=read_count(value.get("timestamp")),
    )


def _read_logs(results: Sequence[Any], headers: Sequence[Header]) -> tuple[dict[str, Any], ...]:
    """Return the logs, each once; raises RpcUnavailable when one is of another block than the headers."""
    hashes = {header.number: header.hash for header in headers}
    logs = _merge(results)
    for log in logs:
        # A reorg between two requests of one batch: ask again.
        if hashes.get(read_quantity(log.get("blockNumber"))) != read_data(log.get("blockHash"), 32):
            raise RpcUnavailable("logs of another block than the one with that number")
    return tuple(logs)


def _merge(results: Sequence[Any]) -> list[dict[str, Any]]:
    merged: dict[tuple[int, int], dict[str, Any]] = {}
    for result in results:
        logs = _unwrap(result)
        if not isinstance(logs, list):
            raise RpcUnavailable("logs that are not a list")
        for log in logs:
            if not isinstance(log, dict):
                raise RpcUnavailable("a log that is not an object")
            if log.get("removed") is not True:
                merged[read_quantity(log.get("blockNumber")), read_quantity(log.get("logIndex"))] = log
    return [merged[key] for key in sorted(merged)]


def _unwrap(result: Any) -> Any:
    if isinstance(result, RpcRefused):
        raise result
    return result
