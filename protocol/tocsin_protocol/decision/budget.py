"""What foreign groups may cost us, and how often a lever may be used (specs/decision.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .levers import Lever

GROUP_BUDGET_MINUTES = 60
GROUP_BUDGET_MS = 30 * 24 * 3600 * 1000
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Charge:
    """Minutes of a lever that a foreign member is held to account for, until the incident is confirmed."""

    member: str
    incident: bytes
    minutes: int
    at_ms: int
    is_refunded: bool = False


def spent_minutes(charges: Iterable[Charge], member: str, incident: bytes, now_ms: int) -> int:
    """What a member stands charged with for other incidents. A clock that was set back gives nothing back."""
    longest: dict[bytes, int] = {}
    for charge in charges:
        if charge.member != member or charge.is_refunded or now_ms - charge.at_ms >= GROUP_BUDGET_MS:
            continue
        # [DECIDE] In one incident a group is charged the minutes of the longest lever, and none of it stops the next.
        if charge.incident != incident:
            longest[charge.incident] = max(longest.get(charge.incident, 0), charge.minutes)
    return sum(longest.values())


def tokens_left(lever: Lever, uses_ms: Iterable[int], now_ms: int) -> int:
    """Tokens in a lever's bucket after these uses (UTC ms, in any order)."""
    refill_ms = lever.refill_minutes * _MINUTE_MS
    tokens, since_ms = lever.tokens, None
    for use_ms in sorted(uses_ms):
        if since_ms is not None:
            gained = (use_ms - since_ms) // refill_ms
            tokens, since_ms = min(lever.tokens, tokens + gained), since_ms + gained * refill_ms
        if tokens == lever.tokens or since_ms is None:
            since_ms = use_ms
        tokens = max(0, tokens - 1)
    if since_ms is None:
        return tokens
    return min(lever.tokens, tokens + max(0, now_ms - since_ms) // refill_ms)


def rests_until_ms(lever: Lever, uses_ms: Iterable[int]) -> int:
    """When the lever's cooldown after its last use is over (UTC ms); 0 when it was never used."""
    last_ms = max(uses_ms, default=None)
    return 0 if last_ms is None else last_ms + lever.cooldown_minutes * _MINUTE_MS
