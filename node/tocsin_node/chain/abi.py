"""Calldata, return values and revert reasons."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError, ParseError
from eth_hash.auto import keccak

from .errors import AbiError

MAX_TYPES = 16
_SIGNATURE = re.compile(r"([A-Za-z_$][\w$]{0,63})\(([\w\[\],]{0,256})\)(?:\(([\w\[\],]{0,256})\))?")
_TYPE = re.compile(r"(?:address|bool|string|bytes(?:[1-9]|[12]\d|3[0-2])?|u?int(?:\d{1,3})?)(?:\[\d{0,3}\])?")

Argument = str | int | bool | bytes | list[Any]


@dataclass(frozen=True, slots=True)
class Function:
    """A function by its signature, with its return types where a caller needs them."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def selector(self) -> bytes:
        """The first four bytes of its calldata."""
        return keccak(f"{self.name}({','.join(self.inputs)})".encode())[:4]


def parse_function(text: str) -> Function:
    """Return the function of a signature such as `pause()` or `paused()(bool)`; raises AbiError."""
    match = _SIGNATURE.fullmatch(text.replace(" ", ""))
    if match is None:
        raise AbiError(f"{text[:160]!r} is not a function signature such as pause() or paused()(bool)")
    return Function(match[1], _parse_types(match[2], text), _parse_types(match[3] or "", text))


def _parse_types(text: str, signature: str) -> tuple[str, ...]:
    types = tuple(text.split(",")) if text else ()
    if len(types) > MAX_TYPES:
        raise AbiError(f"{signature[:160]!r} has more than {MAX_TYPES} types")
    for name in types:
        if not _TYPE.fullmatch(name):
            raise AbiError(f"{name[:80]!r} in {signature[:160]!r} is not a type that can be configured")
    return tuple(_canonical_type(name) for name in types)


def _canonical_type(name: str) -> str:
    base, bracket, rest = name.partition("[")
    return {"uint": "uint256", "int": "int256"}.get(base, base) + bracket + rest


def encode_call(function: Function, arguments: Sequence[Argument] = ()) -> bytes:
    """Return the calldata; `0x…` text stands for bytes. Raises AbiError."""
    return function.selector + encode_arguments(function.name, function.inputs, arguments)


def encode_arguments(name: str, types: Sequence[str], arguments: Sequence[Argument]) -> bytes:
    """Return the encoded arguments of a function or constructor, whose name is for the message. Raises AbiError."""
    if len(arguments) != len(types):
        raise AbiError(f"{name}: {len(arguments)} arguments where {len(types)} are wanted")
    values = [_to_abi(kind, value) for kind, value in zip(types, arguments, strict=True)]
    try:
        return bytes(encode(types, values))
    except (EncodingError, ParseError, TypeError, ValueError, OverflowError) as exc:
        raise AbiError(f"{name}: arguments do not fit {','.join(types)}: {exc}") from exc


def _to_abi(name: str, value: Argument) -> Any:
    if isinstance(value, list):
        return [_to_abi(name.rpartition("[")[0], item) for item in value]
    if name.startswith("bytes") and isinstance(value, str):
        try:
            return bytes.fromhex(value.removeprefix("0x"))
        except ValueError as exc:
            raise AbiError(f"{value[:80]!r} is not hex for {name}") from exc
    if "int" in name and isinstance(value, str):  # TOML integers end at 64 bits
        try:
            return int(value, 0)
        except ValueError as exc:
            raise AbiError(f"{value[:80]!r} is not an integer for {name}") from exc
    return value


def decode_result(function: Function, data: bytes) -> tuple[Any, ...]:
    """Return the values a call returned; raises AbiError."""
    try:
        return tuple(decode(function.outputs, data))
    except (DecodingError, ParseError, ValueError, OverflowError) as exc:
        raise AbiError(f"{function.name}: {len(data)} bytes are not {','.join(function.outputs)}") from exc


def decode_revert(data: bytes) -> str | None:
    """Return a revert's reason as text, a custom error by its selector, None when there is nothing to decode."""
    if len(data) < 4:
        return None
    selector, rest = data[:4], data[4:]
    try:
        if selector == _ERROR_SELECTOR:
            return str(decode(["string"], rest)[0])[:200]
        if selector == _PANIC_SELECTOR:
            return f"panic 0x{decode(['uint256'], rest)[0]:02x}"
    except (DecodingError, ValueError, OverflowError):
        return f"0x{selector.hex()}"
    return f"0x{selector.hex()}"


_ERROR_SELECTOR = keccak(b"Error(string)")[:4]
_PANIC_SELECTOR = keccak(b"Panic(uint256)")[:4]
TRANSFER_TOPIC = "0x" + keccak(b"Transfer(address,address,uint256)").hex()
