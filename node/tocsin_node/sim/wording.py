"""Figures in words, for tables and pages."""

from __future__ import annotations

import math

from .intervals import Estimate


def usd_text(usd: float) -> str:
    """$950, $12k, $4.07M."""
    if usd >= 1e6:
        return f"${usd / 1e6:,.2f}M"
    return f"${usd / 1e3:,.0f}k" if usd >= 1e3 else f"${usd:,.0f}"


def span_text(estimate: Estimate) -> str:
    """Money with its interval."""
    return f"{usd_text(estimate.value)} ({usd_text(estimate.low)}…{usd_text(estimate.high)})"


def share_text(estimate: Estimate) -> str:
    """A share in percent with its interval."""
    return f"{estimate.value:.1f} % ({estimate.low:.1f}…{estimate.high:.1f})"


def seconds_text(seconds: float) -> str:
    """A time from the first harm; with a minus before it, `never` if infinite."""
    if not math.isfinite(seconds):
        return "never"
    sign, whole = ("-" if seconds < 0 else ""), abs(round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{sign}{hours} h {rest // 60:02d} min" if hours else f"{sign}{rest // 60} min {rest % 60:02d} s"
