"""Drills: a drill signal, our own or a peer's, sets off the hooks for drills; how long that took is signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import structlog
import trio
from tocsin_protocol.admission import Reason
from tocsin_protocol.containment.life_cycle import Event, State
from tocsin_protocol.freshness import MAX_CLOCK_SKEW_MS, actionable_until_ms
from tocsin_protocol.taxonomy import Category

from tocsin_node.hooks.hook import Hook
from tocsin_node.store.actions import find_action
from tocsin_node.store.arrivals import Filed, Path
from tocsin_node.store.decisions import Decided
from tocsin_node.store.drills import DrillOrder, begin_drill, end_drill, open_drills
from tocsin_node.store.writer import Store

from .acting import Acting
from .brake import Brake
from .metrics import Metrics

# Each costs a peer's drill nothing and us gas: a member who drills all day gets one answer an hour.
PEER_GAP_MS = 60 * 60 * 1000
MAX_WAITING_DRILLS = 16
POLL_SECONDS = 0.1

_log = structlog.get_logger("tocsin.drills")


class Drills:
    """Takes drill signals to the drill hooks; without such hooks it does nothing."""

    def __init__(
        self,
        store: Store,
        acting: Acting,
        brake: Brake,
        hooks: Mapping[str, Hook],
        secret: bytes,
        *,
        answer_peers: bool,
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._acting = acting
        self._brake = brake
        self._hooks = hooks
        self._secret = secret
        self._answer_peers = answer_peers
        self._metrics = metrics
        self._now_ms = now_ms
        self._send, self._receive = trio.open_memory_channel[DrillOrder](MAX_WAITING_DRILLS)

    def filed(self, filed: Filed, path: Path) -> None:
        """Find the drills in a batch that was stored."""
        now_ms = self._now_ms()
        for opened in filed.stored:
            signal = opened.signal
            if not self._hooks or signal is None or opened.standing is not Reason.DRILL:
                continue
            # [DRILL] Only a signal of category meta.drill sets off drill hooks, and only while it is fresh.
            if signal.category is not Category.META_DRILL or now_ms >= actionable_until_ms(signal):
                continue
            # [DRILL] A drill from the future by more than MAX_CLOCK_SKEW_MS sets off nothing.
            if signal.issued_ms > now_ms + MAX_CLOCK_SKEW_MS:
                continue
            is_own = opened.envelope.publisher == self._store.publisher
            # [DRILL] A peer's drill sets off nothing unless the operator said so.
            if not is_own and not self._answer_peers:
                continue
            order = DrillOrder(opened.envelope.digest, opened.envelope.publisher, signal, 0 if is_own else PEER_GAP_MS)
            try:
                self._send.send_nowait(order)
            except trio.WouldBlock:
                self._metrics.dropped.labels("drill").inc()

    async def run_drills(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Measure what an earlier run left, then do every drill as it comes."""
        task_status.started()
        left = await self._store.writer.submit(open_drills)
        async with trio.open_nursery() as nursery:
            for action_id in left:
                nursery.start_soon(self._measure, action_id)
            async for order in self._receive:
                try:
                    await self._begin(order, nursery)
                except Exception:  # noqa: BLE001 - a drill that fails must not end the node it is to test
                    _log.exception("a drill could not be begun")

    async def _begin(self, order: DrillOrder, nursery: trio.Nursery) -> None:
        if self._brake.holding:
            _log.warning("no drill while nothing may be armed", why=list(self._brake.holding.values()))
            return
        begin = partial(begin_drill, order=order, hooks=self._hooks, now_ms=self._now_ms())
        actions = await self._store.writer.submit(begin)
        if actions:
            # Handed over as a decision's actions are: from here on a drill goes the way of all actions.
            decided = Decided(actions[0].incident_id, "a drill", tuple(actions))
            self._acting.start(Filed(decided=[decided]), Path.OWN)
            for action in actions:
                nursery.start_soon(self._measure, action.action_id)

    async def _measure(self, action_id: bytes) -> None:
        """Wait until an action is settled, sign what was measured, and let it be over."""
        try:
            while True:
                action = await self._store.writer.submit(partial(find_action, action_id=action_id))
                if action is None or action.is_settled or action.state is State.UNKNOWN:
                    break
                await trio.sleep(POLL_SECONDS)
            end = partial(
                end_drill,
                secret=self._secret,
                node=self._store.publisher,
                action_id=action_id,
                now_ms=self._now_ms(),
            )
            await self._store.writer.submit(end)
            if action is not None and action.state is State.EFFECTIVE:
                await self._acting.record(action_id, Event.LIFT, {"reason": "a drill has no effect"})
        except Exception:  # noqa: BLE001 - as above; the next start measures what is left
            _log.exception("a drill could not be measured", action=action_id)
