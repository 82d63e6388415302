"""Canonical msgpack: one value, one spelling (specs/encoding.md)."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgpack
import msgspec

from .errors import DecodeError, OversizedError, SpellingError, TruncatedError

MAX_DEPTH = 8
MAX_UINT = 2**53 - 1
# Messages with longer lists say so. Without a bound a nest of lists that claim to be long, 16 KiB in all, costs 60 ms
# and 45 MB before it is refused.
MAX_ITEMS = 256

_T = TypeVar("_T")
_MAP16, _FIXMAP, _MOST_IN_FIXMAP = 0xDE, 0x80, 15

_NEVER_WRONG = frozenset((str, bytes, bool))

_packb = msgpack.Packer(use_bin_type=True, strict_types=True, autoreset=True).pack


def encode_canonical(value: Any) -> bytes:
    """Encode ints in 0…MAX_UINT, bytes, text, bools, lists and text-keyed maps; raises DecodeError on others."""
    try:
        return _packb(_ordered(value, 0))
    except UnicodeEncodeError as exc:
        raise DecodeError("text with a lone surrogate") from exc


def decode_canonical(data: bytes, *, max_bytes: int, max_items: int = MAX_ITEMS) -> Any:
    """Decode exactly what `encode_canonical` writes; raises DecodeError on any other spelling."""
    if len(data) > max_bytes:
        raise OversizedError(f"{len(data)} bytes where at most {max_bytes} are allowed")
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            ext_hook=_refuse_extension,
            max_array_len=max_items,
            max_map_len=max_items,
        )
    except DecodeError:
        raise
    except msgpack.ExtraData as exc:
        raise SpellingError("bytes after the value") from exc
    except (ValueError, msgpack.UnpackException, RecursionError) as exc:
        if _is_truncated(data, max_items):
            raise TruncatedError("ends before its value does") from exc
        raise DecodeError(f"not msgpack: {type(exc).__name__}") from exc
    _check(value, 0)
    if _packb(value) != data:
        raise SpellingError("not in canonical form")
    return value


class Layout(Generic[_T]):
    """Messages of one fixed layout, as a msgspec type whose fields stand in the order of their names on the wire.

    What the type asks for is checked while it is read, eighteen times faster than field by field in Python.
    """

    def __init__(self, name: str, kind: type[_T], max_bytes: int) -> None:
        self._name = name
        self._max_bytes = max_bytes
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._encoder = msgspec.msgpack.Encoder()

    def encode(self, value: _T) -> bytes:
        """Write a value; raises DecodeError where it holds what msgpack cannot say."""
        try:
            return _shortest_head(self._encoder.encode(value))
        except (TypeError, ValueError, OverflowError) as exc:
            raise DecodeError(f"{self._name}: {exc}") from exc

    def decode(self, data: bytes) -> _T:
        """Read exactly what `encode` writes; raises DecodeError naming the field, or the fault in the spelling."""
        if len(data) > self._max_bytes:
            raise OversizedError(f"{len(data)} bytes where at most {self._max_bytes} are allowed")
        try:
            value = self._decoder.decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError) as exc:
            decode_canonical(data, max_bytes=self._max_bytes)
            raise DecodeError(self._fault(str(exc))) from exc
        if _shortest_head(self._encoder.encode(value)) != data:
            decode_canonical(data, max_bytes=self._max_bytes)
            raise SpellingError(f"{self._name} is not in canonical form")
        return value

    def _fault(self, text: str) -> str:
        """`confidence: Expected …` out of msgspec's `Expected … - at `$.confidence``."""
        what, _, where = text.partition(" - at `$")
        return f"{where.strip('.`') or self._name}: {what}"


def _shortest_head(encoded: bytes) -> bytes:
    """A map with optional fields gets from msgspec the head that it would need with all of them."""
    if encoded[0] == _MAP16 and encoded[1] == 0 and encoded[2] <= _MOST_IN_FIXMAP:
        return bytes((_FIXMAP | encoded[2],)) + encoded[3:]
    return encoded


def _is_truncated(data: bytes, max_items: int) -> bool:
    """Whether refused bytes are a beginning of something longer."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(data) + 1, max_array_len=max_items, max_map_len=max_items)
    unpacker.feed(data)
    try:
        unpacker.skip()
    except msgpack.OutOfData:
        return True
    except (ValueError, msgpack.UnpackException, RecursionError):
        return False
    return False


def _refuse_extension(code: int, data: bytes) -> Any:
    raise DecodeError(f"msgpack extension type {code}")


def _ordered(value: Any, depth: int) -> Any:
    """The value with its maps in key order, checked on the way."""
    if type(value) is dict:
        _check_depth(depth)
        if any(type(key) is not str for key in value):
            raise DecodeError("map key is not text")
        return {key: _ordered(value[key], depth + 1) for key in sorted(value)}
    if type(value) in (list, tuple):
        _check_depth(depth)
        # As in `_check`: text and bytes inside lists are not worth a call each.
        return [item if type(item) in _NEVER_WRONG else _ordered(item, depth + 1) for item in value]
    _check(value, depth)
    return value


def _check(value: Any, depth: int) -> None:
    """Refuse what re-encoding would not notice: types, ranges, key order, depth."""
    kind = type(value)
    if kind is list:
        _check_depth(depth)
        for item in value:
            # Most of what is signed is text and bytes inside lists: not worth a call each.
            if type(item) is not str and type(item) is not bytes:
                _check(item, depth + 1)
    elif kind is dict:
        _check_depth(depth)
        previous = None
        for key, item in value.items():
            if type(key) is not str:
                raise DecodeError(f"map key of type {type(key).__name__} is not text")
            if previous is not None and key <= previous:
                raise SpellingError(f"map key {key[:80]!r} is not in rising order")
            previous = key
            if type(item) is not str:
                _check(item, depth + 1)
    elif kind is int:
        if not 0 <= value <= MAX_UINT:
            raise DecodeError(f"integer {value} outside 0…2^53-1")
    elif kind not in (bytes, str, bool):
        raise DecodeError(f"type {kind.__name__} is not allowed")


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise DecodeError(f"nested deeper than {MAX_DEPTH}")
