"""Following signed bytes until their receipt has held: send, look, send again, for more when that does not help."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import outcome
import structlog
import trio
from tocsin_protocol.containment.action import Action, SignedTransaction
from tocsin_protocol.containment.life_cycle import Event, State

from tocsin_node.chain.broadcasts import Broadcast, Sending
from tocsin_node.chain.errors import CapReached, RpcUnavailable
from tocsin_node.chain.finality import wait_final
from tocsin_node.chain.preflight import read_revert
from tocsin_node.chain.receipts import Outlook, Receipt, Standing
from tocsin_node.chain.sender import Sender

from .hook import Journal
from .refusals import explain

RETRY_MIN_MS = 50
"""First wait after a failed exchange; doubles up to `rebroadcast_ms`."""
MAX_REORGS = 32
"""Times one run follows its transaction out of a block; beyond, the chain is no witness and the outcome unknown."""
MAX_REFUSALS = 5
"""Times in a row that every endpoint firmly refuses the bytes before the action has failed."""

_log = structlog.get_logger("tocsin.pursuit")


def sign_detail(signed: SignedTransaction) -> dict[str, int | str | bytes]:
    """The detail of a SIGN event."""
    return {
        "raw": signed.raw,
        "hash": signed.hash,
        "nonce": signed.nonce,
        "max_fee_wei": signed.max_fee_wei,
        "priority_fee_wei": signed.priority_fee_wei,
    }


def _is_noted(action: Action, receipts: Iterable[Receipt]) -> bool:
    """Whether one of these is the receipt that the action was included by."""
    return any((item.block_hash, item.hash) == (action.block_hash, action.included_hash) for item in receipts)


class NonceUsed(Exception):
    """The nonce of the action went to another transaction: ours can never be mined."""


@dataclass(slots=True)
class _Timing:
    """Times on trio's clock, in seconds."""

    give_up_at: float
    send_at: float
    public_at: float
    bump_at: float
    poll_s: float
    resend_s: float


