"""The ways by which a call gets to a contract: by the guardian itself, or by a Safe that it asks to make the call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tocsin_protocol.containment.action import Action

from tocsin_node.chain.abi import Function, decode_result, encode_call, parse_function
from tocsin_node.chain.client import ChainClient
from tocsin_node.chain.errors import AbiError, RpcUnavailable
from tocsin_node.chain.raw import read_signed
from tocsin_node.chain.rpc import Request, read_data

from .config import SafeModuleHookConfig
from .hook import Answer, Check
from .presets import TELLING
from .reading import ask_agreed, call_of, values_of
from .refusals import IN_EFFECT

WORD = 32
_EXECUTE = parse_function("execute(uint256,bytes32[])")
_PROBE = parse_function("probe(address,uint256,bytes32[])(uint8,uint16,uint64,uint64)")
_SCOPE_OF = parse_function("scopeOf(uint256)(bytes32)")
_ALLOWED, _IN_EFFECT = 0, 1
# TocsinGuardianModule.Verdict, in its order.
_VERDICTS = (
    "the module allows it",
    f"{IN_EFFECT}, says the module",
    "the Safe has granted this guardian nothing",
    "the guardian's grant has ended",
    "the Safe allows nothing under this scope",
    "the arguments are not those that the scope allows",
    "there is no code where the call goes",
    "the module cannot read the effect",
    "it would not be tighter than it is",
    "the guardian's budget is used up",
    "the module is not enabled in the Safe",
)


class NotYetError(Exception):
    """What is to be sent cannot be made yet; says what it waits for."""


class NeverError(Exception):
    """What is to be sent cannot be made at all; says why."""


class Route(Protocol):
    """How a call gets to its contract."""

    @property
    def to(self) -> str:
        """Whom our transaction calls."""
        ...

    def wrap(self, calldata: bytes) -> bytes:
        """Return the payload of an intent to make this call."""
        ...

    def unwrap(self, payload: bytes) -> bytes:
        """Return the call that a payload is about; raises AbiError."""
        ...

    async def complete(self, action: Action) -> bytes:
        """Return what our transaction carries; raises NotYetError, NeverError."""
        ...

    def tells_effect(self, function: str) -> bool:
        """Whether the simulation or its own questions tell that a call is in effect already."""
        ...

    def simulated(self, guardian: str, payload: bytes) -> dict[str, str]:
        """The call whose simulation tells whether the right to make it is held."""
        ...

    def questions(self, payload: bytes) -> list[Request]:
        """What to ask the chain beside the simulation before anything is signed."""
        ...

    def obstacle(self, results: Sequence[Any]) -> str | None:
        """Return why not by one endpoint's answers, nothing where they allow it, None where they do not tell."""
        ...

    async def probe(self, payload: bytes) -> tuple[Check, ...]:
        """Look at what this way needs."""
        ...


class DirectRoute:
    """The guardian calls the contract."""

    def __init__(self, contract: str) -> None:
        self.to = contract

    def wrap(self, calldata: bytes) -> bytes:
        """The call is the payload."""
        return calldata

    def unwrap(self, payload: bytes) -> bytes:
        """The payload is the call."""
        return payload

    async def complete(self, action: Action) -> bytes:
        """Return the payload."""
        return action.payload

    def tells_effect(self, function: str) -> bool:
        """Where the contract's own revert does."""
        return function in TELLING

    def simulated(self, guardian: str, payload: bytes) -> dict[str, str]:
        """What our transaction would carry."""
        return {"from": guardian, "to": self.to, "data": "0x" + payload.hex()}

    def questions(self, payload: bytes) -> list[Request]:
        """Nothing but the simulation."""
        return []

    def obstacle(self, results: Sequence[Any]) -> str | None:
        """Nothing stands in the way."""
        return ""

    async def probe(self, payload: bytes) -> tuple[Check, ...]:
        """Nothing of its own."""
        return ()


class ModuleRoute(DirectRoute):
    """The guardian asks the Safe's TocsinGuardianModule (specs/contracts.md), which asks the Safe."""

    def __init__(self, config: SafeModuleHookConfig, guardian: str, client: ChainClient) -> None:
        super().__init__(config.module)
        self._config = config
        self._guardian = guardian
        self._client = client

    def wrap(self, calldata: bytes) -> bytes:
        """Return the call of the module."""
        return encode_call(_EXECUTE, [self._config.scope, _words(calldata)])

    def unwrap(self, payload: bytes) -> bytes:
        """Return the call that the Safe is to make; raises AbiError."""
        return parse_function(self._config.function).selector + b"".join(_read_words(payload))

    def tells_effect(self, function: str) -> bool:
        """The module's verdict does."""
        return True

    def questions(self, payload: bytes) -> list[Request]:
        """Ask the module what it would say."""
        return [call_of(self.to, _PROBE, [self._guardian, self._config.scope, _read_words(payload)])]

    def obstacle(self, results: Sequence[Any]) -> str | None:
        """Return the module's own refusal."""
        values = values_of(_PROBE, results[0])
        if values is None:
            return None
        return "" if values[0] == _ALLOWED else _verdict(values[0])

    async def probe(self, payload: bytes) -> tuple[Check, ...]:
        """Grant, budget, and whether the scope is the call that is configured."""
        asked = await ask_agreed(
            self._client, [*self.questions(payload), call_of(self.to, _SCOPE_OF, [self._config.scope])]
        )
        return (*_read_grant(values_of(_PROBE, asked[0])), self._check_scope(asked[1]))

    def _check_scope(self, result: Any) -> Check:
        try:
            data = read_data(result)
        except RpcUnavailable:
            return Check("scope", Answer.NOT_KNOWN, f"the module does not say what scope {self._config.scope} is")
        target, selector = "0x" + data[44:64].hex(), data[64:68]
        function = parse_function(self._config.function)
        if (target, selector) != (self._config.contract, function.selector):
            found = f"0x{selector.hex()} of {target}"
            sentence = f"scope {self._config.scope} of the module is {found}, not {self._config.function}"
            return Check("scope", Answer.NOT_OK, sentence)
        return Check("scope", Answer.OK, f"scope {self._config.scope} is {self._config.function}")


def _read_grant(values: tuple[Any, ...] | None) -> tuple[Check, ...]:
    if values is None:
        return (Check("grant", Answer.NOT_KNOWN, "the module does not answer, or the endpoints differ"),)
    verdict, calls_left, _, until_s = values
    answer = Answer.OK if verdict in (_ALLOWED, _IN_EFFECT) else Answer.NOT_OK
    until_ms = until_s * 1_000 if until_s else None
    return (
        Check("grant", answer, _verdict(verdict), until_ms),
        Check("budget", Answer.OK if calls_left else Answer.NOT_OK, f"{calls_left} calls are left to the guardian"),
    )


def _verdict(number: int) -> str:
    return _VERDICTS[number] if number < len(_VERDICTS) else f"the module says {number}, which is not known here"


def _words(calldata: bytes) -> list[Any]:
    data = calldata[4:]
    return [data[start : start + WORD] for start in range(0, len(data), WORD)]


def _read_words(payload: bytes) -> list[Any]:
    return list(decode_result(Function("execute", (), _EXECUTE.inputs), payload[4:])[1])


def sent_calldata(action: Action) -> bytes:
    """Return what the signed transactions of an action carry; raises AbiError."""
    try:
        return read_signed(action.transactions[0].raw).calldata
    except ValueError as exc:
        raise AbiError(f"action {action.action_id.hex()}: its transaction cannot be read") from exc
