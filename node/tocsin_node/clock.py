"""The one place that reads the wall clock."""

from __future__ import annotations

import time


def now_ms() -> int:
    """UTC in milliseconds since 1970; may jump, so never measure durations with it."""
    return time.time_ns() // 1_000_000
