"""Writing the log's head to a chain now and then, by a key, a sender and a spend cap of its own.

It never stands in the way of containment: nothing waits for it, and it makes room while an action is under way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog
import trio
from tocsin_protocol.containment.action import Action, Detail, SignedTransaction
from tocsin_protocol.containment.life_cycle import Event, State
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.log.anchor import decode_anchor, encode_anchor
from tocsin_protocol.log.checkpoint import Checkpoint, read_origin

from tocsin_node.chain.errors import CapReached, RpcUnavailable
from tocsin_node.chain.sender import Sender
from tocsin_node.hooks.hook import Check
from tocsin_node.hooks.probing import probe_endpoints, probe_gas
from tocsin_node.hooks.pursuit import NonceUsed, Pursuit, sign_detail
from tocsin_node.store.anchors import (
    Trouble,
    append_anchor_event,
    begin_anchor,
    is_acting,
    raise_trouble,
    read_open_anchor,
    read_signed_anchors,
    read_unanchored,
)
from tocsin_node.store.record import read_generation
from tocsin_node.store.writer import Connection, Store

from .metrics import Metrics

# Between two looks at whether an anchor is due, and whether it has to make room for an action.
LOOK_SECONDS = 1.0
# After something was in the way.
RETRY_SECONDS = 60.0
# A block is watched until it is final, an hour at most; an anchor that is younger is watched again after a restart.
WATCHED_AGAIN_MS = 3_600_000

_log = structlog.get_logger("tocsin.anchor")


class Anchoring:
    """Anchors the log each `interval_ms` where it has grown, one transaction at a time."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        interval_ms: int,
        may_show: Callable[[], bool],
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._sender = sender
        self._chain = sender.client.config.chain
        self._account = sender.guardian.address
        self._interval_ms = interval_ms
        self._may_show = may_show
        self._metrics = metrics
        self._now_ms = now_ms
        self._last_ms = 0
        self._anchored = 0
        self._is_recalled = False
        metrics.gauge("tocsin_anchored_entries", "Entries of the log that a chain vouches for.", lambda: self._anchored)

    async def probe(self) -> tuple[Check, ...]:
        """Look at what the next anchor needs."""
        return (
            await probe_endpoints(self._sender.client),
            await probe_gas(self._sender.client, self._account, "anchors"),
        )

    async def find_unknown(self) -> str:
        """Why the chain may hold anchors that our database does not know, or nothing; raises RpcUnavailable."""
        read = partial(read_signed_anchors, chain=self._chain, account=self._account)
        anchors = await self._store.writer.submit(read)
        known = max((sent.nonce for anchor in anchors for sent in anchor.transactions), default=-1) + 1
        found = (await self._sender.prepare(self._account, b"")).quote.nonce
        if found <= known:
            return ""
        return f"{self._account} has sent {found - known} transactions on {self._chain} that the database does not know"

    async def record(self, action_id: bytes, event: Event, detail: Detail) -> Action:
        """Journal.record: the event is on disk when this returns."""
        append = partial(append_anchor_event, anchor_id=action_id, event=event, detail=detail, now_ms=self._now_ms())
        after = await self._store.writer.submit(append)
        self._metrics.anchors.labels(event.value).inc()
        self._note_anchored(after)
        _log.info("anchor", chain=self._chain, event_of=event.value, state=after.state.value, why=after.reason)
        return after

    async def run_anchoring(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take up what an earlier run left, then anchor when it is time, until cancelled."""
        task_status.started()
        while True:
            try:
                is_clear = await self._try()
            except Exception:  # noqa: BLE001 - the log is not anchored for a while: no reason to end the node
                _log.exception("anchoring failed")
                is_clear = False
            await trio.sleep(LOOK_SECONDS if is_clear else RETRY_SECONDS)

    async def _try(self) -> bool:
        """Do what is due; False where something is in the way, which is told then."""
        try:
            if not self._is_recalled:
                await self._recall()
                self._is_recalled = True
            await self._step()
        except (CapReached, RpcUnavailable, ProtocolError) as exc:
            await self._tell(exc)
            return False
        return True

    async def _recall(self) -> None:
        """Take in what earlier runs have signed: its nonces, its cost, and the blocks that are not final yet."""
        anchors = await self._store.writer.submit(
            partial(read_signed_anchors, chain=self._chain, account=self._account)
        )
        now_ms = self._now_ms()
        for anchor in anchors:
            self._sender.recall(anchor.transactions, (now_ms - anchor.created_ms) / 1_000)
            if anchor.block_hash is not None:
                self._sender.note_mined(anchor.transactions[0].nonce)
                if anchor.is_settled and now_ms - anchor.created_ms < WATCHED_AGAIN_MS:
                    self._pursuit().watch(anchor)
            self._note_anchored(anchor)
        self._last_ms = max((anchor.created_ms for anchor in anchors), default=0)

    def _note_anchored(self, anchor: Action) -> None:
        if anchor.state is State.EFFECTIVE:
            self._anchored = max(self._anchored, decode_anchor(anchor.payload).size)

    async def _step(self) -> None:
        is_busy, anchor = await self._store.writer.submit(
            lambda connection: (is_acting(connection), read_open_anchor(connection, self._chain, self._account))
        )
        # [LOG] While an action is under way, no anchor is signed or sent; one that was sent is left to itself.
        if is_busy:
            return
        if anchor is not None:
            # [LOG] What a crash left of an anchor is looked for on chain first, and sent again where it is not there.
            await self._pursue(anchor, is_fresh=False)
        # A clock that was set back must not keep the log from being anchored for years.
        elif not 0 <= self._now_ms() - self._last_ms < self._interval_ms and not await self._find_dropped():
            await self._begin()

    async def _find_dropped(self) -> bool:
        """Whether anchors were dropped by a reorg that no watch has seen; they are sent again before any other."""
        read = partial(read_signed_anchors, chain=self._chain, account=self._account)
        is_dropped = False
        for anchor in await self._store.writer.submit(read):
            if anchor.state is not State.EFFECTIVE:
                continue
            outlook = await self._sender.look(anchor.transactions)
            if outlook.answered < self._sender.client.config.witnesses:
                raise RpcUnavailable(f"{outlook.answered} endpoints answer")
            # [LOG] Before the next anchor the last one is looked for in its block; dropped ones are sent again.
            if any(claim.block_hash == anchor.block_hash for claim in outlook.claims):
                break
            reason = {"reason": f"block {anchor.block_number} was replaced, and nobody watched it any more"}
            await self.record(anchor.action_id, Event.REORG, reason)
            is_dropped = True
        return is_dropped

    async def _begin(self) -> None:
        # [LOG] A head that may not be shown to others is not anchored: the node might be on an older copy.
        if not self._may_show():
            return
        # [LOG] A log that does not agree with itself is not anchored.
        if self._store.record.fault:
            raise ProtocolError(self._store.record.fault)
        head = await self._store.writer.submit(partial(read_unanchored, key=self._store.record.key, chain=self._chain))
        if head is None:
            return
        calldata = encode_anchor(head)
        # That there is no contract is no objection: the data is the message, and nobody is called.
        preparation = await self._sender.prepare(self._account, calldata)
        # [LOG] An anchor goes from its key's account to itself, with a spend cap for each day of its own.
        signed = self._sender.sign_first(self._account, calldata, preparation.quote)
        anchor = await self._store.writer.submit(partial(self._write, head=head, signed=signed))
        if anchor is None:
            return
        self._last_ms = anchor.created_ms
        await self._pursue(anchor, is_fresh=True)

    def _write(self, connection: Connection, head: Checkpoint, signed: SignedTransaction) -> Action | None:
        """None where an action began while the chain was asked, or our log came to be shown no more under that name."""
        log = read_origin(head.origin)
        is_ours = log is None or log.generation == read_generation(connection)
        if is_acting(connection) or not self._may_show() or not is_ours:
            return None
        return begin_anchor(connection, head, self._account, self._chain, signed, sign_detail(signed), self._now_ms())

    def _pursuit(self) -> Pursuit:
        # An anchor never grows too old: a chain that takes it late takes it all the same.
        return Pursuit(self._sender, self._account, self, lambda _: True)

    async def _pursue(self, anchor: Action, *, is_fresh: bool) -> None:
        """Follow an anchor to its end, or until an action needs the room; the next look takes it up again."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._make_room, nursery.cancel_scope)
            try:
                after = await self._pursuit().run(anchor, is_fresh=is_fresh)
                _log.info("anchor is left", chain=self._chain, state=after.state.value)
            except NonceUsed as exc:
                await self.record(anchor.action_id, Event.FAIL, {"reason": str(exc)})
            nursery.cancel_scope.cancel()

    async def _make_room(self, scope: trio.CancelScope) -> None:
        while not await self._store.writer.submit(is_acting):  # noqa: ASYNC110 - what is waited for is on disk
            await trio.sleep(LOOK_SECONDS)
        scope.cancel()

    async def _tell(self, exc: Exception) -> None:
        cause = Trouble.LOG
        if isinstance(exc, CapReached):
            cause = Trouble.SPEND
        elif isinstance(exc, RpcUnavailable):
            cause = Trouble.ENDPOINTS
        note = partial(raise_trouble, cause=cause, chain=self._chain, why=str(exc), now_ms=self._now_ms())
        if await self._store.writer.submit(note):
            _log.warning("the log is not anchored", chain=self._chain, cause=cause.value, why=str(exc))
