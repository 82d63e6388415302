"""Running actions to their end: every intent on disk has a task, in this run or the next.

An action whose outcome is not known is looked at again for as long as the node runs, and after every restart: what
the chain says ends it, or people do, and no number of looks without an answer says that nothing happened. It waits at
most LONGEST_RETRY_SECONDS between two looks. Past its deadline nothing is sent but what was in a block before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import structlog
import trio
from tocsin_protocol.containment.action import Action, Detail
from tocsin_protocol.containment.ledger import LedgerMark
from tocsin_protocol.containment.life_cycle import Event, State

from tocsin_node.hooks.hook import Hook
from tocsin_node.never_touch import NeverTouch
from tocsin_node.store.actions import (
    FIRST_STEPS,
    append_event,
    find_action,
    read_in_block,
    read_open_actions,
    read_signed,
)
from tocsin_node.store.arrivals import Filed, Path
from tocsin_node.store.ledger import read_mark
from tocsin_node.store.writer import Connection, Store

from .brake import Brake
from .ledger import Ledger
from .metrics import Metrics

# What a hook left open (outcome not known, or a fault of ours) is taken up again after this, doubling.
FIRST_RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 60.0
MAX_WAITING_ACTIONS = 1024
# A hook watches its block until it is final, an hour at most; what is younger is watched again after a restart.
WATCHED_AGAIN_MS = 3_600_000

_ENDED_BY = {State.LAPSED: Event.LAPSE, State.REFUSED: Event.REFUSE}

_log = structlog.get_logger("tocsin.acting")


class Acting:
    """Starts a task for each action, and is the journal that the hooks write to."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        brake: Brake,
        never: NeverTouch,
        hooks: Mapping[str, Hook],
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._brake = brake
        self._never = never
        self._hooks = hooks
        self._metrics = metrics
        self._now_ms = now_ms
        self._send, self._receive = trio.open_memory_channel[Action](MAX_WAITING_ACTIONS)
        self._pursued: set[bytes] = set()

    async def record(self, action_id: bytes, event: Event, detail: Detail) -> Action:
        """Journal.record: the event is on disk when this returns."""
        now_ms = self._now_ms()
        if event in FIRST_STEPS:
            await self._brake.look()
        append = partial(self._append, action_id=action_id, event=event, detail=detail, now_ms=now_ms)
        after, mark = await self._store.writer.submit(append)
        # [LEDGER] The anchor tells of an action's first step once that is durable, and before its first bytes go out.
        if event in FIRST_STEPS and not after.is_settled:
            await self._ledger.reach(action_id, mark)
        # A step that the operator has taken back is recorded as a lapse, one that he has forbidden as a refusal.
        recorded = _ENDED_BY.get(after.state, event)
        self._metrics.outcomes.labels(recorded.value).inc()
        _log.info("action", action=action_id, hook=after.hook, event_of=recorded.value, state=after.state.value)
        # An approval that was granted, or a block that was taken back, is work for a hook that was not at it.
        self._take_up(after)
        return after

    def _append(
        self, connection: Connection, action_id: bytes, event: Event, detail: Detail, now_ms: int
    ) -> tuple[Action, LedgerMark]:
        action = find_action(connection, action_id) if event in FIRST_STEPS else None
        # The config may have changed since an earlier run made the intent.
        if action is not None and action.is_unsigned and (why := self._never.bars(action.target, action.payload)):
            event, detail = Event.REFUSE, {"reason": why}
        return append_event(connection, action_id, event, detail, now_ms), read_mark(connection)

    def start(self, filed: Filed, path: Path) -> None:
        """Take up the actions that a batch set off."""
        for decided in filed.decided:
            for action in decided.actions:
                self._take_up(action)

    def granted(self, action: Action) -> None:
        """Take up an action that the operators have approved just now."""
        self._metrics.outcomes.labels(Event.GRANT.value).inc()
        _log.info("action", action=action.action_id, hook=action.hook, event_of="grant", state=action.state.value)
        self._take_up(action)

    async def run_acting(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take up what an earlier run left, then run every new action at once; nothing while the ledger is in doubt."""
        if not self._ledger.confirmed.is_set():
            task_status.started()
            await self._ledger.confirmed.wait()
            task_status = trio.TASK_STATUS_IGNORED
        since_ms = self._now_ms() - WATCHED_AGAIN_MS
        open_actions, in_block, signed = await self._store.writer.submit(
            lambda connection: (
                read_open_actions(connection),
                read_in_block(connection, since_ms),
                read_signed(connection),
            )
        )
        for action in (*open_actions, *signed):
            if action.hook in self._hooks:
                self._hooks[action.hook].claim(action)
        async with trio.open_nursery() as nursery:
            for action in open_actions:
                self._take_up(action)
            for action in in_block:
                nursery.start_soon(self._watch_again, action)
            task_status.started()
            async for action in self._receive:
                nursery.start_soon(self._run, action)

    def _take_up(self, action: Action) -> None:
        """Have an action pursued that has work for its hook, unless it is being pursued."""
        if action.is_settled or action.state is State.AWAITING_APPROVAL or action.action_id in self._pursued:
            return
        # Never full in practice: one action per hook and arm epoch. The next start takes up what did not fit.
        try:
            self._send.send_nowait(action)
        except trio.WouldBlock:
            _log.error("too many actions at once; restart the node to take this one up", action=action.action_id)
        else:
            self._pursued.add(action.action_id)

    async def _run(self, action: Action) -> None:
        try:
            await self._pursue(action)
        finally:
            self._pursued.discard(action.action_id)
            self._ledger.forget(action.action_id)
        try:
            # A reorg may have been told of while the hook was ending.
            self._take_up(await self._read(action))
        except Exception:  # noqa: BLE001 - a fault of the store must not stop the node; the next start takes it up
            _log.exception("an action could not be read again", action=action.action_id)

    async def _watch_again(self, action: Action) -> None:
        """Have a hook look at a block that an earlier run left before it was final: it starts its watch."""
        hook = self._hooks.get(action.hook)
        if hook is None:
            return
        try:
            await hook.run(action, self)
        except Exception:  # noqa: BLE001 - a hook's fault must not stop the node; the effect is there all the same
            _log.exception("an action's block could not be watched", hook=action.hook, action=action.action_id)

    async def _pursue(self, action: Action) -> None:
        hook = self._hooks.get(action.hook)
        if hook is None:
            _log.error("an open action's hook is not configured any more", hook=action.hook, action=action.action_id)
            return
        retry_seconds = FIRST_RETRY_SECONDS
        is_again = False
        while not action.is_settled:
            try:
                # What another run has left is read anew: to go on from an older state could mean a second effect.
                action = await self._read(action) if is_again else action
                if not action.is_settled:
                    # What was signed before a fault is sent at once by the next run.
                    if is_again and not action.is_unsigned:
                        mark = await self._store.writer.submit(read_mark)
                        await self._ledger.reach(action.action_id, mark)
                    action = await hook.run(action, self)
            except Exception:  # noqa: BLE001 - a hook's fault must not stop the node; the journal says where it stands
                _log.exception("hook failed", hook=action.hook, action=action.action_id)
                self._metrics.dropped.labels("hook-fault").inc()
            if not action.is_settled:
                await trio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, LONGEST_RETRY_SECONDS)
                is_again = True

    async def _read(self, action: Action) -> Action:
        stored = await self._store.writer.submit(partial(find_action, action_id=action.action_id))
        return stored or action