class Pursuit:
    """Follows one signed action until its receipt has held."""

    def __init__(self, sender: Sender, address: str, journal: Journal, may_send: Callable[[Action], bool]) -> None:
        self._sender = sender
        self._config = sender.client.config
        self._address = address
        self._journal = journal
        self._may_send = may_send
        self._reorgs = 0
        self._refusals = 0
        # Since when each look finds the nonce used by another. It must last: endpoints count before they show receipts.
        self._nonce_used_at: float | None = None
        self._is_accepted = False
        self._is_underpriced = False
        self._refusal = ""
        self._cap = ""
        self._timing = self._start_timing()

    async def run(self, action: Action, *, is_fresh: bool) -> Action:
        """Return the settled action, or one in UNKNOWN; raises NonceUsed."""
        # [SEND] What a crash left behind is looked for on chain first; then the same bytes are sent, and no others.
        self._is_accepted = not is_fresh
        if is_fresh:
            # [SEND] Private relays alone have it for a bounded time, or until they refuse; then every endpoint.
            if self._sender.client.relays:
                self._timing.public_at = trio.current_time() + self._config.private_ms / 1_000
            action, outlook = await self._send_first(action)
        else:
            outlook = await self._sender.look(action.transactions)
        while not action.is_settled:
            action = await self._follow(action, outlook)
            if action.is_settled:
                break
            if self._reorgs > MAX_REORGS or trio.current_time() >= self._timing.give_up_at:
                return await self._lose(action, outlook)
            await trio.sleep(self._timing.poll_s)
            self._timing.poll_s = min(self._timing.poll_s * 2, self._config.poll_max_ms / 1_000)
            outlook = await self._sender.look(action.transactions)
        self.watch(action)
        return action

    def watch(self, action: Action) -> None:
        """Go on in the background until the block that an action is in is final, where it is in one."""
        client = self._sender.client
        # While the node ends, a watch is left to its next start.
        if action.block_hash is not None and not client.is_closing and self._sender.begin_watch(action.action_id):
            client.nursery.start_soon(self._watch, action)

    async def _watch(self, action: Action) -> None:
        """Note it when the block is replaced after all: whoever keeps the journal then has the action pursued anew."""
        try:
            stays = await self._ask_final(action)
            if stays is False:
                await self._record(action, Event.REORG, reason=f"block {action.block_number} was replaced")
            elif stays is None:
                _log.warning("not final, and no longer watched", action=action.action_id, block=action.block_number)
        except Exception:  # noqa: BLE001 - the action was effective: a fault in watching it must not stop the chain
            _log.exception("watching until final failed", action=action.action_id)
        finally:
            self._sender.end_watch(action.action_id)

    async def _ask_final(self, action: Action) -> bool | None:
        if action.block_number is None or action.block_hash is None or action.included_hash is None:
            return None
        return await wait_final(self._sender.client, action.included_hash, action.block_number, action.block_hash)

    async def _follow(self, action: Action, outlook: Outlook) -> Action:
        if outlook.standing is not Standing.NONCE_USED:
            self._nonce_used_at = None
        if outlook.receipt is not None:
            action = await self._include(action, outlook.receipt)
            if outlook.standing is Standing.SETTLED:
                self._sender.note_mined(action.transactions[0].nonce)
                if outlook.receipt.is_success:
                    return await self._record(action, Event.CONFIRM, reason="")
                why = await self._explain_revert(action)
                return await self._record(action, Event.REVERT, reason=f"the transaction was mined and reverted: {why}")
            return action
        if action.state is State.INCLUDED:
            if outlook.answered >= self._config.witnesses and not _is_noted(action, outlook.claims):
                action = await self._leave_block(action)
            # [SEND] Until enough endpoints show the receipt, the bytes are sent again: one may invent a receipt.
            elif trio.current_time() >= self._timing.send_at:
                self._sender.start_broadcast(action.transactions[-1])
                self._timing.send_at = trio.current_time() + self._config.rebroadcast_ms / 1_000
            return action
        if outlook.standing is Standing.NONCE_USED:
            # [SEND] An action whose nonce went to another, look after look, has failed; it never gets a second nonce.
            now = trio.current_time()
            self._nonce_used_at = now if self._nonce_used_at is None else self._nonce_used_at
            if now - self._nonce_used_at >= self._config.rebroadcast_ms / 1_000:
                self._sender.note_mined(action.transactions[0].nonce)
                raise NonceUsed(outlook.note)
            return action
        return await self._push(action, outlook)

    async def _explain_revert(self, action: Action) -> str:
        """Say why a call that was mined and reverted does so, as far as it still does."""
        try:
            refusal = await self._sender.find_refusal(self._address, action.payload)
        except RpcUnavailable as exc:
            return f"why is not known, {exc}"
        if refusal is None:
            return "the same call would go through now"
        revert = read_revert(refusal)
        return f"it reverts with {explain(revert)}" if revert else "it gives no reason, as where a function is missing"

    async def _include(self, action: Action, receipt: Receipt) -> Action:
        if action.state is State.INCLUDED:
            if _is_noted(action, (receipt,)):
                return action
            action = await self._leave_block(action)
        self._timing = self._start_timing()
        self._timing.send_at += self._config.rebroadcast_ms / 1_000
        return await self._journal.record(
            action.action_id,
            Event.INCLUDE,
            {"block_number": receipt.block_number, "block_hash": receipt.block_hash, "hash": receipt.hash},
        )

    async def _leave_block(self, action: Action) -> Action:
        self._reorgs += 1
        self._timing = self._start_timing()
        return await self._record(action, Event.REORG, reason=f"block {action.block_number} was replaced")

    async def _push(self, action: Action, outlook: Outlook) -> Action:
        """Send again when it is time, for more when that did not help."""
        # [SEND] Past its deadline an action is sent again only if it was in a block before.
        if not self._may_send(action):
            self._sender.release_nonce(action.action_id)
            self._refusal = "too old to be sent again"
            if action.state is not State.BROADCAST and outlook.answered >= self._config.witnesses:
                self._timing.give_up_at = trio.current_time()
            return action
        now = trio.current_time()
        if (
            (self._is_accepted or self._is_underpriced)
            and now >= self._timing.bump_at
            and action.state is not State.UNKNOWN
        ):
            action = await self._bump(action)
        if now >= self._timing.send_at or action.state is State.SIGNED:
            if self._is_accepted:
                await self._fill_gap(action)
            return await self._send(action)
        return action

    async def _fill_gap(self, action: Action) -> None:
        """What was accepted and is in no block may wait behind a nonce that nobody has."""
        try:
            filler = await self._sender.fill_gap(action.transactions[-1])
        except CapReached as exc:
            self._cap = str(exc)
            return
        if filler is not None:
            _log.warning("a nonce before ours was missing", action=action.action_id, nonce=filler.nonce)

    async def _send_first(self, action: Action) -> tuple[Action, Outlook]:
        """Send signed bytes, and look at once what became of them while the try is being noted."""
        noted: list[outcome.Outcome[Action]] = []
        looked: list[outcome.Outcome[tuple[Broadcast, Outlook]]] = []
        sending, in_private = self._start_sending(action)

        async def note() -> None:
            noted.append(await outcome.acapture(self._journal.record, action.action_id, Event.SEND, {}))

        async def wait_and_look() -> tuple[Broadcast, Outlook]:
            return await sending.wait(), await self._sender.look(action.transactions)

        # What either of them raises is raised as it is, not in a group.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note)
            looked.append(await outcome.acapture(wait_and_look))
        action = noted[0].unwrap()
        came, outlook = looked[0].unwrap()
        return await self._take(action, came, in_private=in_private), outlook

    async def _send(self, action: Action) -> Action:
        """Send signed bytes again, or others, and note the try meanwhile."""
        sending, in_private = self._start_sending(action)
        action = await self._journal.record(action.action_id, Event.SEND, {})
        return await self._take(action, await sending.wait(), in_private=in_private)

    def _start_sending(self, action: Action) -> tuple[Sending, bool]:
        """Begin to send the newest bytes to every endpoint, or to the private relays alone."""
        # SIGN is durable, so SEND may be noted meanwhile: after a crash in between, the receipts are looked at first.
        # After a refusal the one before it has its turn: a bump may ask for more than the guardian has.
        turn = self._refusals % len(action.transactions)
        in_private = trio.current_time() < self._timing.public_at
        return self._sender.start_broadcast(action.transactions[-1 - turn], in_private=in_private), in_private

    async def _take(self, action: Action, came: Broadcast, *, in_private: bool) -> Action:
        """Learn from what came of a broadcast."""
        now = trio.current_time()
        if came.is_accepted:
            self._is_accepted, self._refusals, self._refusal = True, 0, ""
            again_at = now + self._config.rebroadcast_ms / 1_000
            self._timing.send_at = min(again_at, self._timing.public_at) if in_private else again_at
            self._timing.poll_s = self._config.poll_min_ms / 1_000
            return action
        self._refusal = came.reason
        if in_private:  # no relay takes it: in public, then, and at once
            self._timing.public_at = self._timing.send_at = now
            return action
        self._timing.send_at = now + self._timing.resend_s
        self._timing.resend_s = min(self._timing.resend_s * 2, self._config.rebroadcast_ms / 1_000)
        self._is_underpriced = came.is_underpriced
        if came.is_underpriced:
            self._timing.bump_at = min(self._timing.bump_at, self._timing.send_at)
        self._refusals = self._refusals + 1 if came.is_refused_by_all else 0
        # [SEND] What every endpoint has refused firmly, time after time, has failed; other refusals end nothing.
        if self._refusals >= MAX_REFUSALS and not self._is_accepted:
            return await self._record(action, Event.FAIL, reason=f"every endpoint refuses it: {came.reason}")
        return action

    async def _bump(self, action: Action) -> Action:
        self._timing.bump_at = trio.current_time() + self._config.bump_ms / 1_000
        if len(action.transactions) > self._config.max_bumps:
            return action
        try:
            signed = await self._sender.sign_bump(self._address, action.payload, action.transactions[-1])
        except CapReached as exc:
            self._cap = str(exc)
            return action
        return await self._journal.record(action.action_id, Event.SIGN, sign_detail(signed))

    async def _lose(self, action: Action, outlook: Outlook) -> Action:
        if action.state is State.UNKNOWN:
            return action
        reason = "; ".join(text for text in (outlook.note, self._refusal, self._cap) if text)
        return await self._record(action, Event.LOSE, reason=f"outcome not known, asked again until it is: {reason}")

    async def _record(self, action: Action, event: Event, *, reason: str) -> Action:
        return await self._journal.record(action.action_id, event, {"reason": reason})

    def _start_timing(self) -> _Timing:
        now = trio.current_time()
        return _Timing(
            give_up_at=now + self._config.settle_ms / 1_000,
            send_at=now,
            public_at=now,
            bump_at=now + self._config.bump_ms / 1_000,
            poll_s=self._config.poll_min_ms / 1_000,
            resend_s=RETRY_MIN_MS / 1_000,
        )
