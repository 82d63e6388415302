"""A call of the operator's own contract, with at most one effect whatever dies when.

The signed bytes are durable before they are sent, and every later transaction of the action has the same nonce.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import trio
from tocsin_protocol.containment.action import Action, Detail
from tocsin_protocol.containment.life_cycle import Event, State

from tocsin_node.chain.client import Answer as Said
from tocsin_node.chain.errors import CapReached, RpcUnavailable
from tocsin_node.chain.preflight import Objection
from tocsin_node.chain.sender import Preparation, Sender
from tocsin_node.clock import now_ms as read_clock

from .call import ContractCall
from .config import ContractHookConfig
from .hook import Check, Journal, Occasion, Proposal
from .probing import probe_call
from .pursuit import RETRY_MIN_MS, NonceUsed, Pursuit, sign_detail
from .reading import ask_agreed
from .refusals import IN_EFFECT, describe
from .routes import DirectRoute, NeverError, NotYetError, Route, sent_calldata

TOO_OLD = "too old to be sent"


class EvmHook:
    """One function of one contract. Hooks with the same guardian and chain share one sender."""

    def __init__(
        self,
        config: ContractHookConfig,
        sender: Sender,
        now_ms: Callable[[], int] = read_clock,
        route: Route | None = None,
    ) -> None:
        self._config = config
        self._sender = sender
        self._now_ms = now_ms
        self._route = route or DirectRoute(config.contract)
        self._call = ContractCall(config, sender.guardian.address)

    @property
    def name(self) -> str:
        """Its name in the config."""
        return self._config.name

    @property
    def target(self) -> str:
        """The contract as a CAIP-10 account."""
        return self._config.target

    @property
    def ends_after_minutes(self) -> int | None:
        """After how many minutes the contract ends the effect by itself."""
        return self._config.ends_after_minutes

    def payload(self, occasion: Occasion) -> bytes:
        """Return what is to be sent, or to be signed by a Safe's owners; nothing where an argument is not known."""
        calldata = self._call.encode(occasion)
        return b"" if calldata is None else self._route.wrap(calldata)

    def undo(self, action: Action) -> Proposal | None:
        """Return the call that takes the effect back, for those who may make it."""
        return self._call.undo(self._route.unwrap(action.payload)) if action.payload else None

    async def probe(self) -> tuple[Check, ...]:
        """Ask the chain for everything that the call needs."""
        payload = self._route.wrap(self._call.encode_sample(self._now_ms()))
        checks = await probe_call(self._config, self._call, self._sender, self._route, payload, self._now_ms())
        return (*checks, *await self._route.probe(payload))

    def claim(self, action: Action) -> None:
        """Take in what a signed action may cost, and keep its nonce where it is used or may still be."""
        if not action.transactions:
            return
        nonce = action.transactions[0].nonce
        # When it was signed is not told here; it was before the deadline, unless a block was replaced.
        age_s = (self._now_ms() - action.deadline_ms) / 1_000
        if not self._sender.recall(action.transactions, age_s):
            return
        if action.is_settled and action.block_hash is not None:
            self._sender.note_mined(nonce)
        # One that is too old is not sent again: its nonce must not stand in the way of the next action.
        elif not action.is_settled and self._may_send(action):
            self._sender.hold_nonce(action.action_id, nonce)

    async def run(self, action: Action, journal: Journal) -> Action:
        """Drive the action to its end; UNKNOWN when the chain does not tell within `settle_ms`."""
        self.claim(action)
        try:
            is_fresh = action.is_unsigned
            if is_fresh:
                # Nothing signed is on disk, so none was sent: a nonce that was held for it would leave a gap.
                self._sender.release_nonce(action.action_id)
                action = await self._begin(action, journal)
            if action.is_settled and action.block_hash is None:
                return action
            action = await self._pursue(action, journal, is_fresh=is_fresh)
            return action
        finally:
            # What was signed and may still be sent keeps its nonce between two runs: no other action may race for it.
            if action.is_settled or not self._may_send(action):
                self._sender.release_nonce(action.action_id)

    async def _pursue(self, action: Action, journal: Journal, *, is_fresh: bool) -> Action:
        payload, sent = action.payload, sent_calldata(action)
        told = _EffectJournal(journal, self, action, sent)
        pursuit = Pursuit(self._sender, self._route.to, told, self._may_send)
        try:
            action = await pursuit.run(replace(action, payload=sent), is_fresh=is_fresh)
        except NonceUsed as used:
            reason = f"{used}; {await self._describe_effect(action)}"
            action = await journal.record(action.action_id, Event.FAIL, {"reason": reason})
        return replace(action, payload=payload)

    def _may_send(self, action: Action) -> bool:
        return action.was_included or self._now_ms() <= action.deadline_ms

    async def _begin(self, action: Action, journal: Journal) -> Action:
        """Take an intent to signed and durable, or to its end without an effect."""
        delay_ms, waited_for = RETRY_MIN_MS, ""
        refusal = self._call.refusal(action, self._now_ms())
        if refusal is not None:
            return await journal.record(action.action_id, Event.REFUSE, {"reason": refusal})
        while True:
            if self._now_ms() > action.deadline_ms:
                reason = f"{TOO_OLD}; {waited_for}" if waited_for else TOO_OLD
                return await journal.record(action.action_id, Event.LAPSE, {"reason": reason})
            try:
                calldata = await self._route.complete(action)
                async with self._sender.nonce_lock:
                    preparation, refusal = await self._look(action, calldata)
                    if self._now_ms() > action.deadline_ms:
                        continue
                    if refusal is None:
                        return await self._sign(action, calldata, preparation, journal)
            except NeverError as exc:
                refusal = str(exc)
            # A price above the cap may be one endpoint's invention, and fees fall again: it is asked for once more.
            except (RpcUnavailable, NotYetError, CapReached) as exc:
                waited_for = str(exc)
                # While people sign, others of them may have done it by hand.
                if isinstance(exc, NotYetError) and await self.read_effect(action):
                    reason = f"{IN_EFFECT}: {self._config.check} says so"
                    return await journal.record(action.action_id, Event.REFUSE, {"reason": reason})
                if action.state is State.PLANNED:
                    action = await journal.record(action.action_id, Event.CHECK, {"reason": f"waiting: {exc}"})
                left_ms = max(1, action.deadline_ms - self._now_ms() + 1)
                await trio.sleep(min(delay_ms, left_ms) / 1_000)
                delay_ms = min(delay_ms * 2, self._sender.client.config.rebroadcast_ms)
                continue
            return await journal.record(action.action_id, Event.REFUSE, {"reason": refusal})

    async def _look(self, action: Action, calldata: bytes) -> tuple[Preparation, str | None]:
        """Simulate and prepare, and meanwhile ask whether anything forbids it; raises RpcUnavailable."""
        obstacle: str | None = None
        preparation: Preparation | RpcUnavailable

        async def ask() -> None:
            nonlocal obstacle
            obstacle = await self._find_obstacle(action)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            try:
                preparation = await self._sender.prepare(self._route.to, calldata)
            except RpcUnavailable as exc:  # out of the nursery, which would make a group of it
                preparation = exc
        if isinstance(preparation, RpcUnavailable):
            raise preparation
        if obstacle is None and preparation.objection is not None:
            obstacle = _describe(preparation.objection)
        return preparation, obstacle

    async def _find_obstacle(self, action: Action) -> str | None:
        """Ask what else than a revert could forbid; as with those, one endpoint alone cannot."""
        own = self._route.questions(action.payload)
        is_told = self._route.tells_effect(self._config.function)
        questions = own if is_told else [*own, *self._call.questions(self._route.unwrap(action.payload))]
        if not questions:
            return None

        def read(said: Said) -> str | None:
            return self._read_obstacle(said.results[: len(own)], said.results[len(own) :])

        client = self._sender.client
        answers = await client.ask_until(lambda _: questions, lambda some: any(read(said) == "" for said in some))
        heard = [read(said) for said in answers]
        obstacles = [text for text in heard if text]
        return None if "" in heard or len(obstacles) < client.config.witnesses else obstacles[0]

    def _read_obstacle(self, own: Sequence[Any], checks: Sequence[Any]) -> str | None:
        """Return what one endpoint says is in the way, nothing where all is clear, None where it does not tell."""
        is_in_effect = self._call.is_in_effect(checks[0]) if checks else False
        # [HOOK] What is in effect already is not done again.
        if is_in_effect:
            return f"{IN_EFFECT}: {self._config.check} says so"
        obstacle = self._route.obstacle(own)
        return None if is_in_effect is None and obstacle == "" else obstacle

    async def _sign(self, action: Action, calldata: bytes, preparation: Preparation, journal: Journal) -> Action:
        signed = self._sender.sign_first(self._route.to, calldata, preparation.quote)
        self._sender.hold_nonce(action.action_id, signed.nonce)
        return await journal.record(action.action_id, Event.SIGN, sign_detail(signed))

    async def _describe_effect(self, action: Action) -> str:
        is_in_effect = await self.read_effect(action)
        if is_in_effect is None:
            return "whether the effect is there is not known"
        return f"{self._config.check} says {'yes' if is_in_effect else 'no'}"

    async def read_effect(self, action: Action, block: int | None = None) -> bool | None:
        """Say whether the effect is there, now or after a block; None where that is not known."""
        questions = self._call.questions(self._route.unwrap(action.payload), block)
        if not questions:
            return None
        (result,) = await ask_agreed(self._sender.client, questions)
        return self._call.is_in_effect(result)


