"""A call that a Safe's owners sign: we write it down, gather their signatures, and send what they signed.

The slow way: an owner's signature is bound to the Safe's nonce, and dies when another transaction goes first (GS026).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import trio
from tocsin_protocol.containment.action import Action

from tocsin_node.chain.abi import parse_function
from tocsin_node.chain.client import ChainClient
from tocsin_node.chain.errors import RpcRefused
from tocsin_node.chain.rpc import Request
from tocsin_node.errors import ConfigError

from .config import SafeOwnersHookConfig
from .hook import Answer, Check
from .reading import ask_agreed, call_of, code_of, is_without_code, values_of
from .routes import DirectRoute, NeverError, NotYetError
from .safe_desk import SafeDesk
from .safe_transaction import SafeTransaction, expand_signature

_NONCE = parse_function("nonce()(uint256)")
_THRESHOLD = parse_function("getThreshold()(uint256)")
_OWNERS = parse_function("getOwners()(address[])")

SignDigest = Callable[[bytes], bytes]
"""Our own signature over 32 bytes, in EIP-2098 form."""


@dataclass(frozen=True, slots=True)
class SafeState:
    """What enough endpoints say of a Safe."""

    nonce: int
    threshold: int
    owners: frozenset[str]


async def read_safe(client: ChainClient, safe: str) -> SafeState | None:
    """Return the state of a Safe, None where the endpoints do not tell; raises NeverError where there is none."""
    functions = (_NONCE, _THRESHOLD, _OWNERS)
    results = await ask_agreed(client, [call_of(safe, function) for function in functions])
    values = [values_of(function, result) for function, result in zip(functions, results, strict=True)]
    if any(_is_telling(result) and value is None for result, value in zip(results, values, strict=True)):
        raise NeverError(f"there is no Safe at {safe}: it does not tell its nonce, threshold and owners")
    nonce, threshold, owners = values
    if nonce is None or threshold is None or owners is None:
        return None
    return SafeState(nonce[0], threshold[0], frozenset(str(owner).lower() for owner in owners[0]))


def _is_telling(result: Any) -> bool:
    """Whether it is the contract's own answer: an endpoint may refuse for reasons of its own."""
    return isinstance(result, str) or (isinstance(result, RpcRefused) and "revert" in result.message.lower())


class OwnersRoute(DirectRoute):
    """Owners sign, each on his own machine; the guardian sends. Its own key signs too, where it is an owner."""

    def __init__(self, config: SafeOwnersHookConfig, guardian: str, client: ChainClient, sign: SignDigest) -> None:
        super().__init__(config.safe)
        self._config = config
        self._guardian = guardian.lower()
        self._client = client
        self._sign = sign
        self._desk = SafeDesk(config.folder)

    async def complete(self, action: Action) -> bytes:
        """Return the execution of what enough owners have signed; raises NotYetError, NeverError."""
        state = await read_safe(self._client, self.to)
        if state is None:
            raise NotYetError(f"nonce, threshold and owners of the Safe {self.to} are not known")
        transaction = SafeTransaction(
            self._client.config.chain_id, self.to, self._config.contract, action.payload, state.nonce
        )
        sentence = f"{self._config.function} of {self._config.target}"
        try:
            await trio.to_thread.run_sync(self._desk.put, action, transaction, sentence)
            gathered = await trio.to_thread.run_sync(self._desk.gather, transaction, state.owners)
        except (OSError, ConfigError) as exc:
            raise NotYetError(f"{self._config.folder}: {exc}") from exc
        signatures = gathered.signatures
        if self._guardian in state.owners:
            signatures[self._guardian] = expand_signature(self._sign(transaction.hash))
        if len(signatures) < state.threshold:
            have = f"{len(signatures)} of {state.threshold} owner signatures in {self._config.folder}"
            raise NotYetError("; ".join((f"{have} for the Safe's nonce {state.nonce}", *gathered.faults[:3])))
        return transaction.execution(signatures, state.threshold)

    def tells_effect(self, function: str) -> bool:
        """The Safe hides why its call failed."""
        return False

    def simulated(self, guardian: str, payload: bytes) -> dict[str, str]:
        """What the Safe would call."""
        return {"from": self.to, "to": self._config.contract, "data": "0x" + payload.hex()}

    def questions(self, payload: bytes) -> list[Request]:
        """Ask for the contract's code: a Safe's call of an account without code goes through and does nothing."""
        return [code_of(self._config.contract)]

    def obstacle(self, results: Sequence[Any]) -> str | None:
        """Return that there is no contract."""
        return f"there is no contract at {self._config.contract}" if is_without_code(results[0]) else ""

    async def probe(self, payload: bytes) -> tuple[Check, ...]:
        """Whether the Safe answers, and whose signatures it takes."""
        return (await probe_safe(self._client, self.to, self._guardian),)


async def probe_safe(client: ChainClient, safe: str, guardian: str) -> Check:
    """Whether the Safe answers, and how many people must be awake."""
    try:
        state = await read_safe(client, safe)
    except NeverError as exc:
        return Check("safe", Answer.NOT_OK, str(exc))
    if state is None:
        return Check("safe", Answer.NOT_KNOWN, f"the Safe {safe} is not heard, or the endpoints differ")
    own = " (our key is one)" if guardian.lower() in state.owners else ""
    sentence = f"{state.threshold} of {len(state.owners)} owners{own} must sign; its nonce is {state.nonce}"
    return Check("safe", Answer.OK, sentence)
