"""Money and spans of time in words, rounded to what a person can use."""

from __future__ import annotations

_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000


def money_text(micro_usd: int) -> str:
    """$950, $12.4k, $27.40M."""
    dollars = micro_usd // 1_000_000
    if dollars >= 1_000_000:
        return f"${dollars / 1_000_000:,.2f}M"
    return f"${dollars / 1_000:,.1f}k" if dollars >= 10_000 else f"${dollars:,}"


def span_text(span_ms: int) -> str:
    """87 ms, 1.19 s, 4 min 10 s, 2 h 05 min, 3 d 4 h; with a minus before it where it is negative."""
    sign, ms = ("-" if span_ms < 0 else ""), abs(span_ms)
    if ms < _SECOND:
        return f"{sign}{ms} ms"
    if ms < _MINUTE:
        return f"{sign}{ms / _SECOND:.2f} s"
    if ms < _HOUR:
        return f"{sign}{ms // _MINUTE} min {ms % _MINUTE // _SECOND:02d} s"
    if ms < _DAY:
        return f"{sign}{ms // _HOUR} h {ms % _HOUR // _MINUTE:02d} min"
    return f"{sign}{ms // _DAY} d {ms % _DAY // _HOUR} h"
