"""Several endpoints of one chain, none of which is trusted or waited for alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from .broadcasts import Refusal, Sending, is_known
from .config import ChainConfig
from .errors import ChainConfigError, ChainError, RpcRefused, RpcUnavailable
from .preflight import PROBE
from .private_relays import PrivateRelay
from .rpc import Request, RpcEndpoint, read_count, read_data

MAX_STRAGGLERS = 32
"""Broadcasts to one endpoint that may still be on their way; a further one is not begun."""
CLOSE_SECONDS = 2.0
"""For saying goodbye to an endpoint."""
FORK_DEPTH = 64
"""Blocks below the lowest head at which endpoints of one chain show the same block: two epochs."""

IsHeard = Callable[[Sequence["Answer"]], bool]
"""Whether enough endpoints are heard to wait for the others only `grace_ms` longer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one endpoint, by its index, said to a batch."""

    index: int
    results: list[Any | RpcRefused]


class ChainClient:
    """One chain through all of its configured endpoints."""

    def __init__(
        self,
        config: ChainConfig,
        endpoints: Sequence[RpcEndpoint],
        relays: Sequence[PrivateRelay],
        nursery: trio.Nursery,
    ) -> None:
        self.config = config
        self.endpoints = endpoints
        self.relays = relays
        self.nursery = nursery
        self._simulating: set[int] = set()
        self._stragglers = [0] * (len(self.endpoints) + len(self.relays))

    def simulates(self, index: int) -> bool:
        """Whether an endpoint is known to have `eth_simulateV1`."""
        return index in self._simulating

    async def probe_simulation(self) -> None:
        """Find out which endpoints have `eth_simulateV1`; one that does not answer keeps `eth_call`."""
        answers = await self.ask_all([PROBE])
        self._simulating = {answer.index for answer in answers if isinstance(answer.results[0], list)}

    @property
    def is_closing(self) -> bool:
        """Whether nothing new may be begun in the background."""
        return self.nursery.cancel_scope.cancel_called

    async def check_chain(self) -> list[str]:
        """Return a line for each endpoint that does not answer, and one when they do not show the same chain.

        Raises ChainConfigError naming an endpoint that serves another chain.
        """
        numbers = await self._ask_one_each("eth_chainId")
        for index, number in numbers.items():
            if isinstance(number, int) and number != self.config.chain_id:
                name, wanted = self.endpoints[index].name, self.config.chain
                raise ChainConfigError(f"endpoint {name}: chain eip155:{number} where {wanted} is wanted")
        silent = [line for line in numbers.values() if isinstance(line, str)]
        return silent + await self._find_forks()

    async def _find_forks(self) -> list[str]:
        """Return a line when the endpoints show different blocks at a height that all of them have."""
        heads = [head for head in (await self._ask_one_each("eth_blockNumber")).values() if isinstance(head, int)]
        if len(heads) < 2:
            return []
        height = max(0, min(heads) - FORK_DEPTH)
        shown: dict[str, list[str]] = {}
        for answer in await self.ask_all([("eth_getBlockByNumber", (hex(height), False))]):
            block = answer.results[0]
            if isinstance(block, dict):
                shown.setdefault(str(block.get("hash"))[:66], []).append(self.endpoints[answer.index].name)
        if len(shown) < 2:
            return []
        sides = " against ".join(sorted(", ".join(sorted(names)) for names in shown.values()))
        return [f"the endpoints follow different forks at block {height}: {sides}"]

    async def _ask_one_each(self, method: str) -> dict[int, int | str]:
        """Return what every endpoint says, or why it does not; waits for all of them."""
        found: dict[int, int | str] = {}

        async def ask(index: int) -> None:
            try:
                found[index] = read_count(await self.endpoints[index].call(method))
            except ChainError as exc:
                found[index] = str(exc)

        async with trio.open_nursery() as nursery:
            for index in range(len(self.endpoints)):
                nursery.start_soon(ask, index)
        return found

    async def ask_all(self, requests: Sequence[Request], is_heard: IsHeard | None = None) -> list[Answer]:
        """Return what the endpoints that are in time say: all, or those `grace_ms` after enough of them are heard.

        Enough are as many as confirm a receipt, where the caller does not say. Until then the others are waited for, at
        most until their requests run out of time: else the fastest alone would be the chain, and honest ones far away
        would never be heard.
        """
        answers: list[Answer] = []
        await self._gather(lambda _: requests, answers, lambda: None, is_heard)
        return answers

    async def ask_until(
        self,
        requests_of: Callable[[int], Sequence[Request]],
        is_enough: Callable[[Sequence[Answer]], bool],
        is_heard: IsHeard | None = None,
    ) -> list[Answer]:
        """Ask each endpoint its own, and return as soon as what is there is enough, else as `ask_all` does.

        The others are heard to their end all the same: an exchange that is cut off costs its connection, and the next
        request is a transaction.
        """
        answers: list[Answer] = []
        over = trio.Event()

        def look() -> None:
            if is_enough(answers):
                over.set()

        async def gather() -> None:
            await self._gather(requests_of, answers, look, is_heard)
            over.set()

        self.nursery.start_soon(gather)
        await over.wait()
        return list(answers)

    async def _gather(
        self,
        requests_of: Callable[[int], Sequence[Request]],
        answers: list[Answer],
        look: Callable[[], None],
        is_heard: IsHeard | None,
    ) -> None:
        heard = trio.Event()
        waiting = len(self.endpoints)
        is_heard = is_heard or (lambda some: len(some) >= self.config.witnesses)

        async def ask(index: int) -> None:
            nonlocal waiting
            try:
                answers.append(Answer(index, await self.endpoints[index].batch(requests_of(index))))
                look()
            except ChainError:
                pass  # an endpoint without an answer is absent from the list, which is what callers judge
            waiting -= 1
            if waiting == 0 or is_heard(answers):
                heard.set()
            if waiting == 0:
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for index in range(len(self.endpoints)):
                nursery.start_soon(ask, index)
            await heard.wait()
            await trio.sleep(self.config.grace_ms / 1_000)
            nursery.cancel_scope.cancel()

    def start_broadcast(self, raw: bytes, *, in_private: bool = False) -> Sending:
        """Begin to send to every endpoint at once, or to the private relays alone.

        The slower ones go on in the background whoever waits: they may be the ones that reach a block builder.
        """
        # [SEND] Bytes go to every endpoint at once; the first that accepts is enough, and acceptance is not inclusion.
        text = "0x" + raw.hex()
        public = len(self.endpoints)
        doors = range(public, public + len(self.relays)) if in_private else range(public)
        send, receive = trio.open_memory_channel[Refusal | None](len(doors))
        started = 0
        for door in doors:
            if self._stragglers[door] < MAX_STRAGGLERS:
                self._stragglers[door] += 1
                self.nursery.start_soon(self._send, door, text, send)
                started += 1
        return Sending(receive, started, len(doors))

    async def _send(self, door: int, text: str, report: trio.MemorySendChannel[Refusal | None]) -> None:
        error: Refusal | None = None
        try:
            await self._hand_over(door, text)
        except RpcRefused as exc:
            error = None if is_known(exc) else exc
        except RpcUnavailable as exc:
            error = exc
        finally:
            self._stragglers[door] -= 1
        report.send_nowait(error)  # room for every endpoint; nobody may be reading any more

    async def _hand_over(self, door: int, text: str) -> None:
        if door < len(self.endpoints):
            read_data(await self.endpoints[door].call("eth_sendRawTransaction", text), 32)
        else:
            await self.relays[door - len(self.endpoints)].send(text)


@asynccontextmanager
async def open_chain(config: ChainConfig) -> AsyncIterator[ChainClient]:
    """Open a client; on leaving, what it does in the background is cut off, and then connections are closed."""
    async with AsyncExitStack() as stack:
        endpoints = [RpcEndpoint(url, timeout_ms=config.request_timeout_ms) for url in config.endpoints]
        relays = [PrivateRelay(relay, timeout_ms=config.request_timeout_ms) for relay in config.private_relays]
        doors: tuple[RpcEndpoint | PrivateRelay, ...] = (*endpoints, *relays)
        for door in doors:
            stack.push_async_callback(_close, door)
        nursery = await stack.enter_async_context(trio.open_nursery())
        try:
            yield ChainClient(config, endpoints, relays, nursery)
        finally:
            nursery.cancel_scope.cancel()


async def _close(door: RpcEndpoint | PrivateRelay) -> None:
    with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_SECONDS):
        await door.aclose()
