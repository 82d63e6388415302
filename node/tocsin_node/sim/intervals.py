"""Intervals of 95 %: of means by the bootstrap, of shares by Wilson's score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 2_000
_Z = 1.959963984540054
_SEED = 20_230_313


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """The object of `--json`."""
        return {"value": self.value, "low": self.low, "high": self.high}


def estimate_mean(values: Sequence[float]) -> Estimate:
    """The mean, with percentiles of the means of RESAMPLES resamples (Efron, Ann. Statist. 7, 1979)."""
    import numpy as np

    known = np.asarray(values, dtype=float)
    if known.min() == known.max():
        return Estimate(float(known[0]), float(known[0]), float(known[0]))
    draws = np.random.default_rng(_SEED).integers(0, known.size, (RESAMPLES, known.size))
    low, high = np.percentile(known[draws].mean(axis=1), (2.5, 97.5))
    return Estimate(float(known.mean()), float(low), float(high))


def estimate_share(hits: int, runs: int) -> Estimate:
    """A share of runs in percent, with Wilson's score interval (J. Am. Stat. Assoc. 22, 1927)."""
    share, spread = hits / runs, _Z**2 / runs
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / runs + spread / (4 * runs))
    # At either end the interval begins with the share itself, which rounding would miss.
    low = middle - half if hits else 0.0
    high = middle + half if hits < runs else 1.0
    return Estimate(100 * share, 100 * low, 100 * high)


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; what never came is infinite and counts."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
