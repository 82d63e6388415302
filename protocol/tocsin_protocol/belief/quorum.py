"""How often k of n independent groups speak by chance, and how often when it is real."""

from __future__ import annotations

from scipy import special  # type: ignore[import-untyped]

from ..errors import BeliefError

MAX_GROUPS = 2_048


def probability_of_quorum(wanted: int, groups: int, probability: float) -> float:
    """The chance that `wanted` or more of `groups` speak, each with `probability` and by itself.

    With the chance of a false alarm it is that of a false quorum, with the hit rate that of a quorum when the
    incident is real. Binomial tail (scipy.special.bdtrc). Raises BeliefError.
    """
    if not 0 <= wanted <= groups or not 0 < groups <= MAX_GROUPS:
        raise BeliefError(f"quorum: {wanted} of {groups} groups, where 0…n of 1…{MAX_GROUPS} is wanted")
    if not 0 <= probability <= 1:
        raise BeliefError(f"quorum: probability is {probability}, not 0…1")
    return 1.0 if wanted == 0 else float(special.bdtrc(wanted - 1, groups, probability))
