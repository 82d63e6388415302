"""The task that reports: each subject for itself, claims checked by our own endpoints, silent when told to be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

import pytest
import trio
from protocol_kit import ATTACKER, NOW_MS, Feed, make_signal
from relay_kit import Bench, open_bench, wait_until
from store_kit import independent_roster, make_rules
from tocsin_node.relay import risk
from tocsin_node.relay.risk import RiskReports
from tocsin_node.risk_config import RiskSubject
from tocsin_node.store.arrivals import Path
from tocsin_node.store.risk_rows import read_risk_reports
from tocsin_node.store.risk_sight import Reporting
from tocsin_protocol.evidence.answers import Answer, Checked
from tocsin_protocol.evidence.grammar import encode_predicate
from tocsin_protocol.evidence.predicates import Predicate, TxIncluded
from tocsin_protocol.model import Signal, Subject
from tocsin_protocol.risk.model import DEFAULT_MODEL
from tocsin_protocol.risk.report import OracleDomain, SignedReport, open_report
from tocsin_protocol.risk.states import RiskState
from tocsin_protocol.taxonomy import Role, SubjectKind

DOMAIN = OracleDomain("eip155:31337:0x" + "0a" * 20)
ELSEWHERE = "eip155:1:0x" + "e1" * 20
ASSET = "eip155:1/erc20:0x" + "22" * 20
CLAIM = TxIncluded("eip155:1", 16_817_996, "0x" + "c3" * 32, ASSET, ELSEWHERE)
NEVER_AGAIN_SECONDS = 3_600.0
"""Far longer than a test takes on any machine."""
LATE_SUBJECT = "eip155:1:0x" + "e2" * 20


@dataclass
class Endpoints:
    """What our endpoints say of every claim."""

    answer: Answer = Answer.CONFIRMED
    asked: list[Predicate] = field(default_factory=list)

    async def check_predicates(self, predicates: Sequence[Predicate]) -> list[Checked]:
        self.asked += predicates
        return [Checked(predicate, self.answer, None, False, ()) for predicate in predicates]


@dataclass
class Reports:
    """The task with what steers it."""

    bench: Bench
    task: RiskReports
    endpoints: Endpoints
    speaks: list[bool]
    refused: list[int]
    """How often the task was told that the node may not speak."""

    async def latest(self, subject: str = ELSEWHERE) -> SignedReport | None:
        rows = await self.bench.store.writer.submit(lambda connection: read_risk_reports(connection, 10))
        found = {name: open_report(DOMAIN, encoded) for _, name, encoded in rows}
        return found.get(subject)

    async def wait_state(self, state: RiskState) -> SignedReport:
        with trio.fail_after(60):
            while (found := await self.latest()) is None or found.report.state is not state:  # noqa: ASYNC110
                await trio.sleep(0.01)
        return found


@asynccontextmanager
async def open_reports(folder: FilePath, subjects: Sequence[str] = (ELSEWHERE,)) -> AsyncIterator[Reports]:
    async with open_bench(folder, roster=independent_roster()) as bench, trio.open_nursery() as nursery:
        rules = replace(make_rules(roster=bench.network.index, levers=(bench.lever,)), trusted=frozenset({ASSET}))
        own, endpoints, speaks, refused = Feed("alba"), Endpoints(), [True], [0]

        def may_speak() -> bool:
            refused[0] += not speaks[0]
            return speaks[0]

        reporting = Reporting(DOMAIN, own.secret, own.publisher, DEFAULT_MODEL, lambda tlp: True)
        task = RiskReports(
            bench.store,
            lambda: rules,
            reporting,
            [RiskSubject(id=subject, tvl_usd=1_000_000) for subject in subjects],
            endpoints,  # type: ignore[arg-type]
            None,
            may_speak,
            bench.metrics,
            lambda: bench.clock[0],
        )
        bench.intake.listeners.append(task.filed)
        await nursery.start(task.run_risk)
        yield Reports(bench, task, endpoints, speaks, refused)
        nursery.cancel_scope.cancel()


def drain() -> Signal:
    subjects = tuple(
        sorted(
            (
                Subject(Role.ATTACKER, SubjectKind.ACCOUNT, ATTACKER),
                Subject(Role.VICTIM, SubjectKind.ACCOUNT, ELSEWHERE),
            )
        )
    )
    return make_signal(subjects=subjects, evidence=(encode_predicate(CLAIM),))


async def hear(reports: Reports, *names: str) -> None:
    await reports.bench.intake.admit([Feed(name).seal(drain()).encoded for name in names], Path.GOSSIP)


async def test_what_comes_in_is_checked_and_reported_at_once(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(risk, "ASK_AGAIN_SECONDS", NEVER_AGAIN_SECONDS)
    async with open_reports(tmp_path) as reports:
        first = await reports.wait_state(RiskState.NONE)
        await hear(reports, "brook", "cedar")
        said = await reports.wait_state(RiskState.CONFIRMED)
        assert reports.endpoints.asked == [CLAIM]
        assert said.report.epoch > first.report.epoch == NOW_MS
        # counted once it is written, so a moment after it can be read
        await wait_until(lambda: reports.task.made >= 2)


async def test_a_claim_that_nobody_can_tell_is_not_asked_at_every_look(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(risk, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(risk, "ASK_AGAIN_SECONDS", NEVER_AGAIN_SECONDS)
    async with open_reports(tmp_path) as reports:
        reports.endpoints.answer = Answer.UNKNOWN
        await hear(reports, "brook", "cedar")
        await reports.wait_state(RiskState.SUSPECTED)
        # what came in during a look is reported by that one, and asked about by the next
        await wait_until(lambda: len(reports.endpoints.asked) > 0)
        await trio.sleep(0.3)
        assert len(reports.endpoints.asked) == 1
        monkeypatch.setattr(risk, "ASK_AGAIN_SECONDS", 0.0)
        await wait_until(lambda: len(reports.endpoints.asked) > 1)


async def test_a_node_that_may_not_speak_reports_nothing(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risk, "LOOK_SECONDS", 0.02)
    async with open_reports(tmp_path) as reports:
        await reports.wait_state(RiskState.NONE)
        reports.speaks[0] = False
        # looks come one after another: what was under way is over when the next one is refused
        await wait_until(lambda: reports.refused[0] > 0)
        made, refused = reports.task.made, reports.refused[0]
        await hear(reports, "brook", "cedar")
        await wait_until(lambda: reports.refused[0] > refused + 3)
        assert reports.task.made == made
        reports.speaks[0] = True
        await reports.wait_state(RiskState.CONFIRMED)


async def test_one_subject_that_cannot_be_reported_does_not_silence_another(
    tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = risk.report_subject

    def breaks(*arguments: object, **named: object) -> object:
        if named["subject"] == ELSEWHERE:
            raise RuntimeError("a fault of ours")
        return whole(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(risk, "report_subject", breaks)
    monkeypatch.setattr(risk, "LOOK_SECONDS", 0.02)
    async with open_reports(tmp_path, (ELSEWHERE, LATE_SUBJECT)) as reports:
        with trio.fail_after(60):
            while await reports.latest(LATE_SUBJECT) is None:  # noqa: ASYNC110
                await trio.sleep(0.01)
        await wait_until(lambda: reports.bench.counted("tocsin_dropped", reason="risk-fault") > 0)
        assert await reports.latest(ELSEWHERE) is None
