"""When a report has to be replaced by the next one (specs/risk.md)."""

from __future__ import annotations

from .report import RiskReport
from .states import PPM

RENEW_MS = 30_000
POSTERIOR_STEP_PPM = 50_000
MONEY_STEP_PPM = 20_000


def why_due(published: RiskReport | None, now: RiskReport) -> str | None:
    """Why `now` is to be published after `published`; None: what is published says it still.

    Both are about one subject; `now` is observed now.
    """
    if published is None:
        return "first"
    # [RISK] A report is published when the state or the incident changes.
    if published.standing != now.standing:
        return "state"
    # [RISK] It is published when the posterior has moved by POSTERIOR_STEP_PPM.
    if abs(published.posterior_ppm - now.posterior_ppm) >= POSTERIOR_STEP_PPM:
        return "posterior"
    # [RISK] It is published when value, loss or the 99th percentile has moved by MONEY_STEP_PPM of the value at risk.
    step = MONEY_STEP_PPM * max(published.tvl_at_risk, now.tvl_at_risk)
    moved = max(abs(getattr(published, name) - getattr(now, name)) for name in _MONEY)
    if moved and moved * PPM >= step:
        return "money"
    # [RISK] It is published anew after RENEW_MS, so that one which counts is always there.
    return "renewal" if now.observed - published.observed >= RENEW_MS else None


def next_epoch(last: int, now_ms: int) -> int:
    """The epoch of the next report after `last` (0: none)."""
    # [RISK] An epoch is the time of its report in ms, or one more than the last where that is later.
    return max(last + 1, now_ms)


_MONEY = ("tvl_at_risk", "loss_observed", "loss_p99")
