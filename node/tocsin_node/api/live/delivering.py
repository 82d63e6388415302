"""Webhooks: every event in order to each receiver, again and again until it is there, refused, or given up."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum

import httpx
import structlog
from tocsin_protocol.log.checkpoint import origin_of

from tocsin_node.clock import now_ms
from tocsin_node.webhook_signing import sign_webhook

from ..subscriptions import (
    MAX_DEAD_LETTERS,
    Webhook,
    WebhookState,
    bury,
    dead_letters,
    keep_cursor,
    list_webhooks,
    suspend_webhook,
    unbury,
)
from .events import Channel, LiveEvent
from .follower import read_history
from .listeners import Listeners
from .outward import NotAllowed, Reach, open_client, post

LOOK_SECONDS = 1.0
LOCKED_MS = 100
SAVE_SECONDS = 1.0
# A receiver that is away is asked again after 1 s, then after twice as long each time, up to an hour: for 15 hours.
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 3_600.0
MAX_TRIES_AWAY = 26
# One that refuses an event gets it so often, and then the next one.
MAX_TRIES_REFUSED = 3
MEDIA_TYPE = "application/cloudevents+json"
_GONE = 410
_AWAY = frozenset((408, 425, 429))

_log = structlog.get_logger("tocsin.feed.webhooks")


class Outcome(StrEnum):
    """What a receiver said."""

    ARRIVED = "arrived"
    REFUSED = "refused"
    AWAY = "away"
    GONE = "gone"


class Deliverer:
    """Delivers to all webhooks of feed.db, each in a task of its own."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._feed = listeners.feed
        self._reach = Reach(self._feed.config.feed.webhook_networks)
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        for outcome in Outcome:
            self._feed.metrics.tries.labels(outcome.value)

    async def run(self) -> None:
        """Deliver until cancelled; what commands change is seen within LOOK_SECONDS."""
        await self._listeners.ring.started.wait()
        database, seen = self._feed.open_db(), -1
        # What a power cut takes is sent again, and the loop waits for no disk, nor for who writes a dump meanwhile.
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA busy_timeout = {LOCKED_MS}")
        try:
            async with open_client() as client:
                while True:
                    version = database.execute("PRAGMA data_version").fetchone()[0]
                    failed = [key for key, task in self._tasks.items() if task.done() and task.exception() is not None]
                    # [API] A fault ends no delivery: it begins again where it was.
                    await self._cancel(failed)
                    if version != seen or failed:
                        await self._settle(client, database)
                        seen = version
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._cancel(list(self._tasks))
            database.close()

    async def _settle(self, client: httpx.AsyncClient, database: sqlite3.Connection) -> None:
        """One task for each active webhook as it stands now, and no other."""
        wanted = {(w.id, w.generation): w for w in list_webhooks(database) if w.state is WebhookState.ACTIVE}
        await self._cancel([key for key in self._tasks if key not in wanted])
        for key, webhook in wanted.items():
            if key not in self._tasks:
                delivery = Delivery(self._listeners, client, self._reach, database, webhook)
                self._tasks[key] = asyncio.create_task(delivery.run())

    async def _cancel(self, keys: list[tuple[str, int]]) -> None:
        ending = [self._tasks.pop(key) for key in keys]
        for task in ending:
            task.cancel()
        for result in await asyncio.gather(*ending, return_exceptions=True):
            if isinstance(result, Exception):
                _log.error("a webhook's task failed", exc_info=result)


