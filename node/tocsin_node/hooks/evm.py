"""A call of the operator's own contract by the guardian, with at most one effect whatever dies when.

The signed bytes are durable before they are sent, and every later transaction of the action has the same nonce.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event, State
from tocsin_protocol.ids import address_of

from tocsin_node.chain.abi import parse_function
from tocsin_node.chain.errors import CapReached, RpcUnavailable
from tocsin_node.chain.preflight import Objection
from tocsin_node.chain.sender import Preparation, Sender
from tocsin_node.clock import now_ms as read_clock

from .config import EvmHookConfig
from .hook import Journal, Occasion
from .pursuit import RETRY_MIN_MS, NonceUsed, Pursuit, sign_detail

_ALREADY_PAUSED = ("EnforcedPause", "Pausable: paused")


class EvmHook:
    """One function of one contract. Hooks with the same guardian and chain share one sender."""

    def __init__(self, config: EvmHookConfig, sender: Sender, now_ms: Callable[[], int] = read_clock) -> None:
        self._config = config
        self._sender = sender
        self._now_ms = now_ms
        self._address = address_of(config.target)
        self._calldata = config.calldata()
        self._check = None if config.check is None else parse_function(config.check)

    @property
    def name(self) -> str:
        """Its name in the config."""
        return self._config.name

    @property
    def target(self) -> str:
        """The contract as a CAIP-10 account."""
        return self._config.target

    def payload(self, occasion: Occasion) -> bytes:
        """Return the calldata, which is the same on every occasion."""
        return self._calldata

    def claim(self, action: Action) -> None:
        """Keep the nonce of a signed action that may still be sent."""
        # One that is too old is not sent again: its nonce must not stand in the way of the next action.
        if action.transactions and not action.is_settled and self._may_send(action):
            self._sender.hold_nonce(action.action_id, action.transactions[0].nonce)

    async def run(self, action: Action, journal: Journal) -> Action:
        """Drive the action to its end; UNKNOWN when the chain does not tell within `settle_ms`."""
        self.claim(action)
        try:
            is_fresh = action.is_unsigned
            if is_fresh:
                action = await self._begin(action, journal)
            if action.is_settled and action.block_hash is None:
                return action
            pursuit = Pursuit(self._sender, self._address, journal, self._may_send)
            try:
                action = await pursuit.run(action, is_fresh=is_fresh)
            except NonceUsed as used:
                reason = f"{used}; {await self._describe_effect()}"
                action = await journal.record(action.action_id, Event.FAIL, {"reason": reason})
            return action
        finally:
            self._sender.release_nonce(action.action_id)

    def _may_send(self, action: Action) -> bool:
        return action.was_included or self._now_ms() <= action.deadline_ms

    async def _begin(self, action: Action, journal: Journal) -> Action:
        """Take an intent to signed and durable, or to its end without an effect."""
        delay_ms, waiting = RETRY_MIN_MS, ""
        while True:
            if self._now_ms() > action.deadline_ms:
                reason = f"too old to be sent; {waiting}" if waiting else "too old to be sent"
                return await journal.record(action.action_id, Event.LAPSE, {"reason": reason})
            try:
                async with self._sender.nonce_lock:
                    preparation = await self._sender.prepare(self._address, action.payload)
                    if self._now_ms() > action.deadline_ms:
                        continue
                    if preparation.objection is None:
                        return await self._sign(action, preparation, journal)
            except CapReached as exc:
                return await journal.record(action.action_id, Event.REFUSE, {"reason": str(exc)})
            except RpcUnavailable as exc:
                waiting = str(exc)
                if action.state is State.PLANNED:
                    action = await journal.record(action.action_id, Event.CHECK, {"reason": f"waiting: {exc}"})
                left_ms = max(1, action.deadline_ms - self._now_ms() + 1)
                await trio.sleep(min(delay_ms, left_ms) / 1_000)
                delay_ms = min(delay_ms * 2, self._sender.client.config.rebroadcast_ms)
                continue
            reason = await self._describe_refusal(preparation.objection)
            return await journal.record(action.action_id, Event.REFUSE, {"reason": reason})

    async def _sign(self, action: Action, preparation: Preparation, journal: Journal) -> Action:
        signed = self._sender.sign_first(self._address, action.payload, preparation.quote)
        self._sender.hold_nonce(action.action_id, signed.nonce)
        return await journal.record(action.action_id, Event.SIGN, sign_detail(signed))

    async def _describe_refusal(self, objection: Objection) -> str:
        if objection.revert in _ALREADY_PAUSED or await self._is_in_effect():
            return f"already in effect: {objection.sentence}"
        return objection.sentence

    async def _describe_effect(self) -> str:
        is_in_effect = await self._is_in_effect()
        if is_in_effect is None:
            return "whether the effect is there is not known"
        return f"{self._config.check} says {'yes' if is_in_effect else 'no'}"

    async def _is_in_effect(self) -> bool | None:
        """Ask the configured check; None without one, or without answers that agree."""
        if self._check is None:
            return None
        values = await self._sender.read(self._address, self._check)
        return None if values is None else bool(values[0])
