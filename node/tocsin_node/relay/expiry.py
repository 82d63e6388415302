"""What time alone does to actions: an effect near its end is told of, and what nobody approved lapses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog
import trio

from tocsin_node.store.actions import expire_due, lapse_unapproved
from tocsin_node.store.writer import STORE_ERRORS, Store

from .metrics import Metrics

# Far less than the notice that an end is given.
EXPIRY_POLL_SECONDS = 10.0

_log = structlog.get_logger("tocsin.expiry")


async def run_expiry(
    store: Store,
    metrics: Metrics,
    now_ms: Callable[[], int],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Raise the alarm about every effect whose end is near, and let lapse what was not approved in time."""
    task_status.started()
    while True:
        try:
            await _look(store, metrics, now_ms())
        except STORE_ERRORS:
            # The next look finds the same; a store that cannot write disarms the node, and does not end it.
            _log.exception("what is due could not be written")
        await trio.sleep(EXPIRY_POLL_SECONDS)


async def _look(store: Store, metrics: Metrics, now_ms: int) -> None:
    for action in await store.writer.submit(partial(expire_due, now_ms=now_ms)):
        metrics.outcomes.labels("expire").inc()
        _log.warning("an effect is near its end", action=action.action_id, hook=action.hook, ends_ms=action.ends_ms)
    for action in await store.writer.submit(partial(lapse_unapproved, now_ms=now_ms)):
        metrics.outcomes.labels("lapse").inc()
        _log.warning("nobody approved an action in time", action=action.action_id, hook=action.hook)
