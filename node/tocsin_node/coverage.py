"""Which pre-authorised lever there is for each kind of threat to each holding, and what is still missing."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tocsin_protocol.decision.levers import Lever
from tocsin_protocol.decision.policy import LossLimit, Policy
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.evidence.relevance import LOCAL_EVIDENCE
from tocsin_protocol.exposure.manifest import Holding, Manifest
from tocsin_protocol.loss import HOUR_MS, feasibility
from tocsin_protocol.taxonomy import Category

from .conditions import can_hold

CATEGORIES = tuple(category for category in Category if category.family != "meta")


@dataclass(frozen=True, slots=True)
class Cell:
    """The highest lever that a category may open for a holding; None where not even people are told."""

    category: Category
    holding: str
    lever: Lever | None


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing at a holding, for which categories (none named: whatever it is), and what to do about it."""

    holding: str
    categories: tuple[Category, ...]
    what: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Cells by category and holding; the feasibility MAL/(r·τ) of each holding's limit; and the gaps."""

    holdings: tuple[str, ...]
    cells: tuple[Cell, ...]
    feasibilities: dict[str, float]
    gaps: tuple[Gap, ...]

    def beats_mal(self, holding: str) -> bool | None:
        """Whether a lever can act before the holding's limit is passed; None where it has no limit."""
        return None if holding not in self.feasibilities else self.feasibilities[holding] >= 1


def find_coverage(
    policy: Policy, manifest: Manifest, members: int | None = None, disarmed: Collection[str] = ()
) -> Coverage:
    """The matrix and its gaps. `members`: how many the roster has, if known; `disarmed`: hooks that may not fire."""
    holdings = tuple(holding.name for holding in manifest.holdings)
    tiers = {category: _highest_tier(policy, category, members) for category in CATEGORIES}
    cells = tuple(Cell(c, holding, _highest(policy, holding, tiers[c])) for c in CATEGORIES for holding in holdings)
    limits = {limit.scope: limit for limit in policy.limits}
    return Coverage(
        holdings,
        cells,
        {name: _feasibility(limits[name]) for name in holdings if name in limits},
        tuple(
            gap
            for holding in manifest.holdings
            for gap in (
                *_missing_levers(policy, holding.name, [cell for cell in cells if cell.holding == holding.name]),
                *_missing_limit(holding.name, limits.get(holding.name)),
                *_missing_amount(holding),
                *_missing_arms(policy, holding.name, disarmed),
            )
        ),
    )


def _highest_tier(policy: Policy, category: Category, members: int | None) -> Tier:
    """The highest tier that an incident of the category can open."""
    if not can_hold(policy.condition, category=str(category)):
        return Tier.NOTIFY
    # Nothing on a chain shows it, so no evidence of it is ever local.
    if category not in LOCAL_EVIDENCE:
        return Tier.TIGHTEN
    others = math.inf if members is None else members - 1
    needed = policy.quorum.pause if members is None else max(policy.quorum.pause, (members - 1) // 3 + 1)
    return Tier.PAUSE if needed <= others else Tier.FREEZE


def _highest(policy: Policy, holding: str, tier: Tier) -> Lever | None:
    covering = [lever for lever in policy.levers if holding in lever.scopes and lever.tier <= tier]
    return max(covering, key=lambda lever: (lever.tier, lever.effectiveness_percent), default=None)


def _feasibility(limit: LossLimit) -> float:
    return feasibility(limit.mal_micro_usd, limit.drain_micro_usd_per_hour, limit.latency_ms)


def _missing_levers(policy: Policy, holding: str, cells: list[Cell]) -> Iterator[Gap]:
    bare = tuple(cell.category for cell in cells if cell.lever is None or cell.lever.tier is Tier.NOTIFY)
    barred = tuple(category for category in bare if not can_hold(policy.condition, category=str(category)))
    unseen = tuple(category for category in bare if category not in barred and category not in LOCAL_EVIDENCE)
    plain = tuple(category for category in bare if category not in barred and category not in unseen)
    scopes = f'scopes = ["{holding}"]'
    if plain:
        what = f"nothing holds it still: add a [[lever]] of tier 'freeze' with {scopes}"
        yield Gap(holding, () if len(plain) == len(CATEGORIES) else plain, what)
    if unseen:
        what = f"no chain shows these, so tier 'tighten' is the most they open: add such a [[lever]] with {scopes}"
        yield Gap(holding, unseen, what)
    if barred:
        what = "the policy's condition never holds for these: people are told, nothing else"
        yield Gap(holding, () if len(barred) == len(CATEGORIES) else barred, what)


def _missing_limit(holding: str, limit: LossLimit | None) -> Iterator[Gap]:
    if limit is None:
        yield Gap(holding, (), f'whether a lever acts in time is not known: add a [[limit]] with scope = "{holding}"')
    elif (kept := _feasibility(limit)) < 1 and not limit.is_acknowledged:
        enough_s = limit.mal_micro_usd * HOUR_MS // limit.drain_micro_usd_per_hour // 1000
        what = (
            f"it can drain past its limit in {enough_s} s and a lever takes {limit.latency_ms // 1000} "
            f"(feasibility {kept:.2f}): act faster, or cap the outflow in the contract"
        )
        yield Gap(holding, (), what)


def _missing_amount(holding: Holding) -> Iterator[Gap]:
    if holding.amount is None:
        what = "its value is not known, so no lever is ever worth using for it: give it an amount in manifest.toml"
        yield Gap(holding.name, (), what)


def _missing_arms(policy: Policy, holding: str, disarmed: Collection[str]) -> Iterator[Gap]:
    for lever in policy.levers:
        if holding in lever.scopes and lever.hook in disarmed:
            yield Gap(holding, (), f"its lever is disarmed: tocsin arm {lever.hook}")
