"""What time does to actions: an effect near its end is looked at and told of, and what nobody approved lapses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog
import trio
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import State

from tocsin_node.hooks.hook import Hook
from tocsin_node.store.actions import end_due, lapse_unapproved, read_due
from tocsin_node.store.tracks import read_opening
from tocsin_node.store.writer import Connection, Store

from .metrics import Metrics

# Far less than the notice that an end is given.
EXPIRY_POLL_SECONDS = 10.0
# What the chain has not told by then is not known.
EFFECT_LOOK_SECONDS = 10.0
# Effects that one look asks the chain about. Of any more, people are told, and say themselves when they are lifted.
MAX_EFFECTS_LOOKED_AT = 64

_log = structlog.get_logger("tocsin.expiry")


class Expiry:
    """Looks at every effect whose end is near: lifted where the chain says so, an alarm where it does not."""

    def __init__(self, store: Store, hooks: Mapping[str, Hook], metrics: Metrics, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._hooks = hooks
        self._metrics = metrics
        self._now_ms = now_ms

    async def run_expiry(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look again and again, for as long as the node runs."""
        task_status.started()
        while True:
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - a fault of one look must not end the node; the next look finds the same
                _log.exception("what is due could not be looked at")
                self._metrics.dropped.labels("expiry-fault").inc()
            await trio.sleep(EXPIRY_POLL_SECONDS)

    async def look(self) -> None:
        """One look at what is near its end, and at what nobody approved."""
        now_ms = self._now_ms()
        due = await self._store.writer.submit(partial(read_due, now_ms=now_ms))
        over = await self._find_over(due[:MAX_EFFECTS_LOOKED_AT])

        def end(connection: Connection) -> list[Action]:
            # [ACT] What an approved step is about to lift is lifted with that step, when it counts as made.
            return end_due(connection, over - read_opening(connection), now_ms)

        for action in await self._store.writer.submit(end):
            self._tell(action, "lift" if action.state is State.LIFTED else "expire")
        for action in await self._store.writer.submit(partial(lapse_unapproved, now_ms=now_ms)):
            self._tell(action, "lapse")

    async def _find_over(self, actions: Sequence[Action]) -> frozenset[bytes]:
        """Those of which their hooks say that the effect is not there any more."""
        over = set()

        async def ask(action: Action) -> None:
            hook = self._hooks.get(action.hook)
            if hook is None:
                return
            try:
                with trio.move_on_after(EFFECT_LOOK_SECONDS):
                    if await hook.read_effect(action) is False:
                        over.add(action.action_id)
            except Exception:  # noqa: BLE001 - a hook's fault must not stop the others; then it is not known
                _log.exception("an effect could not be looked at", hook=action.hook, action=action.action_id)

        async with trio.open_nursery() as nursery:
            for action in actions:
                nursery.start_soon(ask, action)
        return frozenset(over)

    def _tell(self, action: Action, event: str) -> None:
        self._metrics.outcomes.labels(event).inc()
        _log.warning("time", action=action.action_id, hook=action.hook, event_of=event, why=action.reason)
