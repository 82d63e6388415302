"""How much an incident costs: a lognormal body with a Pareto tail, capped by what is there (specs/risk.md).

Spliced as in Klugman, Panjer, Willmot, "Loss Models" (4th ed., 2012), section 5.2.6; limited expected values from its
appendix A. Tail indices below 1 are usual here: the mean is infinite, and only what is capped has one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from ..quantities import money, number_in

MIN_TAIL_INDEX = 0.2
MAX_TAIL_INDEX = 5.0
MAX_SIGMA = 10.0
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Severity:
    """Losses without a cap: median and splice in micro-USD, sigma of their logarithm below, tail index above.

    Raises ExposureError.
    """

    median_micro_usd: int
    sigma: float
    splice_micro_usd: int
    tail_index: float

    def __post_init__(self) -> None:
        money("median", self.median_micro_usd, 1)
        money("splice", self.splice_micro_usd, self.median_micro_usd)
        number_in("sigma", self.sigma, 0.01, MAX_SIGMA)
        number_in("tail index", self.tail_index, MIN_TAIL_INDEX, MAX_TAIL_INDEX)

    def exceeds(self, loss: float) -> float:
        """The probability 0…1 that an incident costs more than a loss (micro-USD)."""
        if loss <= 0:
            return 1.0
        if loss <= self.splice_micro_usd:
            return self._above(loss)
        return float(self._above(self.splice_micro_usd) * (self.splice_micro_usd / loss) ** self.tail_index)

    def quantile(self, chance: float) -> float:
        """The loss that is exceeded with a probability in (0, 1]; micro-USD, and finite for all but 0."""
        at_splice = self._above(self.splice_micro_usd)
        if chance >= at_splice:
            z = _NORMAL.inv_cdf(min(max(1 - chance, 1e-300), 1 - 1e-16))
            return self.median_micro_usd * math.exp(self.sigma * z)
        return float(self.splice_micro_usd * (at_splice / chance) ** (1 / self.tail_index))

    def expected_between(self, low: float, cap: float) -> float:
        """∫ P(loss > x) dx from `low` to `cap`: what is expected of a loss between them, micro-USD."""
        return max(0.0, self._limited(cap) - self._limited(low)) if cap > low else 0.0

    def _above(self, loss: float) -> float:
        return 1 - _NORMAL.cdf(math.log(loss / self.median_micro_usd) / self.sigma)

    def _limited(self, cap: float) -> float:
        """E[min(loss, cap)]."""
        if cap <= 0:
            return 0.0
        body_end = min(cap, self.splice_micro_usd)
        z = math.log(body_end / self.median_micro_usd) / self.sigma
        mean = self.median_micro_usd * math.exp(self.sigma**2 / 2)
        body = mean * _NORMAL.cdf(z - self.sigma) + body_end * (1 - _NORMAL.cdf(z))
        return body + self._tail(cap)

    def _tail(self, cap: float) -> float:
        splice, index = self.splice_micro_usd, self.tail_index
        if cap <= splice:
            return 0.0
        grown = math.log(cap / splice)
        spread = grown if abs(index - 1) < 1e-9 else math.expm1((1 - index) * grown) / (1 - index)
        return self._above(splice) * splice * spread
