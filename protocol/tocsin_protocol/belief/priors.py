"""What is believed before anybody speaks, and how fast words fade, by category (specs/belief.md)."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import BeliefError
from ..freshness import freshness_bound_ms
from ..taxonomy import Category

DEFAULT_PRIOR = 1e-4
MIN_PRIOR = 1e-9
MAX_PRIOR = 0.5
MAX_HALF_LIFE_MS = 7 * 24 * 3600 * 1000

# The chance that such an incident is under way in any one hour, where it differs from the default: what markets
# and machines do by themselves is commoner than an attack.
PRIORS = {
    Category.ORACLE_STALE: 1e-3,
    Category.PRICE_DEPEG: 1e-3,
    Category.LIQUIDITY_RUN: 1e-3,
    Category.INFRA_OUTAGE: 1e-2,
    Category.FUNDING_SUSPICIOUS: 1e-3,
    Category.LAUNDERING_MOVEMENT: 1e-3,
    Category.VULNERABILITY_DISCLOSED: 1e-3,
    Category.GOVERNANCE_MALICIOUS_PROPOSAL: 1e-3,
}


def prior_of(category: Category, overrides: Mapping[Category, float] | None = None) -> float:
    """The probability of an incident of this category before anybody speaks. Raises BeliefError."""
    prior = (overrides or {}).get(category, PRIORS.get(category, DEFAULT_PRIOR))
    check_prior(prior)
    return prior


def half_life_ms(category: Category, overrides: Mapping[Category, int] | None = None) -> int:
    """After how long a word about this category counts half. Raises BeliefError."""
    # [BELIEF] A word counts half at the age of its category's freshness bound, or at what the operator says.
    half_life = (overrides or {}).get(category, freshness_bound_ms(category))
    check_half_life(half_life)
    return half_life


def check_prior(prior: float) -> None:
    """Raises BeliefError unless it is a probability within MIN_PRIOR…MAX_PRIOR."""
    if not MIN_PRIOR <= prior <= MAX_PRIOR:
        raise BeliefError(f"prior: {prior} where {MIN_PRIOR}…{MAX_PRIOR} is wanted")


def check_half_life(half_life: int) -> None:
    """Raises BeliefError unless it is within 1…MAX_HALF_LIFE_MS."""
    if not 1 <= half_life <= MAX_HALF_LIFE_MS:
        raise BeliefError(f"half-life: {half_life} ms where 1…{MAX_HALF_LIFE_MS} is wanted")
