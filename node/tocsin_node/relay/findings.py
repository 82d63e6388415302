"""From what our own watchers find to the signal we sign."""

from __future__ import annotations

import hashlib

from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.model import Detector, Evidence, Loss, Signal, Subject
from tocsin_protocol.taxonomy import Category, EvidenceKind, Role, Severity, Stage, SubjectKind, Tlp

from tocsin_node.detect.finding import Finding

VENDOR = "tocsin"
OWN_RPC_GROUP = "own"
# The limiter measures; what it cannot know is whether the operator moved the funds himself.
OUTFLOW_CONFIDENCE = 90
OUTFLOW_CREDIBILITY = 2
OUTFLOW_LIFETIME_MS = 60 * 60 * 1000
SUGGESTED_TIER = 2
# The rules of the limiter, by version: what a roster declares and independence is judged by.
OUTFLOW_CONTENT_HASH = hashlib.sha256(b"tocsin outflow limiter, ERC-7265, 1").digest()
_SECONDS_PER_HOUR = 3600


def signal_of_finding(finding: Finding, now_ms: int) -> Signal:
    """The signal about an outflow past its limit: the account is the victim, who received is only a recipient.

    The asset is told in the evidence and is no subject: a stablecoin would tie unrelated incidents together.
    """
    subjects = {Subject(Role.VICTIM, SubjectKind.ACCOUNT, finding.account)}
    subjects |= {
        Subject(Role.RECIPIENT, SubjectKind.ACCOUNT, recipient)
        for recipient in finding.recipients
        if recipient != finding.account
    }
    loss_per_hour = finding.loss_micro_usd * _SECONDS_PER_HOUR // finding.window_s
    return Signal(
        category=Category.ASSET_DRAIN,
        stage=Stage.EXPLOITATION,
        severity=Severity.CRITICAL,
        confidence=OUTFLOW_CONFIDENCE,
        credibility=OUTFLOW_CREDIBILITY,
        detected_ms=finding.seen_ms,
        issued_ms=now_ms,
        expires_ms=now_ms + OUTFLOW_LIFETIME_MS,
        incident=f"outflow-{finding.key.hex()[:16]}",
        subjects=tuple(sorted(subjects)),
        evidence=tuple(
            Evidence(EvidenceKind.TRANSACTION, finding.chain, finding.block_number, transaction, finding.asset)
            for transaction in finding.transactions
        ),
        detector=Detector(finding.watcher, VENDOR, OUTFLOW_CONTENT_HASH, OWN_RPC_GROUP),
        loss=Loss(
            *(min(amount, MAX_UINT) for amount in (finding.loss_micro_usd, loss_per_hour, finding.at_risk_micro_usd))
        ),
        tier=SUGGESTED_TIER,
        tlp=Tlp.AMBER,
        references=(),
        cause=None,
        drill=False,
        text=(
            f"Net outflow of {finding.asset} within {finding.window_s} s is {finding.net_outflow} of"
            f" {finding.balance_at_start} at its start; the limit is {finding.limit}."
        ),
    )
