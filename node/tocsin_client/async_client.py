"""The client for programs on asyncio or trio: the same, awaited."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Unpack

import anyio
import httpx
from tocsin_protocol.log.checkpoint import SignedHead
from tocsin_protocol.log.trust import TrustPolicy

from .asking import (
    MAX_PAGES,
    MAX_PROBLEM_BYTES,
    Ask,
    Flow,
    IncidentFilters,
    LiveFilters,
    SignalFilters,
    T,
    Value,
    query_of,
    read_problem,
)
from .errors import BadAnswer, ClientError, Problem, Unreachable
from .following import LIVE_PATH, QUIET, Cut, Following, Saver
from .key import FeedKey
from .results import Action, FeedSignal, Incident, LiveEvent, Publisher, RiskWord, ShownEvent
from .session import Page, Refused, Session
from .state import StateFile
from .transport import LIVE_TIMEOUT, Body, check_encoding, check_url, now_ms, settings, unreachable
from .trust import Pin

Away = Callable[[ClientError, float], None]


class AsyncFeedClient:
    """A feed, asked and followed, as FeedClient does. Tasks may share one: their questions are asked in turn.

    Close an iterator that is not read to its end: `async with aclosing(client.live()) as events`.
    """

    def __init__(
        self,
        url: str,
        pin: Pin | None,
        *,
        key: FeedKey | None = None,
        log: TrustPolicy | None = None,
        state: Path | None = None,
    ) -> None:
        self._url = check_url(url)
        self._file = StateFile(state, self._url)
        self._session = Session(pin, log, self._file, time.monotonic, now_ms)
        self._turn = anyio.Lock()
        self._http = httpx.AsyncClient(**settings(self._url, key))

    async def __aenter__(self) -> AsyncFeedClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def signals(self, *, refused: Refused = None, **filters: Unpack[SignalFilters]) -> AsyncIterator[FeedSignal]:
        """Signals by when they came to the node, newest first; what is not verified is raised, or told `refused`."""
        return self._pages(lambda before: self._session.signals(query_of(filters), before, refused))

    async def signal(self, digest: str) -> FeedSignal:
        """One signal by its digest in hex."""
        return await self._run(self._session.signal(digest))

    def incidents(self, **filters: Unpack[IncidentFilters]) -> AsyncIterator[Incident]:
        """Incidents, the latest begun first: the node's word."""
        return self._pages(lambda before: self._session.incidents(query_of(filters), before))

    async def incident(self, incident: str) -> Incident:
        """One incident by its id, with its subjects and chains."""
        return await self._run(self._session.incident(incident))

    def actions(self, *, incident: str | None = None) -> AsyncIterator[Action]:
        """Uses of levers, the latest first: the node's word."""
        query: dict[str, Value] = {} if incident is None else {"incident": incident}
        return self._pages(lambda before: self._session.actions(query, before))

    async def publishers(self) -> list[Publisher]:
        """The publishers of the roster in force, as the node shows them."""
        return await self._run(self._session.publishers())

    async def is_healthy(self) -> bool:
        """Whether the node hears, speaks and writes, in its own word; what does not is quiet, whatever happens."""
        return await self._run(self._session.is_healthy())

    async def risk_reports(self, *, oracle: str | None = None, subject: str | None = None) -> list[RiskWord]:
        """The latest risk report about each subject for each oracle; those that are stale say so."""
        return await self._run(self._session.risk(query_of({"oracle": oracle, "subject": subject})))

    async def head(self) -> SignedHead:
        """The signed head of the node's log, proven to go on from the last one that was seen."""
        return await self._run(self._session.head())

    async def check_logged(self, event: LiveEvent) -> SignedHead:
        """Prove that a live signal stands in the log as it was shown; raises NotLoggedYet or NotVerified."""
        return await self._run(self._session.check_logged(event))

    async def live(
        self,
        *,
        after: int | None = None,
        quiet: bool = False,
        refused: Refused = None,
        away: Away | None = None,
        **filters: Unpack[LiveFilters],
    ) -> AsyncGenerator[LiveEvent, None]:
        """What happens, for ever, each event once: behind `after`, or where the state ends, or from now on.

        A feed that is away is asked again, after `away` was told why and for how long that waits; what lasts is raised.
        `quiet` hands on events of kind `quiet`, too. An event counts as taken when the next one is asked for.
        """
        follow = Following(self._file.state.cursor if after is None else after)
        saver, query = Saver(self._file, time.monotonic), query_of(filters)
        try:
            while True:
                try:
                    async with aclosing(self._stream(follow, query)) as stream:
                        async for shown in stream:
                            event = await self._run(self._session.live(shown, refused))
                            if event is not None and (quiet or event.kind != QUIET):
                                yield event
                            follow.done(shown.sequence)
                            saver.note(follow.cursor)
                except (Unreachable, Problem, Cut) as exc:
                    pause = follow.after(exc, random.random())  # noqa: S311 - keeps many apart, and is no secret
                    if away is not None:
                        away(exc, pause)
                await anyio.sleep(pause)
        finally:
            saver.save()

    def keep(self, event: LiveEvent) -> None:
        """An event is done with, though no next one is asked for: who has this state goes on behind it."""
        self._file.state.cursor = event.sequence
        self._file.save()

    async def _stream(self, follow: Following, query: dict[str, Value]) -> AsyncGenerator[ShownEvent, None]:
        headers = follow.begin()
        try:
            async with self._http.stream(
                "GET", LIVE_PATH, params=query, headers=headers, timeout=LIVE_TIMEOUT
            ) as answer:
                await self._check(answer)
                async with _chunks_of(answer) as chunks:
                    async for chunk in chunks:
                        for shown in follow.take(chunk):
                            yield shown
        except httpx.HTTPError as exc:
            raise unreachable(self._url, exc) from exc
        raise Unreachable(f"{self._url}: the stream ended")

    async def _pages(self, ask: Callable[[str | None], Flow[Page[T]]]) -> AsyncIterator[T]:
        before: str | None = None
        for _ in range(MAX_PAGES):
            rows, before = await self._run(ask(before))
            for row in rows:
                yield row
            if before is None:
                return
        raise BadAnswer(f"more than {MAX_PAGES} pages")

    async def _run(self, flow: Flow[T]) -> T:
        # what is known of roster and log is changed by one question at a time
        async with self._turn:
            try:
                ask = next(flow)
                while True:
                    try:
                        data = await self._ask(ask)
                    except ClientError as exc:
                        ask = flow.throw(exc)
                    else:
                        ask = flow.send(data)
            except StopIteration as done:
                value: T = done.value
                return value

    async def _ask(self, ask: Ask) -> bytes:
        body = Body(ask.path, ask.most)
        try:
            async with self._http.stream("GET", ask.path, params=dict(ask.query)) as answer:
                await self._check(answer)
                await _read(answer, body)
        except httpx.HTTPError as exc:
            raise unreachable(self._url, exc) from exc
        return bytes(body.data)

    async def _check(self, answer: httpx.Response) -> None:
        check_encoding(answer.headers)
        if answer.status_code != httpx.codes.OK:
            body = Body("a refusal", MAX_PROBLEM_BYTES)
            await _read(answer, body)
            raise read_problem(answer.status_code, answer.headers.get("retry-after"), bytes(body.data))


async def _read(answer: httpx.Response, body: Body) -> None:
    async with _chunks_of(answer) as chunks:
        async for chunk in chunks:
            body.take(chunk)


@asynccontextmanager
async def _chunks_of(answer: httpx.Response) -> AsyncIterator[AsyncIterator[bytes]]:
    """The body as it comes. What of it is not read is ended here: trio minds where the garbage collector does that."""
    chunks = answer.aiter_raw()
    try:
        yield chunks
    finally:
        with anyio.CancelScope() as scope:
            scope.cancel()
            async for _ in chunks:
                pass
