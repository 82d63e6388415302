"""Risk reports on disk: how a subject stands by what is known now, and the reports that were made of it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from statistics import median_high

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.decision.judge import Judgement
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.log.tree import leaf_hash, root_of_leaves
from tocsin_protocol.risk.model import Subject, assess
from tocsin_protocol.risk.report import (
    MAX_LIFETIME_MS,
    OracleDomain,
    RiskReport,
    SignedReport,
    category_bytes,
    open_report,
    severity_number,
    sign_report,
    subject_hash,
)
from tocsin_protocol.risk.states import PPM, RiskState, Standing, check_move, find_standing
from tocsin_protocol.risk.upkeep import next_epoch, why_due
from tocsin_protocol.taxonomy import Category

from ..exposure import Exposure
from .audit import append_audit
from .risk_sight import Reporting, look_at
from .rules import Rules

# Of one subject and oracle: some four hours of them.
KEPT_REPORTS = 512


@dataclass(frozen=True, slots=True)
class Made:
    """A report that was made, and why."""

    signed: SignedReport
    why: str


@dataclass(frozen=True, slots=True)
class _Last:
    """The last report, and since when its standing is what it is."""

    signed: SignedReport
    since_ms: int


def report_subject(
    connection: sqlite3.Connection,
    rules: Rules,
    reporting: Reporting,
    subject: str,
    tvl_usd: int | None,
    now_ms: int,
    floor: tuple[int, Standing] = (0, Standing.none()),
) -> Made | None:
    """Make the next report about a subject durable; None where the last one says all of it still.

    `floor` is the epoch and standing that the contract holds of us. Raises RiskError or ExposureError where none can
    be made.
    """
    last = _read_last(connection, reporting.domain, subject)
    # [RISK] What the contract holds of a signer counts as his last report where his database knows none so late.
    if last is not None and last.signed.report.epoch < floor[0]:
        last = None
    before = last.signed.report.standing if last else floor[1]
    looked = look_at(connection, rules, reporting, subject, before.incident, now_ms)
    standing = find_standing(before, [one.seen for one in looked])
    check_move(before, standing)
    since_ms = last.since_ms if last and standing == before else now_ms
    judgement = next((one.judgement for one in looked if one.seen.incident == standing.incident), None)
    tvl = _value_of(rules.exposure, subject, tvl_usd)
    report = _write(reporting, subject, standing, judgement, last, since_ms, tvl, now_ms, floor[0])
    why = why_due(last.signed.report if last else None, report)
    if why is None:
        return None
    signed = sign_report(reporting.domain, reporting.secret, report, reporting.signer)
    _insert(connection, reporting.domain, subject, signed, since_ms)
    if why != "renewal":
        detail = {"risk_report": signed.encoded, "oracle": reporting.domain.account, "subject": subject, "why": why}
        append_audit(connection, now_ms, EntryKind.NODE, signed.digest, detail)
    return Made(signed, why)


def _value_of(exposure: Exposure, subject: str, tvl_usd: int | None) -> int:
    """What lies in a subject: by our own manifest where it is ours and priced, else as the operator says."""
    amounts = [
        holding.amount.micro_usd
        for holding in exposure.own.holdings
        if holding.amount is not None and any(one.value == subject for one in holding.subjects)
    ]
    return sum(amounts) if amounts else (tvl_usd or 0) * PPM


def _write(
    reporting: Reporting,
    subject: str,
    standing: Standing,
    judgement: Judgement | None,
    last: _Last | None,
    since_ms: int,
    tvl: int,
    now_ms: int,
    least_epoch: int,
) -> RiskReport:
    before = last.signed.report if last else None
    goes_on = before is not None and before.incident == standing.incident and before.state is not RiskState.NONE
    # [RISK] The value at risk is the most that was there since the incident began.
    if goes_on and before is not None:
        tvl = max(tvl, before.tvl_at_risk)
    said = judgement.weighty if judgement else ()
    speaks = bool(said) and standing.state is not RiskState.NONE
    # [RISK] Losses and drain are the medians of what those say whose word weighs, of two the higher.
    lost = median_high([signal.loss.observed_micro_usd for signal in said]) if speaks else 0
    drain = median_high([signal.loss.rate_micro_usd_per_hour for signal in said]) if speaks else 0
    # [RISK] What was lost stays lost after those have fallen silent who told of it.
    if goes_on and before is not None:
        lost = max(lost, before.loss_observed)
    category, severity, root = _about(standing, judgement, before if goes_on else None)
    assessed = assess(
        reporting.model,
        Subject(
            state=standing.state,
            belief_ppm=round(judgement.belief.probability * PPM) if judgement else 0,
            tvl=tvl,
            lost=lost,
            drain_rate=drain if standing.state >= RiskState.SUSPECTED else 0,
            over_ms=now_ms - since_ms if standing.state is RiskState.RESOLVED else None,
        ),
    )
    fields = {name: getattr(assessed, name) for name in assessed.__slots__}
    return RiskReport(
        subject=subject_hash(subject),
        incident=standing.incident,
        state=standing.state,
        category=category,
        severity=severity,
        **fields,
        epoch=next_epoch(before.epoch if before else least_epoch, now_ms),
        observed=now_ms,
        expires=now_ms + MAX_LIFETIME_MS,
        previous=last.signed.digest if last else NO_DIGEST,
        evidence_root=root,
        model_hash=reporting.model.hash,
    )


def _about(standing: Standing, judgement: Judgement | None, before: RiskReport | None) -> tuple[bytes, int, bytes]:
    """Category, severity and evidence root: of what counts now, else as the last report about the incident had them."""
    if standing.state is RiskState.NONE:
        return category_bytes(None), severity_number(None), NO_DIGEST
    if judgement is None or not judgement.reports:
        if before is not None:
            return before.category, before.severity, before.evidence_root
        category = judgement.category if judgement else None
        return category_bytes(category or Category.META_UPDATE), 1, NO_DIGEST
    worst = max((signal.severity for signal in judgement.weighty), key=lambda one: one.rank, default=None)
    root = root_of_leaves(leaf_hash(digest) for digest in sorted(judgement.reports))
    return category_bytes(judgement.category), max(1, severity_number(worst)), root


def _insert(
    connection: sqlite3.Connection, domain: OracleDomain, subject: str, signed: SignedReport, since_ms: int
) -> None:
    # [RISK] An epoch is on disk before its report is shown to anybody.
    connection.execute(
        "INSERT INTO risk_reports VALUES (?, ?, ?, ?, ?)",
        (domain.account, subject, signed.report.epoch, signed.encoded, since_ms),
    )
    connection.execute(
        "DELETE FROM risk_reports WHERE oracle = ?1 AND subject = ?2 AND epoch <="
        " (SELECT epoch FROM risk_reports WHERE oracle = ?1 AND subject = ?2 ORDER BY epoch DESC LIMIT 1 OFFSET ?3)",
        (domain.account, subject, KEPT_REPORTS),
    )


def _read_last(connection: sqlite3.Connection, domain: OracleDomain, subject: str) -> _Last | None:
    row = connection.execute(
        "SELECT encoded, since_ms FROM risk_reports WHERE oracle = ? AND subject = ? ORDER BY epoch DESC LIMIT 1",
        (domain.account, subject),
    ).fetchone()
    return _Last(open_report(domain, row[0]), row[1]) if row else None
