"""What every route of the feed works with."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from queue import Empty, Full, LifoQueue
from threading import BoundedSemaphore, Lock
from typing import Any

from starlette.requests import HTTPConnection
from tocsin_protocol.roster import RosterIndex

from tocsin_node.clock import now_ms
from tocsin_node.config import NodeConfig
from tocsin_node.control_client import request_control
from tocsin_node.control_verbs import Verb
from tocsin_node.errors import NodeError
from tocsin_node.store.database import file_id
from tocsin_node.store.reader import Reader

from .feed_db import hold_feed, open_feed_db
from .index import INDEX_NAME, open_index, open_index_reader
from .metrics import FeedMetrics
from .problems import Problem
from .rates import RateLimits

MAX_ASKING = 8
HEALTH_SECONDS = 1.0
# How long what was known is told while somebody waits for the relay.
HEALTH_WAIT_SECONDS = 5.0
# As many as there are threads that answer at once.
MAX_IDLE_SOURCES = 40
MAX_INDEX_LAG = 10_000
MAX_INDEX_LAG_SECONDS = 10.0


class Source:
    """What a request reads: the record and its index. For one thread at a time."""

    def __init__(self, data_dir: Path) -> None:
        """Open both; raises StoreError."""
        self.reader = Reader(data_dir)
        self._index_path = data_dir / INDEX_NAME
        self._index_file = file_id(self._index_path)
        try:
            self.index = open_index_reader(data_dir)
        except BaseException:
            self.reader.close()
            raise
        self._roster: tuple[int, RosterIndex] | None = None

    def check_indexed(self) -> None:
        """Raises Problem 503 while the index is far behind the record, as it is when it is made."""
        # [API] Nobody is answered from an index that is more than MAX_INDEX_LAG signals behind the record.
        (position,) = self.index.execute("SELECT signal FROM position").fetchone()
        lag = self.reader.last_signal() - position
        # [API] Nobody is answered from an index that has lacked a signal for MAX_INDEX_LAG_SECONDS.
        since_ms = self.reader.received_after(position) if lag > 0 else None
        if lag > MAX_INDEX_LAG or (since_ms is not None and now_ms() - since_ms > MAX_INDEX_LAG_SECONDS * 1000):
            text = "the index of the signals is being made"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"retry-after": "5"})

    def is_current(self) -> bool:
        """Whether both are the files that are there now."""
        return self.reader.is_current() and file_id(self._index_path) == self._index_file

    def close(self) -> None:
        """Close both."""
        self.reader.close()
        self.index.close()

    def roster(self) -> RosterIndex:
        """The roster in force, read again only when another is; raises StoreError where there is none yet."""
        epoch = self.reader.epoch()
        if self._roster is None or self._roster[0] != epoch:
            self._roster = epoch, self.reader.roster()
        return self._roster[1]


class Health:
    """How the relay is, asked by one at a time, however many want to know."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: tuple[float, dict[str, Any]] | None = None

    def ask(self, control_path: Path) -> dict[str, Any]:
        """What the relay says of itself now, or said within HEALTH_SECONDS."""
        # [API] Whoever asks how the node is, the relay is asked once in HEALTH_SECONDS, and by one at a time.
        if self._lock.acquire(blocking=False):
            try:
                if self._age() > HEALTH_SECONDS:
                    found = _fetch_health(control_path)
                    self._known = time.monotonic(), found
            finally:
                self._lock.release()
        if self._known is None or self._age() > HEALTH_SECONDS + HEALTH_WAIT_SECONDS:
            return {"healthy": False, "reasons": ["the relay does not answer"]}
        return self._known[1]

    def _age(self) -> float:
        return math.inf if self._known is None else time.monotonic() - self._known[0]


@dataclass(frozen=True, slots=True)
class Feed:
    """One running feed. `db` is the event loop's connection to feed.db, for what is read by a key; never for more."""

    config: NodeConfig
    db: sqlite3.Connection
    limits: RateLimits
    _lock: int
    metrics: FeedMetrics = field(default_factory=FeedMetrics)
    health: Health = field(default_factory=Health)
    _asking: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(MAX_ASKING))
    _idle: LifoQueue[Source] = field(default_factory=lambda: LifoQueue(MAX_IDLE_SOURCES))

    @contextmanager
    def source(self) -> Iterator[Source]:
        """The record and its index, for as long as the caller needs them; raises StoreError."""
        source = self._take_idle() or self.open_source()
        try:
            yield source
        except BaseException:
            source.close()
            raise
        try:
            self._idle.put_nowait(source)
        except Full:
            source.close()

    def _take_idle(self) -> Source | None:
        """One that is open already; those of a record that was replaced are closed."""
        with suppress(Empty):
            while True:
                source = self._idle.get_nowait()
                # [API] Nobody is answered from a record that another was put in the place of.
                if source.is_current():
                    return source
                source.close()
        return None

    def open_source(self) -> Source:
        """The record and its index, to be closed by the caller; raises StoreError."""
        return Source(self.config.node.data_dir)

    def open_db(self) -> sqlite3.Connection:
        """A connection to feed.db of the caller's own; raises StoreError."""
        return open_feed_db(self.config.node.data_dir)

    def ask_relay(self, verb: Verb, **arguments: Any) -> dict[str, Any]:
        """What the relay answers; raises NodeUnreachable, ControlError, or Problem 503 where too many ask."""
        # [API] MAX_ASKING wait for the relay at most: when it hangs, all else is answered as before.
        if not self._asking.acquire(blocking=False):
            text = f"{MAX_ASKING} wait for the relay's answer already"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"retry-after": "5"})
        try:
            return request_control(self.config.control_path, verb, arguments)
        finally:
            self._asking.release()

    def close(self) -> None:
        """Close what is open; another feed may then begin."""
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                break
        self.db.close()
        os.close(self._lock)


def open_feed(config: NodeConfig) -> Feed:
    """What the routes of a node's feed share; raises StoreError where another feed of this node runs."""
    lock = hold_feed(config.node.data_dir)
    try:
        open_index(config.node.data_dir).close()
        return Feed(config, open_feed_db(config.node.data_dir), RateLimits(), lock)
    except BaseException:
        os.close(lock)
        raise


def feed_of(request: HTTPConnection) -> Feed:
    """The feed that a request came to. An app mounted in it shares its `state`."""
    feed: Feed = request.app.state.feed
    return feed


def _fetch_health(control_path: Path) -> dict[str, Any]:
    try:
        return request_control(control_path, Verb.HEALTH)
    except NodeError as exc:
        return {"healthy": False, "reasons": [str(exc)]}
