"""Checking the claims of signals that touch us, on our own endpoints, and deciding again by what they say."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import structlog
import trio
from tocsin_protocol.evidence.answers import Answer, Checked
from tocsin_protocol.evidence.predicates import Predicate
from tocsin_protocol.evidence.relevance import MAX_CHECKED_CLAIMS

from tocsin_node.chain.evidence import EvidenceChecker
from tocsin_node.store.arrivals import Filed, Path
from tocsin_node.store.decisions import Decided, decide_incident
from tocsin_node.store.evidence_checks import insert_checks, unchecked_predicates
from tocsin_node.store.rules import Rules
from tocsin_node.store.sightings import load_sightings
from tocsin_node.store.writer import Connection, Store

from .metrics import Metrics

# Incidents that wait to be checked; of more the oldest is left out, and comes again with its next signal.
MAX_WAITING_INCIDENTS = 256
CHECKING_TASKS = 4
# For what acts to be on its way.
ACTING_SECONDS = 0.1
# What no endpoint can tell yet (a block not reached, or not settled) is asked again after these.
RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0)

_log = structlog.get_logger("tocsin.checking")


class Checking:
    """Hears which incidents touch us, and sees that what is claimed of them is checked."""

    def __init__(
        self,
        store: Store,
        rules: Callable[[], Rules],
        checker: EvidenceChecker,
        metrics: Metrics,
        now_ms: Callable[[], int],
        announce: Callable[[Filed, Path], None],
    ) -> None:
        self._store = store
        self._rules = rules
        self._checker = checker
        self._metrics = metrics
        self._now_ms = now_ms
        self._announce = announce
        self._waiting: OrderedDict[bytes, int] = OrderedDict()
        self._resting: set[bytes] = set()
        self._more = trio.Semaphore(0)
        self._nursery: trio.Nursery | None = None

    def filed(self, filed: Filed, path: Path) -> None:
        """A batch is on disk."""
        # What acts goes first: a check cannot hasten it, and asks the same database and endpoints.
        if self._nursery is not None and any(decided.actions for decided in filed.decided):
            self._nursery.start_soon(self._check_later, filed.claiming)
            return
        for incident in filed.claiming:
            self._wait_for(incident, 0)

    async def _check_later(self, incidents: Sequence[bytes]) -> None:
        await trio.sleep(ACTING_SECONDS)
        for incident in incidents:
            self._wait_for(incident, 0)

    async def run_checking(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Check what waits, a few incidents at a time."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for _ in range(CHECKING_TASKS):
                nursery.start_soon(self._run_task)
            task_status.started()

    def _wait_for(self, incident: bytes, tries: int) -> None:
        if incident in self._waiting:
            # Something new was said of it: all its tries are before it again.
            self._waiting[incident] = min(tries, self._waiting[incident])
            return
        self._waiting[incident] = tries
        self._more.release()
        if len(self._waiting) > MAX_WAITING_INCIDENTS:
            self._waiting.popitem(last=False)
            self._metrics.dropped.labels("evidence-queue-full").inc()

    async def _run_task(self) -> None:
        while True:
            await self._more.acquire()
            if not self._waiting:
                continue
            incident, tries = self._waiting.popitem(last=False)
            try:
                await self._check(incident, tries)
            except Exception:  # noqa: BLE001 - what strangers claim must not end the relay; the log has the traceback
                _log.exception("evidence could not be checked", incident=incident)
                self._metrics.dropped.labels("evidence-fault").inc()

    async def _check(self, incident: bytes, tries: int) -> None:
        rules, now_ms = self._rules(), self._now_ms()
        asked: list[Predicate] = await self._store.writer.submit(partial(_unchecked, rules, incident, now_ms))
        if not asked:
            return
        checks: list[Checked] = []
        for at in range(0, len(asked), MAX_CHECKED_CLAIMS):
            checks += await self._checker.check_predicates(asked[at : at + MAX_CHECKED_CLAIMS])
        self._count(incident, checks)
        rules, now_ms = self._rules(), self._now_ms()
        decided = await self._store.writer.submit(partial(_keep, rules, incident, checks, now_ms))
        self._announce(Filed(decided=[decided] if decided else []), Path.OWN)
        is_open = any(check.answer is Answer.UNKNOWN for check in checks)
        if is_open and tries < len(RETRY_SECONDS) and incident not in self._resting:
            assert self._nursery is not None  # noqa: S101 - tasks of it run this
            self._resting.add(incident)
            self._nursery.start_soon(self._again, incident, tries)

    async def _again(self, incident: bytes, tries: int) -> None:
        await trio.sleep(RETRY_SECONDS[tries])
        self._resting.discard(incident)
        self._wait_for(incident, tries + 1)

    def _count(self, incident: bytes, checks: Sequence[Checked]) -> None:
        for check in checks:
            self._metrics.evidence.labels(check.answer.value).inc()
            if check.is_disagreement:
                said = {witness.endpoint: witness.answer.value for witness in check.witnesses}
                _log.error("our own endpoints disagree", incident=incident, claim=str(check.predicate)[:300], said=said)


def _unchecked(rules: Rules, incident: bytes, now_ms: int, connection: Connection) -> list[Predicate]:
    sightings = load_sightings(connection, rules.roster, rules.exposure.watched, incident, now_ms)
    return unchecked_predicates(connection, rules, sightings)


def _keep(
    rules: Rules, incident: bytes, checks: Sequence[Checked], now_ms: int, connection: Connection
) -> Decided | None:
    insert_checks(connection, checks, now_ms)
    return decide_incident(connection, rules, incident, now_ms)
