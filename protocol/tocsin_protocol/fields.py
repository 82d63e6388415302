"""Checks that decoders share: each returns the value in its type or raises DecodeError naming the field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

from .errors import DecodeError

MAX_LABEL_BYTES = 256
# Control characters and direction overrides can rewrite the terminal or log line that shows them.
_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSHOWABLE_IN_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


_E = TypeVar("_E", bound=StrEnum)


def map_of(where: str, value: Any, names: tuple[str, ...], optional: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A map with exactly these keys (in rising order); those in `optional` may be absent."""
    if type(value) is not dict:
        raise DecodeError(f"{where} is not a map")
    for name in value:
        if name not in names:
            raise DecodeError(f"{where} has the unknown key {str(name)[:80]!r}")
    for name in names:
        if name not in value and name not in optional:
            raise DecodeError(f"{where} lacks the key {name!r}")
    return value


def list_of(where: str, value: Any, least: int, most: int) -> list[Any]:
    """A list of `least` to `most` items."""
    if type(value) is not list or not least <= len(value) <= most:
        raise DecodeError(f"{where} is not a list of {least if least == most else f'{least}…{most}'}")
    return value


def text_of(
    where: str, value: Any, max_bytes: int = MAX_LABEL_BYTES, *, least_bytes: int = 1, lines: bool = False
) -> str:
    """Text of `least_bytes` to `max_bytes` bytes of UTF-8 that is safe to show; line feeds only with `lines`."""
    if type(value) is not str:
        raise DecodeError(f"{where} is not text")
    # Printable text holds none of them, and most text is; the pattern alone is the rule.
    if not value.isprintable() and (_UNSHOWABLE_IN_LINES if lines else _UNSHOWABLE).search(value):
        raise DecodeError(f"{where} is not text without control characters")
    if not least_bytes <= (len(value) if value.isascii() else len(value.encode())) <= max_bytes:
        raise DecodeError(f"{where} is not text of {least_bytes}…{max_bytes} bytes")
    return value


def texts_of(where: str, value: Any, most: int) -> tuple[str, ...]:
    """Up to `most` texts."""
    return tuple(text_of(where, item) for item in list_of(where, value, 0, most))


def id_of(where: str, value: Any, check: Callable[[str], str]) -> str:
    """Text that a check of `ids` lets pass."""
    text = text_of(where, value)
    try:
        return check(text)
    except DecodeError as exc:
        raise DecodeError(f"{where}: {exc}") from exc


def bytes_of(where: str, value: Any, length: int) -> bytes:
    """Exactly `length` bytes."""
    if type(value) is not bytes or len(value) != length:
        raise DecodeError(f"{where} is not {length} bytes")
    return value


def uint_of(where: str, value: Any, least: int = 0, most: int = 2**53 - 1) -> int:
    """An integer in `least`…`most`; never a bool."""
    if type(value) is not int or not least <= value <= most:
        raise DecodeError(f"{where} is not an integer in {least}…{most}")
    return value


def bool_of(where: str, value: Any) -> bool:
    """True or False; never an integer."""
    if type(value) is not bool:
        raise DecodeError(f"{where} is not true or false")
    return value


def enum_of(where: str, value: Any, kind: type[_E]) -> _E:
    """One of an enumeration's texts."""
    member: _E | None = _members(kind).get(value) if type(value) is str else None
    if member is None:
        raise DecodeError(f"{where} is {str(value)[:80]!r}, not one of {', '.join(kind)}")
    return member


@cache
def _members(kind: type[_E]) -> dict[str, _E]:
    """Members by text: an eighth of the price of calling the enumeration."""
    return {member.value: member for member in kind}


def check_unique(what: str, values: Iterable[Any], *, ordered: bool = False) -> None:
    """Refuse a repeated value; with `ordered`, also values that do not rise."""
    values = list(values)
    if ordered and all(one < following for one, following in pairwise(values)):
        return
    if len(set(values)) != len(values):
        raise DecodeError(f"the same {what} stands twice")
    if ordered:
        raise DecodeError(f"{what}s are not in rising order")
