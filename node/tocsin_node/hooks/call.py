"""One configured call: its bytes on an occasion, whether its effect is there, and what takes it back."""

from __future__ import annotations

from typing import Any

from tocsin_protocol.containment.action import Action
from tocsin_protocol.ids import account_of, chain_of

from tocsin_node.chain.abi import Argument, Function, decode_result, encode_arguments, encode_call, parse_function
from tocsin_node.chain.rpc import Request

from .config import ContractHookConfig, plain
from .hook import Occasion, Proposal
from .reading import LATEST, values_of
from .rights import describe_end
from .templates import ANY, Filling, NoArgumentError, repeat_arguments, takes_from_signals

_STAND_IN_ADDRESS = "0x" + "00" * 19 + "01"
_STAND_IN_HASH = "0x" + "00" * 31 + "01"


class ContractCall:
    """The function of one hook, with its arguments, its check and its undo."""

    def __init__(self, config: ContractHookConfig, guardian: str) -> None:
        self._config = config
        self._function = parse_function(config.function)
        self._arguments = plain(config.arguments)
        self._check = None if config.check is None else parse_function(config.check)
        self._filling = Filling(
            chain_of(config.target), tuple(config.among), frozenset((config.contract, guardian.lower()))
        )
        self._wanted = self._read_wanted()

    @property
    def uses_stand_ins(self) -> bool:
        """Whether a sample of it is made with arguments that nobody named."""
        return takes_from_signals(self._arguments) and ANY in self._config.among

    def encode(self, occasion: Occasion) -> bytes | None:
        """Return the calldata, None where the occasion does not say an argument."""
        try:
            return encode_call(self._function, self._filling.fill(self._arguments, occasion))
        except NoArgumentError:
            return None

    def encode_sample(self, now_ms: int) -> bytes:
        """Return the calldata with the first arguments that signals may name, or with stand-ins."""
        among = [item for item in self._config.among if item != ANY]
        address = next((item for item in among if len(item) == len(_STAND_IN_ADDRESS)), _STAND_IN_ADDRESS)
        hash_ = next((item for item in among if len(item) == len(_STAND_IN_HASH)), _STAND_IN_HASH)
        subjects = (account_of(chain_of(self._config.target), address), hash_)
        occasion = Occasion(bytes(32), b"", "", "", subjects, "", now_ms)
        calldata = self.encode(occasion)
        return calldata or self._function.selector

    def refusal(self, action: Action, now_ms: int) -> str | None:
        """Return why an intent is not even begun."""
        # [HOOK] Without the argument that a signal should have named, nothing is called.
        if not action.payload:
            return "the incident does not name one thing, and one only, that this hook may be used on"
        return describe_end(self._config, now_ms)

    def questions(self, called: bytes, block: int | None = None) -> list[Request]:
        """Return the request of the check, none where there is none."""
        if self._check is None:
            return []
        data = encode_call(self._check, repeat_arguments(plain(self._config.check_arguments), self._decode(called)))
        call = {"to": self._config.contract, "data": "0x" + data.hex()}
        return [("eth_call", (call, LATEST if block is None else hex(block)))]

    def is_in_effect(self, result: Any) -> bool | None:
        """Return what the answer to the check means; None where that is not known."""
        values = None if self._check is None else values_of(self._check, result)
        return None if values is None else self._is_wanted(values[self._config.check_position])

    def _is_wanted(self, value: Any) -> bool:
        compare = self._config.check_compare
        # [HOOK] A limit that is as tight already, or tighter, is in effect: no hook loosens what it finds.
        if compare == "at-most":
            return bool(value <= self._wanted) and not (value == 0 and self._config.check_zero_is_open)
        return bool(value >= self._wanted) if compare == "at-least" else bool(value == self._wanted)

    def undo(self, called: bytes) -> Proposal | None:
        """Return the configured undo of a call."""
        if self._config.undo is None:
            return None
        function = parse_function(self._config.undo)
        arguments = repeat_arguments(plain(self._config.undo_arguments), self._decode(called))
        shown = ", ".join(_show(value) for value in arguments)
        sentence = f"call {function.name}({shown}) of {self._config.target}"
        return Proposal(sentence, self._config.target, encode_call(function, arguments))

    def _decode(self, called: bytes) -> list[Argument]:
        return list(decode_result(Function(self._function.name, (), self._function.inputs), called[4:]))

    def _read_wanted(self) -> Any:
        if self._check is None:
            return None
        types = self._check.outputs[self._config.check_position :][:1]
        data = encode_arguments("check_is", types, [self._config.check_is])
        return decode_result(Function("check_is", (), types), data)[0]


def _show(value: Argument) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
