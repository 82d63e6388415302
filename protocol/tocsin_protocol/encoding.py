"""Canonical msgpack: one value, one spelling (specs/encoding.md)."""

from __future__ import annotations

from typing import Any

import msgpack

from .errors import DecodeError

MAX_DEPTH = 8
MAX_UINT = 2**53 - 1

_packb = msgpack.Packer(use_bin_type=True, strict_types=True, autoreset=True).pack


def encode_canonical(value: Any) -> bytes:
    """Encode ints in 0…MAX_UINT, bytes, text, bools, lists and text-keyed maps; raises DecodeError on others."""
    return _packb(_ordered(value, 0))


def decode_canonical(data: bytes, *, max_bytes: int) -> Any:
    """Decode exactly what `encode_canonical` writes; raises DecodeError on any other spelling."""
    if len(data) > max_bytes:
        raise DecodeError(f"{len(data)} bytes where at most {max_bytes} are allowed")
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=False, ext_hook=_refuse_extension)
    except DecodeError:
        raise
    except (ValueError, msgpack.UnpackException, RecursionError) as exc:
        raise DecodeError(f"not msgpack: {type(exc).__name__}") from exc
    _check(value, 0)
    if _packb(value) != data:
        raise DecodeError("not in canonical form")
    return value


def _refuse_extension(code: int, data: bytes) -> Any:
    raise DecodeError(f"msgpack extension type {code}")


def _ordered(value: Any, depth: int) -> Any:
    """The value with its maps in key order, checked on the way."""
    if type(value) is dict:
        ordered = {key: _ordered(value[key], depth + 1) for key in sorted(value)}
        _check(ordered, depth)
        return ordered
    if type(value) in (list, tuple):
        return [_ordered(item, depth + 1) for item in value]
    _check(value, depth)
    return value


def _check(value: Any, depth: int) -> None:
    """Refuse what re-encoding would not notice: types, ranges, key order, depth."""
    kind = type(value)
    if kind is int:
        if not 0 <= value <= MAX_UINT:
            raise DecodeError(f"integer {value} outside 0…2^53-1")
    elif kind is list:
        _check_depth(depth)
        for item in value:
            _check(item, depth + 1)
    elif kind is dict:
        _check_depth(depth)
        previous = None
        for key, item in value.items():
            if type(key) is not str or (previous is not None and key <= previous):
                raise DecodeError(f"map key {key!r} is not text in rising order")
            previous = key
            _check(item, depth + 1)
    elif kind not in (bytes, str, bool):
        raise DecodeError(f"type {kind.__name__} is not allowed")


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise DecodeError(f"nested deeper than {MAX_DEPTH}")
