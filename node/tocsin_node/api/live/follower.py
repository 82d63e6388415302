"""The one reader of the record: a thread that indexes what is new, and hands it to the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing

import structlog

from ..context import Feed, Source
from ..index import catch_up, drop_index, is_spoilt, open_index
from ..keys import Scope
from .events import LiveEvent, event_of
from .ring import Ring

# What is committed meanwhile goes to all who listen in one piece: most of what it costs is the sending.
POLL_SECONDS = 0.1
# After an error: the record may be away for a moment, when it is replaced.
RETRY_SECONDS = 1.0
PAGE = 200
JOIN_SECONDS = 10.0

_log = structlog.get_logger("tocsin.feed")


class Follower:
    """Follows the record from `start` until `stop`, whatever happens to the record meanwhile."""

    def __init__(self, feed: Feed, ring: Ring) -> None:
        self._feed = feed
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed-follower", daemon=True)

    def start(self) -> None:
        """Begin in a thread of its own: what it does takes the loop no time."""
        self._thread.start()

    async def stop(self) -> None:
        """End, and wait for it."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                data_dir = self._feed.config.node.data_dir
                with closing(open_index(data_dir)) as index, closing(self._feed.open_source()) as source:
                    self._follow(index, source)
            # whatever it is: if this thread ended, all would go on being answered, and nobody told anything new
            except Exception as exc:  # noqa: BLE001
                _log.warning("the record cannot be followed now", exc_info=exc)
                if isinstance(exc, sqlite3.DatabaseError) and is_spoilt(exc):
                    drop_index(self._feed.config.node.data_dir)
                self._tell(self._ring.lose)
                self._stopping.wait(RETRY_SECONDS)

    def _follow(self, index: sqlite3.Connection, source: Source) -> None:
        """Until stopped, or until the record is no longer the one that was followed."""
        self._index(index, source)
        position = source.reader.audit_head()
        self._tell(self._ring.start, position)
        version = -1
        while not self._stopping.is_set():
            if not source.is_current():
                _log.warning("another record was put in the place of the one that was followed", position=position)
                return
            seen = source.reader.data_version()
            if seen == version:
                self._stopping.wait(POLL_SECONDS)
                continue
            version = seen
            position = self._go_on(index, source, position)
            if source.reader.audit_head() < position:
                _log.warning("the record was replaced by an older one", position=position)
                return

    def _go_on(self, index: sqlite3.Connection, source: Source, position: int) -> int:
        """Take what was committed behind a position; returns up to where."""
        while not self._stopping.is_set():
            # read first, indexed then: whatever an entry speaks of is in the index when it is shown
            if not (wanted := self._ring.wanted):
                head = source.reader.audit_head()
                self._index(index, source)
                if head <= position:
                    break
                position = head
                self._tell(self._ring.start, position)
                continue
            entries = source.reader.audit(after=position, limit=PAGE)
            self._index(index, source)
            if not entries:
                break
            position = entries[-1].sequence
            self._tell(self._ring.add, [event_of(source, entry, wanted) for entry in entries], wanted)
        return position

    def _index(self, index: sqlite3.Connection, source: Source) -> None:
        while not self._stopping.is_set() and catch_up(index, source.reader):
            pass

    def _tell(self, what: object, *values: object) -> None:
        if not self._stopping.is_set():
            self._loop.call_soon_threadsafe(what, *values)  # type: ignore[arg-type]


def read_history(feed: Feed, after: int, up_to: int, scope: Scope) -> Sequence[LiveEvent]:
    """A page of events above a sequence, from the record: for who is further behind than the ring reaches.

    What the ring has not come to yet is not indexed, and nothing can be said of it.
    """
    with feed.source() as source:
        entries = source.reader.audit(after=after, limit=min(PAGE, up_to - after))
        return [event_of(source, entry, frozenset((scope,))) for entry in entries if entry.sequence <= up_to]
