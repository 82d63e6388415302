"""Configuration of the hooks that call a contract, by whichever way the call gets there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator
from tocsin_protocol.ids import address_of, chain_of

from tocsin_node.chain.abi import Argument, Function, encode_arguments, encode_call, parse_function
from tocsin_node.chain.config import check_eip155_chain
from tocsin_node.chain.errors import AbiError

from .message_config import BaseHookConfig, CommandHookConfig, PluginHookConfig, WebhookHookConfig, check_account
from .presets import expand
from .templates import ANY, MAX_AMONG, check_arguments, read_slot, takes_from_signals

MAX_ARGUMENTS = 16
FROM_PRESET = (
    *("function", "arguments", "undo", "undo_arguments"),
    *("check", "check_arguments", "check_position", "check_is", "check_compare", "check_zero_is_open"),
)
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_NAMEABLE = re.compile(r"\*|0x(?:[0-9a-f]{40}|[0-9a-f]{64})")


def _check_address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not 0x and 40 lower-case hex digits")
    return text


Value = str | int | bool
Values = Annotated[list[Value | list[Value]], Field(max_length=MAX_ARGUMENTS)]
Address = Annotated[str, AfterValidator(_check_address)]


class ContractHookConfig(BaseHookConfig):
    """A function of a contract, its arguments, how its effect is read, and what takes it back.

    Either `preset` with `parameters`, or the rest one by one.
    """

    target: Annotated[str, AfterValidator(check_account)]
    preset: str | None = None
    parameters: dict[str, Value] = Field(default_factory=dict)
    function: str = "pause()"
    arguments: Values = Field(default_factory=list)
    among: list[str] = Field(default_factory=list, max_length=MAX_AMONG, description="what a signal may put in")
    check: str | None = Field(default="paused()(bool)", description="a view that tells whether the effect is there")
    check_arguments: Values = Field(default_factory=list)
    check_position: int = Field(default=0, ge=0, lt=MAX_ARGUMENTS)
    check_is: Value = True
    check_compare: Literal["is", "at-most", "at-least"] = Field(
        default="is", description="how what the view returns stands to check_is while the effect is there"
    )
    check_zero_is_open: bool = Field(default=False, description="0 is no limit at all, as in a cap")
    undo: str | None = None
    undo_arguments: Values = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("preset") is None:
            return data
        doubled = [key for key in FROM_PRESET if key in data]
        if doubled:
            raise ValueError(f"{doubled[0]}: the preset {str(data['preset'])[:80]!r} says that already")
        return data | expand(data["preset"], data.get("parameters"), data.get("ends_after_minutes"))

    @field_validator("target")
    @classmethod
    def _check_chain(cls, target: str) -> str:
        check_eip155_chain(chain_of(target))
        return target

    @field_validator("check", "undo")
    @classmethod
    def _check_optional(cls, text: str | None) -> str | None:
        return text or None  # TOML has no null: the empty text says that there is none

    @field_validator("among")
    @classmethod
    def _check_among(cls, among: list[str]) -> list[str]:
        for item in among:
            if not _NAMEABLE.fullmatch(item):
                raise ValueError(f"{item[:80]!r} is neither an address, nor a hash of 32 bytes, nor *")
        if len(set(among)) != len(among) or (ANY in among and len(among) > 1):
            raise ValueError("each once is wanted, or * alone")
        return among

    @model_validator(mode="after")
    def _check_calls(self) -> ContractHookConfig:
        try:
            called = parse_function(self.function)
            _check_call(called, self.arguments)
            if self.check is not None:
                self._check_view(parse_function(self.check), called)
            if self.undo is not None:
                _check_call(parse_function(self.undo), self.undo_arguments, of_call=called.inputs)
        except AbiError as exc:
            raise ValueError(str(exc)) from exc
        # [HOOK] A hook that takes an argument from signals says among what, or it is refused when the node starts.
        if takes_from_signals(plain(self.arguments)) != bool(self.among):
            raise ValueError("among: is wanted with {subject.address} or {subject.hash}, and with nothing else")
        return self

    def _check_view(self, view: Function, called: Function) -> None:
        if self.check_position >= len(view.outputs):
            raise AbiError(f"check: {self.check!r} returns {len(view.outputs)} values; check_position wants one more")
        try:
            _check_call(view, self.check_arguments, of_call=called.inputs)
            encode_arguments("check_is", view.outputs[self.check_position :][:1], [self.check_is])
        except AbiError as exc:
            raise AbiError(f"check: {exc}") from exc

        is_number = type(self.check_is) is int
        # [HOOK] Where 0 is no limit, no hook sets 0.
        if self.check_zero_is_open and (self.check_compare != "at-most" or not is_number or self.check_is == 0):
            raise AbiError("check_is: 0 is no limit there; a number from 1, and at-most, are wanted")
        if self.check_compare != "is" and not is_number:
            raise AbiError(f"check_is: {self.check_is!r} is no number that could be {self.check_compare}")

    @property
    def contract(self) -> str:
        """The address of the target."""
        return address_of(self.target)


class EvmHookConfig(ContractHookConfig):
    """The guardian's own account calls the contract."""

    kind: Literal["evm"]


