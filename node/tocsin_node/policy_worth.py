"""From which belief each lever is worth using, holding by holding."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.exposure.manifest import Holding, Manifest
from tocsin_protocol.ladder import Lever as Rung
from tocsin_protocol.ladder import build_ladder, find_thresholds


@dataclass(frozen=True, slots=True)
class Worth:
    """The levers of one holding if it alone were lost altogether.

    `steps` are hooks with the belief 0…1 above which each is the cheapest, rising; `never` are hooks that never are,
    each with those that do better. No amount (micro-USD): it is not known, and nothing is worth using.
    """

    holding: str
    micro_usd: int | None
    steps: tuple[tuple[str, float], ...]
    never: tuple[tuple[str, tuple[str, ...]], ...]


def find_worth(policy: Policy, manifest: Manifest) -> tuple[Worth, ...]:
    """One answer for each holding, in the manifest's order."""
    return tuple(_worth(policy, holding) for holding in manifest.holdings)


def _worth(policy: Policy, holding: Holding) -> Worth:
    levers = [lever for lever in policy.levers if lever.tier > Tier.NOTIFY and holding.name in lever.scopes]
    ladder = build_ladder(Rung(lever.hook, lever.effectiveness, lever.cost_micro_usd) for lever in levers)
    never = tuple((left.lever.name, tuple(better.name for better in left.better)) for left in ladder.left_out)
    if holding.amount is None:
        return Worth(holding.name, None, (), never)
    thresholds = find_thresholds(ladder, holding.amount.micro_usd)
    steps = tuple((rung.name, belief) for rung, belief in zip(ladder.rungs[1:], thresholds, strict=True))
    return Worth(holding.name, holding.amount.micro_usd, steps, never)
