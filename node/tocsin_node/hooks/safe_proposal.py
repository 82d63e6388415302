"""A call that a Safe's owners sign and send themselves: we write it down, and look whether they did."""

from __future__ import annotations

from collections.abc import Callable

import trio
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event, State

from tocsin_node.chain.sender import Sender
from tocsin_node.clock import now_ms as read_clock
from tocsin_node.errors import ConfigError

from .call import ContractCall
from .config import SafeProposalHookConfig
from .hook import Check, Journal, Occasion, Proposal
from .probing import probe_endpoints, probe_target
from .reading import ask_agreed, ask_deep_block
from .refusals import IN_EFFECT
from .rights import probe_right
from .routes import NeverError
from .safe import probe_safe, read_safe
from .safe_desk import SafeDesk
from .safe_transaction import SafeTransaction

FIRST_LOOK_MS = 50
"""First wait between two looks at the chain; doubles up to the chain's `rebroadcast_ms`."""


class SafeProposalHook:
    """Effective when the check says so of a block that stays, and not before: a proposal alone contains nothing."""

    def __init__(self, config: SafeProposalHookConfig, sender: Sender, now_ms: Callable[[], int] = read_clock) -> None:
        self._config = config
        self._client = sender.client
        self._guardian = sender.guardian.address
        self._now_ms = now_ms
        self._call = ContractCall(config, self._guardian)
        self._desk = SafeDesk(config.folder)

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
        """Return the call that the Safe is to make; nothing where an argument is not known."""
        return self._call.encode(occasion) or b""

    def undo(self, action: Action) -> Proposal | None:
        """Return the call that takes the effect back."""
        return self._call.undo(action.payload) if action.payload else None

    async def read_effect(self, action: Action, block: int | None = None) -> bool | None:
        """Say what the check says, now or after a block."""
        (result,) = await ask_agreed(self._client, self._call.questions(action.payload, block))
        return self._call.is_in_effect(result)

    async def probe(self) -> tuple[Check, ...]:
        """Whether the Safe and the endpoints answer, and the check that alone tells of the effect."""
        sample = self._call.encode_sample(self._now_ms())
        return (
            *probe_right(self._config, self._now_ms()),
            await probe_endpoints(self._client),
            *await probe_target(self._config, self._call, self._client, sample),
            await probe_safe(self._client, self._config.safe, self._guardian),
        )

    def claim(self, action: Action) -> None:
        """Reserve nothing: we send nothing."""

    async def run(self, action: Action, journal: Journal) -> Action:
        """Write it down, then look until it is in effect or too late; UNKNOWN when the chain does not tell then."""
        if action.is_unsigned:
            action = await self._begin(action, journal)
        delay_ms = FIRST_LOOK_MS
        while not action.is_settled:
            fault = "" if action.state is State.UNKNOWN else await self._put(action)
            # Before the look: what was done in time is seen by one that begins after it.
            is_late = self._now_ms() > action.deadline_ms
            is_done = await self._look(action)
            if is_done:
                return await journal.record(action.action_id, Event.CONFIRM, {"reason": "the Safe's owners did it"})
            if is_late:
                return await self._give_up(action, journal, fault, is_done)
            await trio.sleep(delay_ms / 1_000)
            delay_ms = min(delay_ms * 2, self._client.config.rebroadcast_ms)
        return action

    async def _give_up(self, action: Action, journal: Journal, fault: str, is_done: bool | None) -> Action:
        path = self._desk.path_of(action)
        proposed = f"proposed in {path}" if await trio.Path(path).exists() else "not proposed"
        # [HOOK] A proposal has failed only when the chain says that it was not done in its time.
        if is_done is False:
            reason = fault or f"{proposed}, and not done in its time"
            return await journal.record(action.action_id, Event.FAIL, {"reason": reason})
        if action.state is State.UNKNOWN:
            return action
        reason = f"{fault or proposed}; whether it was done is not known: {self._config.check} is not answered"
        return await journal.record(action.action_id, Event.LOSE, {"reason": reason})

    async def _begin(self, action: Action, journal: Journal) -> Action:
        refusal = self._call.refusal(action, self._now_ms())
        if refusal is None and await self.read_effect(action):
            refusal = f"{IN_EFFECT}: {self._config.check} says so"
        if refusal is not None:
            return await journal.record(action.action_id, Event.REFUSE, {"reason": refusal})
        if self._now_ms() > action.deadline_ms:
            return await journal.record(action.action_id, Event.LAPSE, {"reason": "too old to be proposed"})
        return await journal.record(action.action_id, Event.SEND, {})

    async def _put(self, action: Action) -> str:
        """Write the transaction down for the Safe's nonce as it is now; returns what is in the way."""
        try:
            state = await read_safe(self._client, self._config.safe)
        except NeverError as exc:
            return f"not proposed: {exc}"
        if state is None:
            return f"not proposed: the nonce of the Safe {self._config.safe} is not known"
        safe, contract = self._config.safe, self._config.contract
        transaction = SafeTransaction(self._client.config.chain_id, safe, contract, action.payload, state.nonce)
        try:
            await trio.to_thread.run_sync(self._desk.put, action, transaction, f"{self._config.function} of {contract}")
        except (OSError, ConfigError) as exc:
            return f"not proposed: {exc}"
        return ""

    async def _look(self, action: Action) -> bool | None:
        """Say whether it is in effect to stay; None where that is not known, or not yet."""
        is_in_effect = await self.read_effect(action)
        if not is_in_effect:
            return is_in_effect
        # [HOOK] What people did counts in a block as deep as a receipt's must be: one that is replaced may lack it.
        block = await ask_deep_block(self._client)
        is_deep = block is not None and await self.read_effect(action, block)
        return True if is_deep else None