class SafeModuleHookConfig(ContractHookConfig):
    """A Safe calls the contract because the guardian asks its TocsinGuardianModule to."""

    kind: Literal["safe-module"]
    safe: Address
    module: Address
    scope: int = Field(ge=1, lt=2**63, description="the id under which the Safe allowed the call")

    @model_validator(mode="after")
    def _check_words(self) -> SafeModuleHookConfig:
        inputs = parse_function(self.function).inputs
        if any(kind in ("string", "bytes") or "[" in kind for kind in inputs):
            raise ValueError(f"function: the module takes whole words only, and {self.function!r} has others")
        return self


class SafeOwnersHookConfig(ContractHookConfig):
    """A Safe calls the contract once enough of its owners have signed; the guardian sends what they signed."""

    kind: Literal["safe-owners"]
    safe: Address
    folder: Path = Field(strict=False, description="where the transaction is put and signatures are looked for")


class SafeProposalHookConfig(ContractHookConfig):
    """The transaction is written down for a Safe's owners, who do everything else themselves."""

    kind: Literal["safe-proposal"]
    safe: Address
    folder: Path = Field(strict=False, description="where the transaction is put")

    @model_validator(mode="after")
    def _check_effect(self) -> SafeProposalHookConfig:
        # [HOOK] A proposal has a check: only the chain says whether people did what was proposed.
        if self.check is None:
            raise ValueError("check: is wanted, or nobody would know whether the Safe's owners did it")
        return self


HookConfig = Annotated[
    EvmHookConfig
    | SafeModuleHookConfig
    | SafeOwnersHookConfig
    | SafeProposalHookConfig
    | WebhookHookConfig
    | CommandHookConfig
    | PluginHookConfig,
    Field(discriminator="kind"),
]


def plain(values: Sequence[Value | list[Value]]) -> list[Argument]:
    """Configured values as the ABI's arguments."""
    return [list(item) if isinstance(item, list) else item for item in values]


def _check_call(
    function: Function, values: Sequence[Value | list[Value]], *, of_call: Sequence[str] | None = None
) -> None:
    """Raise AbiError unless the values, with something of the right type for each placeholder, can be encoded."""
    arguments = plain(values)
    try:
        check_arguments(function.inputs, arguments, of_call=of_call)
    except AbiError as exc:
        raise AbiError(f"{function.name}: {exc}") from exc
    for kind, value in zip(function.inputs, arguments, strict=True):
        _check_size(function.name, kind, value)
    encode_call(function, [_stand_in(kind, value) for kind, value in zip(function.inputs, arguments, strict=True)])


def _check_size(name: str, kind: str, value: Argument) -> None:
    if isinstance(value, list):
        for item in value:
            _check_size(name, kind.rpartition("[")[0], item)
    size = kind.removeprefix("bytes")
    # [HOOK] Bytes of a fixed size have that size: the ABI would fill them up, and a slip would name another market.
    if size.isdecimal() and kind != size and isinstance(value, str) and read_slot(value) is None:
        found = len(value.removeprefix("0x"))
        if found != 2 * int(size):
            raise AbiError(f"{name}: {value[:80]!r} has {found} hex digits where {2 * int(size)} are wanted for {kind}")


def _stand_in(kind: str, value: Argument) -> Argument:
    if isinstance(value, list):
        return [_stand_in(kind.rpartition("[")[0], item) for item in value]
    if read_slot(value) is None:
        return value
    stand_ins: dict[str, Argument] = {"address": "0x" + "00" * 20, "bool": False, "string": ""}
    if kind.startswith("bytes"):
        return "0x" + "00" * int(kind[5:] or 0)
    return stand_ins.get(kind, 0)