class Delivery:
    """Everything that one receiver is to get, from its cursor on."""

    def __init__(
        self,
        listeners: Listeners,
        client: httpx.AsyncClient,
        reach: Reach,
        database: sqlite3.Connection,
        webhook: Webhook,
    ) -> None:
        self._listeners = listeners
        self._client = client
        self._reach = reach
        self._database = database
        self._webhook = webhook
        self._channel = Channel(webhook.scope, webhook.wanted)
        self._cursor = webhook.cursor
        self._saved_at = 0.0
        with listeners.feed.source() as source:
            self._origin = origin_of(source.reader.network_id, source.reader.publisher)

    async def run(self) -> None:
        """Until cancelled, or until the webhook is suspended."""
        try:
            with self._listeners.hearing(self._channel.scope):
                await self._send_dead_again()
                async for cursor, events in self._pages():
                    for event, text in self._channel.take(events):
                        if not await self._deliver(event, text):
                            return
                        self._done(event.sequence)
                    self._done(cursor)
        finally:
            keep_cursor(self._database, self._webhook, self._cursor)

    async def _pages(self) -> AsyncIterator[tuple[int, list[LiveEvent]]]:
        """Events above the cursor, from the record as far as the ring does not reach; for ever."""
        ring, scope = self._listeners.ring, self._channel.scope
        while True:
            async for cursor, events in self._listeners.history(scope, self._cursor):
                yield cursor, events
            # of a record that was replaced nothing is sent twice: it is waited until it is as long again
            while self._cursor >= ring.floor_of(scope) and (events := list(ring.after(self._cursor))):
                yield events[-1].sequence, events
            self._done(self._cursor)
            # nothing is in the record that is not here yet
            if self._cursor >= ring.floor_of(scope):
                await ring.wait()

    async def _deliver(self, event: LiveEvent, text: bytes) -> bool:
        """Until it is there or refused; returns False once nothing more is to be sent."""
        body, refusals, pause = self._body(event, text), 0, RETRY_SECONDS
        for _ in range(MAX_TRIES_AWAY):
            outcome, reason = await self._try(event.sequence, body)
            match outcome:
                case Outcome.ARRIVED:
                    return True
                case Outcome.GONE:
                    break
                case Outcome.REFUSED:
                    refusals += 1
                    if refusals == MAX_TRIES_REFUSED:
                        return self._bury(event.sequence, reason)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - so that not all come at once
            pause = min(2 * pause, MAX_RETRY_SECONDS)
        # [API] A receiver that is gone, or away for all tries, is sent nothing until the operator resumes it.
        suspend_webhook(self._database, self._webhook, reason)
        _log.warning("a webhook is suspended", webhook=self._webhook.id, label=self._webhook.label, why=reason)
        return False

    def _bury(self, sequence: int, reason: str) -> bool:
        # [API] What a receiver refuses MAX_TRIES_REFUSED times is kept as a dead letter, and the next one is sent.
        if bury(self._database, self._webhook, sequence, reason, now_ms()) < MAX_DEAD_LETTERS:
            return True
        suspend_webhook(self._database, self._webhook, f"it refused {MAX_DEAD_LETTERS} events")
        return False

    async def _send_dead_again(self) -> None:
        for letter in dead_letters(self._database, self._webhook.id):
            if not letter.again:
                continue
            feed, scope = self._listeners.feed, self._channel.scope
            events = await asyncio.to_thread(read_history, feed, letter.sequence - 1, letter.sequence, scope)
            for event, text in self._channel.take(events):
                outcome, reason = await self._try(event.sequence, self._body(event, text))
                if outcome is Outcome.ARRIVED:
                    unbury(self._database, self._webhook, letter.sequence)
                else:
                    bury(self._database, self._webhook, letter.sequence, reason, now_ms())

    async def _try(self, sequence: int, body: bytes) -> tuple[Outcome, str]:
        outcome, reason = await self._post(sequence, body)
        self._listeners.metrics.tries.labels(outcome.value).inc()
        return outcome, reason

    async def _post(self, sequence: int, body: bytes) -> tuple[Outcome, str]:
        # [API] Every try of an event has the same `webhook-id`, so that its receiver can tell.
        webhook_id, timestamp_s = f"{self._webhook.id}.{sequence}", now_ms() // 1_000
        headers = {
            "content-type": MEDIA_TYPE,
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign_webhook(self._webhook.secret, webhook_id, timestamp_s, body),
        }
        try:
            status = await post(self._client, self._reach, self._webhook.url, body, headers)
        except NotAllowed as exc:
            return Outcome.GONE, str(exc)
        # ValueError: a name or number in the address that no connection can be made with
        except (OSError, TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
            return Outcome.AWAY, f"no answer: {type(exc).__name__}"
        if 200 <= status < 300:
            return Outcome.ARRIVED, ""
        if status == _GONE:
            return Outcome.GONE, f"answered {status}"
        refused = 400 <= status < 500 and status not in _AWAY
        return (Outcome.REFUSED if refused else Outcome.AWAY), f"answered {status}"

    def _body(self, event: LiveEvent, text: bytes) -> bytes:
        """A CloudEvent (1.0, JSON) around what a listener would hear."""
        at = datetime.fromtimestamp(event.at_ms / 1_000, UTC)
        head = {
            "specversion": "1.0",
            "id": str(event.sequence),
            "source": self._origin,
            "type": f"tocsin.{event.kind.value}",
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
        }
        return json.dumps(head)[:-1].encode() + b', "data": ' + text + b"}"

    def _done(self, cursor: int) -> None:
        """Remember where it is, now and then: what comes twice after a crash has the same id."""
        self._cursor = max(self._cursor, cursor)
        now = asyncio.get_running_loop().time()
        if now - self._saved_at >= SAVE_SECONDS:
            self._saved_at = now
            with suppress(sqlite3.OperationalError):
                keep_cursor(self._database, self._webhook, self._cursor)
