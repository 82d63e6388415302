"""Reporting how subjects stand: looked at steadily, claims checked on our own endpoints, each report durable first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import structlog
import trio
from tocsin_protocol.evidence.predicates import Predicate
from tocsin_protocol.evidence.relevance import MAX_CHECKED_CLAIMS
from tocsin_protocol.risk.report import subject_hash
from tocsin_protocol.risk.states import Standing

from tocsin_node.chain.client import ChainClient
from tocsin_node.chain.evidence import EvidenceChecker
from tocsin_node.risk_chain import HeldReport, read_held
from tocsin_node.risk_config import RiskSubject
from tocsin_node.store.arrivals import Filed, Path
from tocsin_node.store.evidence_checks import insert_checks
from tocsin_node.store.risk import Made, report_subject
from tocsin_node.store.risk_sight import Reporting, claims_about
from tocsin_node.store.rules import Rules
from tocsin_node.store.writer import Store

from .metrics import Metrics

# Far below half a report's life: one look that fails leaves no reader without.
LOOK_SECONDS = 2.0
# What a burst of signals changes is looked at once.
SETTLE_SECONDS = 0.2
# What no endpoint could tell is asked again after this.
ASK_AGAIN_SECONDS = 10.0
MAX_CLAIMS_KEPT = 4_096
# A look does not wait longer for the contract's word; the next one asks again.
FLOOR_SECONDS = 5.0
NO_FLOOR = HeldReport(0, Standing.none())

_log = structlog.get_logger("tocsin.risk")


class RiskReports:
    """Makes the reports about the subjects that the operator named."""

    def __init__(
        self,
        store: Store,
        rules: Callable[[], Rules],
        reporting: Reporting,
        subjects: Sequence[RiskSubject],
        checker: EvidenceChecker,
        client: ChainClient | None,
        may_speak: Callable[[], bool],
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._rules = rules
        self._reporting = reporting
        self._subjects = tuple(subjects)
        self._checker = checker
        self._client = client
        self._floors: dict[str, HeldReport] = {}
        self._may_speak = may_speak
        self._metrics = metrics
        self._now_ms = now_ms
        self._wake = trio.Event()
        self._asked: dict[Predicate, float] = {}
        self.made = 0
        metrics.gauge("tocsin_risk_reports", "Risk reports signed in this run.", lambda: self.made)

    def filed(self, filed: Filed, path: Path) -> None:
        """A batch is on disk: what it changes is reported now."""
        self._wake.set()

    async def run_risk(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at every subject, for as long as the node runs."""
        task_status.started()
        while True:
            for subject in self._subjects:
                try:
                    await self._look(subject)
                except Exception:  # noqa: BLE001 - one subject that cannot be reported must not silence the others
                    _log.exception("no report could be made", subject=subject.id)
                    self._metrics.dropped.labels("risk-fault").inc()
            with trio.move_on_after(LOOK_SECONDS):
                await self._wake.wait()
                await trio.sleep(SETTLE_SECONDS)
            self._wake = trio.Event()

    async def _look(self, subject: RiskSubject) -> None:
        # [RISK] A node reports nothing before peers have shown it its own feed, nor once another signs with its key.
        if not self._may_speak():
            return
        await self._check_claims(subject)
        floor = await self._floor(subject)
        rules, now_ms = self._rules(), self._now_ms()
        made: Made | None = await self._store.writer.submit(
            partial(
                report_subject,
                rules=rules,
                reporting=self._reporting,
                subject=subject.id,
                tvl_usd=subject.tvl_usd,
                now_ms=now_ms,
                floor=(floor.epoch, floor.standing),
            )
        )
        if made is not None:
            self.made += 1
            level = _log.debug if made.why == "renewal" else _log.info
            level("risk report", subject=subject.id, state=made.signed.report.state.word, why=made.why)

    async def _floor(self, subject: RiskSubject) -> HeldReport:
        """What the contract held of us when this run began: a database that was put back may not know of it."""
        if subject.id not in self._floors and self._client is not None:
            account, signer = self._reporting.domain.account, self._reporting.signer
            with trio.move_on_after(FLOOR_SECONDS):
                (held,) = await read_held(self._client, account, subject_hash(subject.id), [signer])
                if held is not None:
                    self._floors[subject.id] = held
        return self._floors.get(subject.id, NO_FLOOR)

    async def _check_claims(self, subject: RiskSubject) -> None:
        """Have our own endpoints say what they can of the claims about a subject; each claim now and then."""
        rules, now_ms, at = self._rules(), self._now_ms(), trio.current_time()
        claims = await self._store.writer.submit(
            partial(claims_about, rules=rules, reporting=self._reporting, subject=subject.id, now_ms=now_ms)
        )
        due = [claim for claim in claims if at - self._asked.get(claim, -ASK_AGAIN_SECONDS) >= ASK_AGAIN_SECONDS]
        due = due[:MAX_CHECKED_CLAIMS]
        if not due:
            return
        if len(self._asked) + len(due) > MAX_CLAIMS_KEPT:
            self._asked.clear()
        self._asked |= dict.fromkeys(due, at)
        checks = await self._checker.check_predicates(due)
        now_ms = self._now_ms()
        await self._store.writer.submit(partial(insert_checks, checks=checks, now_ms=now_ms))