class _EffectJournal:
    """The journal as the pursuit sees it: the payload is what was signed, and a success is one that had its effect."""

    def __init__(self, journal: Journal, hook: EvmHook, action: Action, sent: bytes) -> None:
        self._journal = journal
        self._hook = hook
        self._action = action
        self._sent = sent

    async def record(self, action_id: bytes, event: Event, detail: Detail) -> Action:
        if event in (Event.CONFIRM, Event.REVERT):
            event, detail = await self._judge(event, detail)
        self._action = await self._journal.record(action_id, event, detail)
        return replace(self._action, payload=self._sent)

    async def _judge(self, event: Event, detail: Detail) -> tuple[Event, Detail]:
        # Of the block that it is in: later ones may have lifted it again.
        is_in_effect = await self._hook.read_effect(self._action, self._action.block_number)
        # [HOOK] A call that went through without its effect is no success.
        if event is Event.CONFIRM and is_in_effect is False:
            return Event.REVERT, {"reason": "the transaction went through and had no effect: the check says no"}
        # [HOOK] A call that was mined and reverted is effective where its check says so: another was first.
        if event is Event.REVERT and is_in_effect:
            return Event.CONFIRM, {"reason": f"{IN_EFFECT}, by another's call: {detail['reason']!s}"}
        return event, detail


def _describe(objection: Objection) -> str:
    return objection.sentence if objection.revert is None else describe(objection.revert)
