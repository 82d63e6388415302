"""From what our own watchers find to the signal we sign: each crossing once, and only while it is news."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import structlog
import trio
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.freshness import freshness_bound_ms
from tocsin_protocol.model import Detector, Evidence, Loss, Signal, Subject
from tocsin_protocol.taxonomy import Category, EvidenceKind, Role, Severity, Stage, SubjectKind, Tlp

from tocsin_node.detect.finding import Finding
from tocsin_node.store.own_findings import is_own_incident
from tocsin_node.store.writer import Store

from .metrics import Metrics
from .network import Network
from .publishing import Publishing

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

_log = structlog.get_logger("tocsin.findings")


class Findings:
    """Takes findings over from the watchers."""

    def __init__(
        self, store: Store, network: Network, publishing: Publishing, metrics: Metrics, now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._network = network
        self._publishing = publishing
        self._metrics = metrics
        self._now_ms = now_ms
        # Two watchers may see one crossing.
        self._one_at_a_time = trio.Lock()

    async def report(self, finding: Finding) -> bool:
        """Publish a finding unless that was done before or it is too old to act on; False when publishing failed."""
        hint = incident_of_finding(finding)
        log = _log.bind(account=finding.account, asset=finding.asset, incident=hint)
        if self._now_ms() - finding.block_time_ms > freshness_bound_ms(Category.ASSET_DRAIN):
            # Found while reading up: issued now, it would set a lever off as if it had just happened.
            self._metrics.dropped.labels("finding-stale").inc()
            log.warning("outflow past its limit, too long ago to be published", block=finding.block_number)
            return True
        try:
            async with self._one_at_a_time:
                domain = self._network.index.domain
                if await self._store.writer.submit(partial(is_own_incident, domain=domain, hint=hint)):
                    log.info("outflow past its limit, published before")
                    return True
                log.warning("outflow past its limit", block=finding.block_number)
                await self._publishing.publish([signal_of_finding(finding, self._now_ms())])
        except Exception:  # the edge of the watcher's task: no fault of ours may end the watching
            self._metrics.dropped.labels("finding-fault").inc()
            log.exception("finding could not be published")
            return False
        return True


def incident_of_finding(finding: Finding) -> str:
    """Our incident id for a crossing: the same after a restart."""
    return f"outflow-{finding.key.hex()[:16]}"


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
        # The chain's clock may be ahead of ours.
        detected_ms=min(finding.block_time_ms, now_ms),
        issued_ms=now_ms,
        expires_ms=now_ms + OUTFLOW_LIFETIME_MS,
        incident=incident_of_finding(finding),
        subjects=tuple(sorted(subjects)),
        evidence=tuple(
            Evidence(EvidenceKind.TRANSACTION, finding.chain, block, transaction, finding.asset)
            for block, transaction in finding.transactions
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
            f"{_percent(finding.net_outflow, finding)} went out within {finding.window_s} s, net of what came in;"
            f" the limit is {_percent(finding.limit, finding)}. Of {finding.asset}."
        ),
    )


def _percent(amount: int, finding: Finding) -> str:
    """An amount as a part of what was there when the window began."""
    return f"{100 * amount // max(1, finding.balance_at_start)} %"
