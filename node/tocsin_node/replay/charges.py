"""What foreign members stood charged with by a decision, counted together from the decisions and findings before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tocsin_protocol.decision.budget import GROUP_BUDGET_MS, Charge
from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.decision.tiers import Tier

from ..store.decision_detail import Detail


class Charges:
    """What the uses of levers have charged so far, and what was given back."""

    def __init__(self) -> None:
        self._charges: list[Charge] = []

    def charge(self, policy: Policy, detail: Detail, used: Iterable[str], incident: bytes, at_ms: int) -> None:
        """A decision used these hooks; `detail` is what was kept of it."""
        minutes: Mapping[str, int] = {lever.hook: lever.minutes for lever in policy.levers}
        hooks = set(used)
        self._charges += [
            Charge(member, incident, minutes[row.hook], at_ms)
            for row in detail.levers
            if row.hook in hooks and row.tier >= Tier.TIGHTEN
            for member in row.charged
        ]

    def refund(self, incident: bytes) -> None:
        """An incident was confirmed."""
        self._charges = [replace(c, is_refunded=True) if c.incident == incident else c for c in self._charges]

    def by(self, now_ms: int) -> list[Charge]:
        """What counts at a time, in one order."""
        return in_order(c for c in self._charges if c.at_ms > now_ms - GROUP_BUDGET_MS)


def in_order(charges: Iterable[Charge]) -> list[Charge]:
    """Charges of one time have no order of their own."""
    return sorted(charges, key=lambda c: (c.at_ms, c.incident, c.member, c.minutes, c.is_refunded))
