"""Several endpoints of one chain, none of which is trusted or waited for alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from .config import ChainConfig
from .errors import ChainConfigError, ChainError, RpcRefused, RpcUnavailable
from .rpc import Request, RpcEndpoint, read_data, read_quantity

MAX_STRAGGLERS = 32
"""Broadcasts to one endpoint that may still be on their way; a further one is not begun."""

_KNOWN = ("already known", "known transaction", "already imported", "already in mempool", "alreadyknown")
_UNDERPRICED = ("underpriced", "less than block base fee", "fee too low", "max fee per gas", "feetoolow")
_NONCE_USED = ("nonce too low", "nonce is too low", "oldnonce", "invalid nonce")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one endpoint, by its index, said to a batch."""

    index: int
    results: list[Any | RpcRefused]


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What came of sending one signed transaction to every endpoint; acceptance is not inclusion."""

    is_accepted: bool
    is_underpriced: bool
    is_refused_by_all: bool
    reason: str


class Sending:
    """A broadcast on its way."""

    def __init__(
        self, reports: trio.MemoryReceiveChannel[RpcRefused | RpcUnavailable | None], started: int, endpoints: int
    ) -> None:
        self._reports = reports
        self._started = started
        self._endpoints = endpoints

    async def wait(self) -> Broadcast:
        """Return with the first endpoint that accepts, or when all have failed."""
        errors: list[RpcRefused | RpcUnavailable] = []
        for _ in range(self._started):
            error = await self._reports.receive()
            if error is None:
                return Broadcast(True, False, False, "")
            errors.append(error)
        return _judge_errors(errors, self._endpoints)


class ChainClient:
    """One chain through all of its configured endpoints."""

    def __init__(self, config: ChainConfig, nursery: trio.Nursery) -> None:
        self.config = config
        self.endpoints = tuple(RpcEndpoint(url, timeout_ms=config.request_timeout_ms) for url in config.endpoints)
        self._nursery = nursery
        self._stragglers = [0] * len(self.endpoints)

    async def check_chain(self) -> list[str]:
        """Return a line for each endpoint that does not answer.

        Raises ChainConfigError naming an endpoint that serves another chain.
        """
        found: dict[int, int | str] = {}

        async def ask(index: int) -> None:
            try:
                found[index] = read_quantity(await self.endpoints[index].call("eth_chainId"))
            except ChainError as exc:
                found[index] = str(exc)

        async with trio.open_nursery() as nursery:
            for index in range(len(self.endpoints)):
                nursery.start_soon(ask, index)
        for index, number in found.items():
            if isinstance(number, int) and number != self.config.chain_id:
                name, wanted = self.endpoints[index].name, self.config.chain
                raise ChainConfigError(f"endpoint {name}: chain eip155:{number} where {wanted} is wanted")
        return [line for line in found.values() if isinstance(line, str)]

    async def ask_all(self, requests: Sequence[Request]) -> list[Answer]:
        """Return what the endpoints that are in time say: all, or those `grace_ms` after the first one."""
        answers: list[Answer] = []
        first = trio.Event()
        waiting = len(self.endpoints)

        async def ask(index: int) -> None:
            nonlocal waiting
            try:
                answers.append(Answer(index, await self.endpoints[index].batch(requests)))
                first.set()
            except ChainError:
                pass  # an endpoint without an answer is absent from the list, which is what callers judge
            waiting -= 1
            if waiting == 0:
                first.set()
                nursery.cancel_scope.cancel()

        if len(self.endpoints) == 1:
            try:
                return [Answer(0, await self.endpoints[0].batch(requests))]
            except ChainError:
                return []
        async with trio.open_nursery() as nursery:
            for index in range(len(self.endpoints)):
                nursery.start_soon(ask, index)
            await first.wait()
            await trio.sleep(self.config.grace_ms / 1_000)
            nursery.cancel_scope.cancel()
        return answers

    def start_broadcast(self, raw: bytes) -> Sending:
        """Begin to send to every endpoint at once.

        The slower ones go on in the background whoever waits: they may be the ones that reach a block builder.
        """
        text = "0x" + raw.hex()
        send, receive = trio.open_memory_channel[RpcRefused | RpcUnavailable | None](len(self.endpoints))
        started = 0
        for index in range(len(self.endpoints)):
            if self._stragglers[index] < MAX_STRAGGLERS:
                self._stragglers[index] += 1
                self._nursery.start_soon(self._send, index, text, send)
                started += 1
        return Sending(receive, started, len(self.endpoints))

    async def _send(
        self, index: int, text: str, report: trio.MemorySendChannel[RpcRefused | RpcUnavailable | None]
    ) -> None:
        error: RpcRefused | RpcUnavailable | None = None
        try:
            read_data(await self.endpoints[index].call("eth_sendRawTransaction", text), 32)
        except RpcRefused as exc:
            error = None if _says(exc, _KNOWN) else exc
        except RpcUnavailable as exc:
            error = exc
        finally:
            self._stragglers[index] -= 1
        report.send_nowait(error)  # room for every endpoint; nobody may be reading any more


@asynccontextmanager
async def open_chain(config: ChainConfig) -> AsyncIterator[ChainClient]:
    """Open a client; on leaving, broadcasts still on their way are cut off and connections closed."""
    async with trio.open_nursery() as nursery:
        client = ChainClient(config, nursery)
        try:
            yield client
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True), trio.move_on_after(2):
                for endpoint in client.endpoints:
                    await endpoint.aclose()


def _judge_errors(errors: list[RpcRefused | RpcUnavailable], endpoints: int) -> Broadcast:
    refusals = [error for error in errors if isinstance(error, RpcRefused)]
    # A used nonce is no refusal: our own transaction, mined already, is the usual cause. The receipts will tell.
    firm = [error for error in refusals if not _says(error, _NONCE_USED) and not _says(error, _UNDERPRICED)]
    shown = (firm or refusals or errors)[:1]
    return Broadcast(
        is_accepted=False,
        is_underpriced=any(_says(error, _UNDERPRICED) for error in refusals),
        is_refused_by_all=len(firm) == endpoints,
        reason=str(shown[0]) if shown else "every endpoint is busy",
    )


def _says(error: RpcRefused, texts: tuple[str, ...]) -> bool:
    message = error.message.lower()
    return any(text in message for text in texts)
