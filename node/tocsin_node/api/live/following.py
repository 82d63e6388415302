"""What runs beside the requests for as long as the feed does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from ..context import Feed
from .delivering import Deliverer
from .follower import Follower
from .listeners import Listeners

RESTART_SECONDS = 1.0

_log = structlog.get_logger("tocsin.feed")


@asynccontextmanager
async def run_following(feed: Feed, listeners: Listeners) -> AsyncIterator[None]:
    """Follow the record meanwhile."""
    follower = Follower(feed, listeners.ring)
    follower.start()
    tasks = [asyncio.create_task(listeners.keep_waking()), asyncio.create_task(_deliver(listeners))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await follower.stop()


async def _deliver(listeners: Listeners) -> None:
    while True:
        try:
            await Deliverer(listeners).run()
        # whatever it is: nobody else would begin to deliver again
        except Exception as exc:  # noqa: BLE001
            _log.error("webhooks cannot be delivered now", exc_info=exc)
        await asyncio.sleep(RESTART_SECONDS)
