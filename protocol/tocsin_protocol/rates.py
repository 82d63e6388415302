"""Rate limits per publisher with a reserved CRITICAL lane (specs/gossip.md)."""

from __future__ import annotations

from dataclasses import dataclass

from .roster_model import RateClass
from .taxonomy import CRITICAL


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: sustained signals per second and how many may come at once."""

    per_second: int
    burst: int


STANDARD_RATES = {
    RateClass.LOW: Rate(2, 20),
    RateClass.STANDARD: Rate(20, 500),
    RateClass.HIGH: Rate(500, 10_000),
}
# Reserved: whatever a publisher does on the standard lane, this much CRITICAL still passes.
CRITICAL_RATES = {
    RateClass.LOW: Rate(1, 10),
    RateClass.STANDARD: Rate(5, 50),
    RateClass.HIGH: Rate(50, 1_000),
}
# Envelopes that are not admitted but deserve a look: a signature check and a comparison in the store.
DOUBTFUL_RATE = Rate(50, 1_000)

_DOUBTFUL = -1


class RateLimiter:
    """Token buckets by (publisher, lane), in thousandths of a signal so that no time is lost to rounding."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: dict[tuple[bytes, int], tuple[int, int]] = {}

    def allow(self, publisher: bytes, lane: int, rate_class: RateClass, now_ms: int) -> bool:
        """Take one token if there is one. `now_ms` may jump; a bucket never holds more than its burst."""
        return self._take(publisher, lane, (CRITICAL_RATES if lane == CRITICAL else STANDARD_RATES)[rate_class], now_ms)

    def allow_doubtful(self, publisher: bytes, now_ms: int) -> bool:
        """Take one token for a look at an envelope that is not admitted; a bucket of its own."""
        return self._take(publisher, _DOUBTFUL, DOUBTFUL_RATE, now_ms)

    def _take(self, publisher: bytes, bucket: int, rate: Rate, now_ms: int) -> bool:
        full = rate.burst * 1000
        level, updated_ms = self._buckets.get((publisher, bucket), (full, now_ms))
        level = min(full, level + max(0, now_ms - updated_ms) * rate.per_second)
        allowed = level >= 1000
        self._buckets[publisher, bucket] = (level - 1000 if allowed else level, now_ms)
        return allowed

    def forget_except(self, publishers: frozenset[bytes]) -> None:
        """Drop the buckets of publishers that left the roster."""
        self._buckets = {key: value for key, value in self._buckets.items() if key[0] in publishers}
