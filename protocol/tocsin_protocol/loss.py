"""How much can be gone before containment bites, and what a bound on it asks for (specs/exposure.md).

Money in micro-USD, times in ms, drains in micro-USD per hour. Amounts lost are rounded up, amounts allowed down.
Raises ExposureError for negative, infinite or otherwise impossible input, throughout.
"""

from __future__ import annotations

import math

from .quantities import count, duration_ms, money, probability

HOUR_MS = 3_600_000
# Any latency at all beats a drain this slow; also the answer when nothing drains or nothing is waited for.
MAX_FEASIBILITY = 1e9
MAX_BLOCKS = 1_000_000
MAX_WINDOWS = 1_000_000


def lost_by_then(drain_micro_usd_per_hour: int, latency_ms: int) -> int:
    """What leaves between detection and containment: r·τ."""
    rate, latency = money("drain", drain_micro_usd_per_hour), duration_ms("latency", latency_ms)
    return -(-rate * latency // HOUR_MS)


def trigger_micro_usd(mal_micro_usd: int, drain_micro_usd_per_hour: int, latency_ms: int) -> int:
    """The outflow at which to act so that no more than MAL is lost: max(0, MAL − r·τ). 0: act at once, and late."""
    return max(0, money("MAL", mal_micro_usd) - lost_by_then(drain_micro_usd_per_hour, latency_ms))


def feasibility(mal_micro_usd: int, drain_micro_usd_per_hour: int, latency_ms: int) -> float:
    """MAL/(r·τ): below 1 no reaction keeps to MAL, and only in-line caps can. At most MAX_FEASIBILITY."""
    mal = money("MAL", mal_micro_usd)
    lost = money("drain", drain_micro_usd_per_hour) * duration_ms("latency", latency_ms)
    return min(MAX_FEASIBILITY, mal * HOUR_MS / lost) if lost else MAX_FEASIBILITY


def per_block_cap(mal_micro_usd: int, blocks: int) -> int:
    """The cap on each block's outflow that keeps to MAL when containment takes `blocks` blocks after the first."""
    return money("MAL", mal_micro_usd) // (count("blocks", blocks, 0, MAX_BLOCKS) + 1)


def rolling_cap_worst(fraction: float, windows: int) -> float:
    """The most that leaves in `windows` windows, when each may take `fraction` of what is left: 1 − (1−f)ⁿ."""
    return _at_least_once(probability("fraction", fraction), count("windows", windows, 0, MAX_WINDOWS))


def inclusion_within(per_block: float, blocks: int) -> float:
    """The probability that a transaction is in one of the next `blocks` blocks: 1 − (1−q)ᵏ, blocks independent."""
    return _at_least_once(probability("inclusion", per_block), count("blocks", blocks, 0, MAX_BLOCKS))


def proportional_loss(half_life_ms: int, mean_containment_ms: int) -> float:
    """The share expected lost when half of the rest drains every half-life and containment is exponential.

    E[1 − e^(−λT)] = λμ/(1+λμ), with λ = ln 2/half-life and μ the mean time to containment.
    """
    mean = duration_ms("mean containment", mean_containment_ms)
    drained = math.log(2) * mean / duration_ms("half-life", half_life_ms, 1)
    return drained / (1 + drained)


def required_mean_containment_ms(tvl_micro_usd: int, mal_micro_usd: int, half_life_ms: int) -> float:
    """The mean time to containment (ms) with which `proportional_loss` of TVL is MAL: x/(1−x)/λ, x = MAL/TVL.

    MAL at or above TVL asks for nothing in particular and is refused, as is a TVL of 0.
    """
    tvl = money("TVL", tvl_micro_usd, 1)
    mal = money("MAL", mal_micro_usd)
    rest = money("TVL less MAL", tvl - mal, 1)
    return duration_ms("half-life", half_life_ms, 1) / math.log(2) * mal / rest


def linear_loss(tvl_micro_usd: int, drain_micro_usd_per_hour: int, mean_containment_ms: int) -> int:
    """What is expected lost of TVL to a steady drain, containment exponential: E[min(rT, V)] = rμ(1 − e^(−V/(rμ)))."""
    tvl, rate = money("TVL", tvl_micro_usd), money("drain", drain_micro_usd_per_hour)
    drained = rate * duration_ms("mean containment", mean_containment_ms) / HOUR_MS
    if not drained:
        return 0
    return min(tvl, math.ceil(-drained * math.expm1(-tvl / drained)))


def _at_least_once(chance: float, tries: int) -> float:
    """1 − (1−chance)^tries without losing small chances to rounding."""
    if chance == 1:
        return float(tries > 0)
    return -math.expm1(tries * math.log1p(-chance))
