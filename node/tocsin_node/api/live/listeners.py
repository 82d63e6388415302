"""Who listens now: counted, bounded, and asked now and then whether they still may."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from enum import StrEnum
from http import HTTPStatus

from starlette.requests import HTTPConnection

from tocsin_node.clock import now_ms

from ..access import Access, Scope
from ..context import Feed
from ..keys import read_key
from ..problems import Problem
from ..rates import network_of
from .events import Channel, LiveEvent
from .follower import read_history
from .ring import Ring, Write

MAX_LISTENERS = 900
MAX_OF_ADDRESS = 8
MAX_OF_KEY = 64
# Pages of the record read at once for those who resume from far behind.
MAX_READING = 4
KEEP_ALIVE_SECONDS = 15.0
# Who was thrown off by his network comes back sooner, and finds the newest events still there.
LINGER_SECONDS = 60.0
# How long one waits for a feed that has just started.
START_SECONDS = 5.0
# How long one may take to read what was sent to him.
SEND_SECONDS = 30.0


class Why(StrEnum):
    """Why a listener is sent nothing more; for the metrics."""

    SLOW = "slow"
    DEAF = "deaf"
    KEY = "key"
    REPLACED = "replaced"
    STOPPING = "stopping"
    UNREADABLE = "unreadable"


class Cut(Exception):
    """A listener who is sent nothing more; `resume` is the last that he was sent."""

    def __init__(self, why: Why, reason: str, resume: int) -> None:
        super().__init__(reason)
        self.why = why
        self.resume = resume


class Listeners:
    """Everybody who listens to one ring."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.ring = Ring()
        self.is_closing = False
        self._count: Counter[str] = Counter()
        self._hearing: Counter[Scope] = Counter()
        self._left_at: dict[Scope, float] = {}
        self.metrics = feed.metrics
        # A series that first shows up with a one in it has not risen, for Prometheus: these begin at nothing.
        for scope in Scope:
            self.metrics.listeners.labels(scope.value)
        for why in Why:
            self.metrics.cuts.labels(why.value)
        self._reading = asyncio.Semaphore(MAX_READING)

    def check_room(self, access: Access, request: HTTPConnection) -> str:
        """The holder that one is counted under; raises Problem 429 or 503 where there are too many."""
        address = request.client.host if request.client else ""
        who = access.key_id or f"address {network_of(address)}"
        most = {Scope.PUBLIC: MAX_OF_ADDRESS, Scope.OPERATOR: MAX_LISTENERS}.get(access.scope, MAX_OF_KEY)
        # [API] So many listen at once, and so many of them with one key, or from one address without a key.
        if self._count.total() >= MAX_LISTENERS:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_LISTENERS} listen already")
        if self._count[who] >= most:
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, f"{most} listen with this key or from this address already")
        return who

    @contextmanager
    def joined(self, who: str, scope: Scope) -> Iterator[None]:
        """Count one for as long as he listens."""
        self._count[who] += 1
        gauge = self.metrics.listeners.labels(scope.value)
        gauge.inc()
        try:
            with self.hearing(scope):
                yield
        finally:
            gauge.dec()
            self._count[who] -= 1
            if not self._count[who]:
                del self._count[who]

    @contextmanager
    def hearing(self, scope: Scope) -> Iterator[None]:
        """Have events rendered for a scope meanwhile."""
        self._hearing[scope] += 1
        self._want()
        try:
            yield
        finally:
            self._hearing[scope] -= 1
            self._left_at[scope] = asyncio.get_running_loop().time()

    def _want(self) -> None:
        # [API] Nothing is rendered of an event for a scope of which nobody has listened for LINGER_SECONDS.
        since = asyncio.get_running_loop().time() - LINGER_SECONDS
        lingering = {scope for scope, left_at in self._left_at.items() if left_at > since}
        self.ring.wanted = frozenset(lingering | {scope for scope, count in self._hearing.items() if count})

    async def begin(self, after: int | None) -> int:
        """Where one who resumes begins; raises Problem 503 while the index is made, and 400 ahead of the record."""
        try:
            await asyncio.wait_for(self.ring.started.wait(), START_SECONDS)
        except TimeoutError:
            text = "the index of the signals is being made"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"retry-after": "5"}) from None
        if after is None:
            return self.ring.position
        if after > self.ring.position:
            text = f"the record goes to {self.ring.position}, not yet to {after}: it was replaced, or is another node's"
            raise Problem(HTTPStatus.BAD_REQUEST, text)
        return after

    def _check_place(self, scope: Scope, cursor: int) -> None:
        """Raises Cut for who has been sent all up to a cursor, where he cannot be sent what follows."""
        if self.is_closing:
            raise Cut(Why.STOPPING, "the feed stops", cursor)
        # [API] Who listens while the record cannot be read is cut off: quiet would mean that nothing happens.
        if not self.ring.started.is_set():
            raise Cut(Why.UNREADABLE, "the record cannot be read now", cursor)
        # [API] A listener whom the newest events have left behind is cut off, and told where to resume.
        if self.ring.has_lost(scope, cursor):
            raise Cut(Why.SLOW, "too slow: the newest events have gone on", cursor)
        if cursor > self.ring.position:
            raise Cut(Why.REPLACED, "the record was replaced", self.ring.position)

    async def chunks(
        self, access: Access, channel: Channel, cursor: int, write: Write
    ) -> AsyncIterator[tuple[int, bytes]]:
        """Up to where, and what is to be sent of it; nothing to send, when it was quiet. Ends with Cut."""
        loop, outlet = asyncio.get_running_loop(), self.ring.outlet(channel, write)
        async for cursor, text in self._past(channel, cursor, write):  # noqa: B020 - it goes on from there
            yield cursor, text
        sent = checked = loop.time()
        while True:
            self._check_place(channel.scope, cursor)
            # what was committed before anything was rendered for this scope
            if cursor < self.ring.floor_of(channel.scope):
                async for cursor, text in self._past(channel, cursor, write):  # noqa: B020
                    yield cursor, text
            place, text, count = outlet.next(cursor)
            now = loop.time()
            if now - checked >= KEEP_ALIVE_SECONDS:
                checked = now
                # [API] Whoever listens with a key is cut off within KEEP_ALIVE_SECONDS after it ends.
                if not self._is_valid(access):
                    raise Cut(Why.KEY, "the key has expired or is revoked", cursor)
            if text or now - sent >= KEEP_ALIVE_SECONDS:
                sent = now
                self.metrics.sent.inc(count)
                yield place, text
            cursor = place
            if cursor == self.ring.position and not self.is_closing:
                await self.ring.wait()

    async def _past(self, channel: Channel, cursor: int, write: Write) -> AsyncIterator[tuple[int, bytes]]:
        async for place, events in self.history(channel.scope, cursor):
            taken = channel.take(events)
            self.metrics.sent.inc(len(taken))
            yield place, write(taken)

    async def history(self, scope: Scope, cursor: int) -> AsyncIterator[tuple[int, list[LiveEvent]]]:
        """Events from the record, until the ring reaches back far enough."""
        while cursor < self.ring.floor_of(scope):
            async with self._reading:
                events = list(await asyncio.to_thread(read_history, self.feed, cursor, self.ring.position, scope))
            # entries that were dropped after an export are not there any more
            cursor = events[-1].sequence if events else self.ring.floor_of(scope)
            yield cursor, events

    def end(self) -> None:
        """Cut everybody off: the feed stops."""
        self.is_closing = True
        self.ring.wake()

    async def keep_waking(self) -> None:
        """Let those who hear nothing look at the time, and forget whom nobody listens for."""
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS / 3)
            self._want()
            self.ring.wake()

    def _is_valid(self, access: Access) -> bool:
        if access.key_id is None:
            return True
        key = read_key(self.feed.db, access.key_id)
        return key is not None and key.scope is access.scope and key.is_valid(now_ms())
