"""The newest events, which all who listen read from; nobody has a queue of his own, so nobody can fill one."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

from ..keys import Scope
from .events import Channel, LiveEvent

# At 500 signals a second a quarter of a minute; whoever is further behind reads the record, or is cut off.
MAX_EVENTS = 8_192
MAX_BYTES = 64 * 1024 * 1024
MAX_CHUNK_EVENTS = 512

Write = Callable[[Sequence[tuple[LiveEvent, bytes]]], bytes]


class Ring:
    """Events up to `position`, from above `floor` on; used in the event loop alone."""

    def __init__(self) -> None:
        self.position = 0
        self.floor = 0
        # Set once it has something, so that nobody resumes from nowhere.
        self.started = asyncio.Event()
        # Whose sight events are rendered for; replaced whole, as the one who fills the ring reads it in another thread.
        self.wanted: frozenset[Scope] = frozenset()
        # Above which sequence events are rendered for a scope.
        self._since: dict[Scope, int] = {}
        self._events: list[LiveEvent] = []
        self._sequences: list[int] = []
        self._bytes = 0
        self._changed = asyncio.Event()
        self._outlets: WeakValueDictionary[tuple[Channel, Write], Outlet] = WeakValueDictionary()

    def start(self, position: int) -> None:
        """Begin, or begin anew, behind an entry of the record."""
        self.position = self.floor = position
        self._events, self._sequences, self._bytes = [], [], 0
        self._since.clear()
        for outlet in self._outlets.values():
            outlet.forget()
        self.started.set()
        self.wake()

    def lose(self) -> None:
        """The record cannot be read: nothing is known of what is new, until it starts again."""
        self.started.clear()
        self.wake()

    def add(self, events: Sequence[LiveEvent], scopes: frozenset[Scope]) -> None:
        """What was committed since, as rendered for these scopes."""
        self._since = {scope: self._since.get(scope, self.position) for scope in scopes}
        self._events += events
        self._sequences += [event.sequence for event in events]
        self._bytes += sum(event.size for event in events)
        self.position = self._sequences[-1]
        drop = max(0, len(self._events) - MAX_EVENTS)
        dropped = sum(event.size for event in self._events[:drop])
        while self._bytes - dropped > MAX_BYTES and drop < len(self._events) - 1:
            dropped += self._events[drop].size
            drop += 1
        if drop:
            self.floor = self._sequences[drop - 1]
            self._bytes -= dropped
            del self._events[:drop], self._sequences[:drop]
        self.wake()

    def wake(self) -> None:
        """Let all who wait look: at what is new, or whether they are still wanted."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Until `wake`."""
        await self._changed.wait()

    def floor_of(self, scope: Scope) -> int:
        """Above which sequence a scope finds every event here; what it may hear of before is in the record."""
        return max(self.floor, self._since.get(scope, self.position))

    def has_lost(self, scope: Scope, cursor: int) -> bool:
        """Whether events that were here for a scope are gone already for who stands at a cursor."""
        return self._since.get(scope, self.position) <= cursor < self.floor

    def after(self, cursor: int) -> Sequence[LiveEvent]:
        """The next events above a cursor that is not below the floor of who reads them."""
        first = bisect_right(self._sequences, cursor)
        return self._events[first : first + MAX_CHUNK_EVENTS]

    def outlet(self, channel: Channel, write: Write) -> Outlet:
        """Where one who listens reads: all of one channel share it, for as long as one of them is there."""
        key = channel, write
        found = self._outlets.get(key)
        if found is None:
            found = self._outlets[key] = Outlet(self, channel, write)
        return found


class Outlet:
    """A ring as one channel is sent it."""

    def __init__(self, ring: Ring, channel: Channel, write: Write) -> None:
        self._ring = ring
        self._channel = channel
        self._write = write
        self.forget()

    def forget(self) -> None:
        """What was written was of another record, perhaps."""
        self._first = self._last = -1
        self._text, self._count = b"", 0

    def next(self, cursor: int) -> tuple[int, bytes, int]:
        """Up to where the next events go, as what they are sent, and how many: written once for all who stand there."""
        if (self._first, self._last) != (cursor, self._ring.position):
            events = self._ring.after(cursor)
            if not events:
                return cursor, b"", 0
            taken = self._channel.take(events)
            self._first, self._last = cursor, events[-1].sequence
            self._text, self._count = self._write(taken), len(taken)
        return self._last, self._text, self._count
