"""Risk reports as commands print them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .output import Output, money_text, short_hex, styled, time_text

if TYPE_CHECKING:
    from tocsin_protocol.risk.aggregate import Aggregate
    from tocsin_protocol.risk.report import SignedReport


def show_reports(out: Output, found: Iterable[tuple[str | None, SignedReport]], now_ms: int) -> None:
    """A table of reports."""
    columns = ("subject", "signer", "state", "incident", "posterior", "at risk", "lost", "p50 / p90 / p99", "premium",
               "capacity", "observed (UTC)", "")  # fmt: skip
    out.table("", columns, [_row(subject, one, now_ms) for subject, one in found])


def _row(subject: str | None, one: SignedReport, now_ms: int) -> tuple[Any, ...]:
    report = one.report
    return (
        subject or "0x" + short_hex(report.subject),
        "0x" + short_hex(one.signer),
        styled(report.state.word),
        short_hex(report.incident) if any(report.incident) else "",
        f"{report.posterior_ppm / 10_000:.1f} %",
        money_text(report.tvl_at_risk),
        money_text(report.loss_observed),
        " / ".join(money_text(loss) for loss in (report.loss_p50, report.loss_p90, report.loss_p99)),
        f"×{report.multiplier_bps / 10_000:,.2f}",
        f"{report.capacity_bps / 100:.0f} %",
        time_text(report.observed)[:19],
        "fresh" if report.observed <= now_ms < report.expires else styled("expiring", "stale"),
    )


def show_aggregate(out: Output, subject: str, whole: Aggregate) -> None:
    """What several reports come to."""
    from ..risk_view import aggregate_view

    if out.as_json:
        out.emit({"subject": subject} | aggregate_view(whole))
        return
    out.say((subject, "bold"), ": ", whole.state.word, f" by {len(whole.counted)} fresh reports")
    out.say(
        f"  posterior {whole.posterior_ppm / 10_000:.1f} %, premium ×{whole.multiplier_bps / 10_000:,.2f}, "
        f"capacity {whole.capacity_bps / 100:.0f} %, loss p50 / p90 / p99 "
        + " / ".join(money_text(loss) for loss in (whole.loss_p50, whole.loss_p90, whole.loss_p99))
    )
