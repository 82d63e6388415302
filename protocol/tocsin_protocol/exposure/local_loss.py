"""What an incident would cost us: by holding, in all, and against the loss we allow (specs/exposure.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..quantities import duration_ms, money, probability
from .graph import Node
from .manifest import Amount
from .spread import Spread, own_distress

# A day: value in a market may double or halve in it, and a manifest is cheap to issue.
MAX_AMOUNT_AGE_MS = 24 * 3600 * 1000
# Also the score of any loss where none is allowed.
MAX_SCORE = 1e6


@dataclass(frozen=True, slots=True)
class HoldingLoss:
    """One holding of ours that is touched. Money in micro-USD, rounded up; no amount: its value is not known."""

    holding: str
    amount_micro_usd: int | None
    distress: float
    at_stake_micro_usd: int
    expected_micro_usd: int


@dataclass(frozen=True, slots=True)
class LocalLoss:
    """The holdings touched, the heaviest loss first; sums; and which amounts were missing or old.

    At stake is what is lost if the incident is real, expected that times the belief, the score expected over MAL.
    """

    holdings: tuple[HoldingLoss, ...]
    at_stake_micro_usd: int
    expected_micro_usd: int
    score: float
    unpriced: tuple[str, ...]
    stale: tuple[str, ...]


def assess_local_loss(
    spread: Spread, shock: Mapping[Node, float], belief: float, mal_micro_usd: int, now_ms: int
) -> LocalLoss:
    """What a shock costs us; raises ExposureError for a belief that is not 0…1, bad money or an unknown node."""
    belief = probability("belief", belief)
    touched = own_distress(spread, shock)
    amounts = {node: spread.graph.amounts[node] for node in touched}
    losses = [_loss(node, amounts[node], share, belief) for node, share in touched.items()]
    expected = sum(loss.expected_micro_usd for loss in losses)
    return LocalLoss(
        holdings=tuple(sorted(losses, key=lambda loss: (-loss.at_stake_micro_usd, loss.holding))),
        at_stake_micro_usd=sum(loss.at_stake_micro_usd for loss in losses),
        expected_micro_usd=expected,
        score=score_against_mal(expected, mal_micro_usd),
        # [EXPOSURE] A holding whose amount is not known counts nothing, and the answer names it.
        unpriced=tuple(node.part for node, amount in amounts.items() if amount is None),
        # [EXPOSURE] An amount older than MAX_AMOUNT_AGE_MS counts as it stands, and the answer names its holding.
        stale=tuple(node.part for node, amount in amounts.items() if amount is not None and is_stale(amount, now_ms)),
    )


def score_against_mal(expected_micro_usd: int, mal_micro_usd: int) -> float:
    """Expected loss as a multiple of the largest loss we allow, at most MAX_SCORE; raises ExposureError."""
    expected, mal = money("expected loss", expected_micro_usd), money("MAL", mal_micro_usd)
    if not expected:
        return 0.0
    return min(MAX_SCORE, expected / mal) if mal else MAX_SCORE


def is_stale(amount: Amount, now_ms: int) -> bool:
    """Whether an amount is too old to go without saying so; one from the future is not."""
    return duration_ms("now", now_ms) - amount.read_ms > MAX_AMOUNT_AGE_MS


def _loss(node: Node, amount: Amount | None, distress: float, belief: float) -> HoldingLoss:
    held = 0 if amount is None else amount.micro_usd
    at_stake = _part(held, distress)
    return HoldingLoss(node.part, None if amount is None else held, distress, at_stake, _part(at_stake, belief))


def _part(micro_usd: int, share: float) -> int:
    return min(micro_usd, math.ceil(micro_usd * share))
