"""What became of each lever in a replay, and how long one takes until it holds."""

from __future__ import annotations

from random import Random

from tocsin_protocol.decision.budget import rests_until_ms, tokens_left
from tocsin_protocol.decision.decide import LeverState
from tocsin_protocol.decision.levers import Lever
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.loss import inclusion_within

from .scenario import Chain

# To sign, and to send to all endpoints.
SENDING_MS = 500
MAX_BLOCKS = 100
_MINUTE_MS = 60_000


class LeverLife:
    """One lever through a replay: its uses, until when it holds, when people have armed it again."""

    def __init__(self, lever: Lever, rearm_ms: int) -> None:
        self.lever = lever
        self._rearm_ms = rearm_ms
        self._uses: list[int] = []
        self._begins_ms = self._ends_ms = self._armed_from_ms = self._token_from_ms = self._rests_until_ms = 0

    def use(self, now_ms: int, begins_ms: int, ends_ms: int) -> None:
        """Used now: it holds from one moment until another."""
        if tokens_left(self.lever, self._uses, now_ms) == self.lever.tokens:
            # From a full bucket on, what was before plays no part.
            self._uses.clear()
        self._uses.append(now_ms)
        self._begins_ms, self._ends_ms = begins_ms, ends_ms
        # To notify holds nothing still: nobody has to arm it again.
        self._armed_from_ms = 0 if self.lever.tier is Tier.NOTIFY else max(ends_ms, now_ms + self._rearm_ms)
        self._rests_until_ms = rests_until_ms(self.lever, self._uses)
        self._token_from_ms = self._next_token_ms(now_ms)

    def flags(self, now_ms: int) -> tuple[bool, bool, bool, bool]:
        """All that a decision sees of it: in effect, spent, without a token, resting."""
        return (
            self._begins_ms <= now_ms < self._ends_ms,
            now_ms < self._armed_from_ms,
            now_ms < self._token_from_ms,
            now_ms < self._rests_until_ms,
        )

    def state(self, now_ms: int) -> LeverState:
        """As the core wants it."""
        return LeverState(
            is_armed=True,
            is_spent=now_ms < self._armed_from_ms,
            is_in_effect=self._begins_ms <= now_ms < self._ends_ms,
            uses_ms=tuple(self._uses),
        )

    @property
    def ready_again_ms(self) -> int:
        """When nothing but a decision keeps it from its next use."""
        return max(self._ends_ms, self._armed_from_ms, self._rests_until_ms, self._token_from_ms)

    def _next_token_ms(self, now_ms: int) -> int:
        """The first moment at which its bucket holds a token; found by halving, for tokens only grow meanwhile."""
        if tokens_left(self.lever, self._uses, now_ms):
            return 0
        empty_ms, filled_ms = now_ms, now_ms + self.lever.refill_minutes * _MINUTE_MS
        while filled_ms - empty_ms > 1:
            middle_ms = (empty_ms + filled_ms) // 2
            if tokens_left(self.lever, self._uses, middle_ms):
                filled_ms = middle_ms
            else:
                empty_ms = middle_ms
        return filled_ms


def draw_latency_ms(chain: Chain, draws: Random) -> int:
    """From the decision to the effect: to send, to wait for the block under way, and for one that takes it."""
    block_ms, chance = chain.block_s * 1000, draws.random()
    blocks = next(
        (n for n in range(1, MAX_BLOCKS) if inclusion_within(chain.inclusion_percent / 100, n) >= chance), MAX_BLOCKS
    )
    return SENDING_MS + round(block_ms * (draws.random() + blocks - 1))
