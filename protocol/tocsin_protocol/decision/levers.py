"""A lever as the decision sees it: how far it reaches, what it saves, what it costs, how often and how long."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import PolicyError
from .tiers import Tier

MAX_LEVERS = 64
MAX_SCOPES = 256
MAX_LEVER_MINUTES = 7 * 24 * 60
MAX_BUCKET = 100
_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Lever:
    """One pre-authorised hook: effectiveness in percent of the loss it averts, cost in micro-USD if the alarm is false.

    `scopes` are the subjects it holds still; `minutes` is how long, 0 where nothing ends it. The bucket of `tokens`
    fills by one every `refill_minutes`; after a use it rests for `cooldown_minutes`. `asks`: it fires only when the
    operators have approved. Raises PolicyError.
    """

    hook: str
    tier: Tier
    scopes: frozenset[str]
    effectiveness_percent: int
    cost_micro_usd: int
    minutes: int
    cooldown_minutes: int
    tokens: int
    refill_minutes: int
    asks: bool = False

    def __post_init__(self) -> None:
        bounds = {
            "effectiveness_percent": (0, _PERCENT),
            "cost_micro_usd": (0, 2**53 - 1),
            "minutes": (0, MAX_LEVER_MINUTES),
            "cooldown_minutes": (0, MAX_LEVER_MINUTES),
            "tokens": (1, MAX_BUCKET),
            "refill_minutes": (1, 60 * 24 * 365),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise PolicyError(f"lever {self.hook!r}: {name} is {value!r} where {least}…{most} is wanted")
        if not 1 <= len(self.scopes) <= MAX_SCOPES:
            raise PolicyError(f"lever {self.hook!r}: {len(self.scopes)} scopes where 1…{MAX_SCOPES} are wanted")
        for name in ("effectiveness_percent", "cost_micro_usd"):
            if bool(getattr(self, name)) is (self.tier is Tier.NOTIFY):
                wanted = "0, for to notify holds nothing still" if self.tier is Tier.NOTIFY else "above 0"
                raise PolicyError(f"lever {self.hook!r}: {name} is {getattr(self, name)}, not {wanted}")

    @property
    def effectiveness(self) -> float:
        """The share of the loss that it averts, 0…1."""
        return self.effectiveness_percent / _PERCENT
