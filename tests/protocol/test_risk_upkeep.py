"""When a report is due, and its epoch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from risk_kit import OTHER_INCIDENT, risk_report
from tocsin_protocol.risk.states import RiskState
from tocsin_protocol.risk.upkeep import MONEY_STEP_PPM, POSTERIOR_STEP_PPM, RENEW_MS, next_epoch, why_due

LOUD = risk_report(RiskState.CONFIRMED, posterior_ppm=900_000, loss_observed=0)
TWO_PERCENT = LOUD.tvl_at_risk * MONEY_STEP_PPM // 1_000_000


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"state": RiskState.CONTAINED}, "state"),
        ({"incident": OTHER_INCIDENT}, "state"),
        ({"posterior_ppm": 900_000 + POSTERIOR_STEP_PPM}, "posterior"),
        ({"posterior_ppm": 900_000 - POSTERIOR_STEP_PPM + 1}, None),
        ({"loss_observed": TWO_PERCENT}, "money"),
        ({"loss_observed": TWO_PERCENT - 1}, None),
        ({"tvl_at_risk": LOUD.tvl_at_risk - 2 * TWO_PERCENT}, "money"),
        ({"loss_p99": LOUD.loss_p99 - TWO_PERCENT}, "money"),
        ({"observed": LOUD.observed + RENEW_MS, "expires": LOUD.expires + RENEW_MS}, "renewal"),
        ({"observed": LOUD.observed + RENEW_MS - 1, "expires": LOUD.expires + RENEW_MS - 1}, None),
    ],
)
def test_a_report_is_due_when_what_it_says_has_changed_or_is_old(changes: dict[str, Any], why: str | None) -> None:
    assert why_due(LOUD, replace(LOUD, **changes)) == why


def test_the_first_is_due() -> None:
    assert why_due(None, LOUD) == "first"


def test_epochs_rise_whatever_the_clock_does() -> None:
    assert next_epoch(0, 1_000) == 1_000
    assert next_epoch(1_000, 1_000) == 1_001
    assert next_epoch(2_000, 1_000) == 2_001
