"""Checks of numbers that losses are worked out from: each returns the number or raises ExposureError naming it."""

from __future__ import annotations

from .encoding import MAX_UINT
from .errors import ExposureError

# A million million USD, more than all there is. Floats of it are exact to 128 micro-USD.
MAX_MICRO_USD = 10**18


def number_in(name: str, value: float, least: float, most: float) -> float:
    """A finite number in `least`…`most`; NaN, infinities and booleans are in no range."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ExposureError(f"{name} is {value!r}, not a number in {least}…{most}")
    return float(value)


def probability(name: str, value: float) -> float:
    """A number in 0…1."""
    return number_in(name, value, 0, 1)


def money(name: str, value: int, least: int = 0) -> int:
    """An amount in micro-USD of `least` to MAX_MICRO_USD; always an integer."""
    return _integer_in(name, value, least, MAX_MICRO_USD)


def count(name: str, value: int, least: int, most: int) -> int:
    """An integer in `least`…`most`."""
    return _integer_in(name, value, least, most)


def duration_ms(name: str, value: int, least: int = 0) -> int:
    """Milliseconds, `least` or more."""
    return _integer_in(name, value, least, MAX_UINT)


def _integer_in(name: str, value: int, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ExposureError(f"{name} is {value!r}, not an integer in {least}…{most}")
    return value
