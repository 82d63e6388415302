"""Claims about us are checked on our own endpoints, and decided on again by what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path as FilePath

import pytest
import trio
from protocol_kit import VAULT, Feed, make_signal
from relay_kit import Bench, open_bench, wait_until
from store_kit import arm, independent_roster, make_rules
from tocsin_node.relay import checking
from tocsin_node.relay.checking import MAX_WAITING_INCIDENTS, Checking
from tocsin_node.store.arrivals import Filed, Path
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.evidence.answers import Answer, Checked, Doubt
from tocsin_protocol.evidence.predicates import Predicate
from tocsin_protocol.model import Evidence, Signal, Subject
from tocsin_protocol.taxonomy import EvidenceKind, Role, SubjectKind

TX = "0x" + "c3" * 32


class Endpoints:
    """What the operator's endpoints say of every claim, one after another; the last answer stays."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[Predicate] = []
        self.breaks = False

    async def check_predicates(self, predicates: Sequence[Predicate]) -> list[Checked]:
        self.asked += predicates
        if self.breaks:
            raise RuntimeError("a fault of ours")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        doubt = Doubt.NOT_REACHED if answer is Answer.UNKNOWN else None
        return [Checked(predicate, answer, doubt, answer is Answer.UNKNOWN, ()) for predicate in predicates]


def claiming() -> Signal:
    subjects = (Subject(Role.VICTIM, SubjectKind.ACCOUNT, VAULT),)
    return make_signal(subjects=subjects, evidence=(Evidence(EvidenceKind.TRANSACTION, "eip155:1", 7, TX, VAULT),))


@asynccontextmanager
async def open_checking(folder: FilePath, endpoints: Endpoints) -> AsyncIterator[Bench]:
    """A relay whose one lever freezes, which two organisations and evidence set off."""
    async with open_bench(folder, roster=independent_roster()) as bench, trio.open_nursery() as nursery:
        rules = make_rules(roster=bench.network.index, levers=(bench.lever,))
        levers = tuple(replace(lever, tier=Tier.FREEZE) for lever in rules.policy.levers)
        freezing = replace(rules, policy=replace(rules.policy, levers=levers))
        bench.intake._rules = lambda: freezing
        task = Checking(
            bench.store,
            lambda: freezing,
            endpoints,  # type: ignore[arg-type]
            bench.metrics,
            lambda: bench.clock[0],
            bench.intake.announce,
        )
        bench.intake.listeners.append(task.filed)
        await nursery.start(task.run_checking)
        await bench.store.writer.submit(arm)
        yield bench
        nursery.cancel_scope.cancel()


async def report(bench: Bench, *labels: str) -> None:
    for label in labels:
        await bench.intake.admit([Feed(label).seal(claiming()).encoded], Path.GOSSIP)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "RETRY_SECONDS", (0.0, 0.0, 0.0))


async def test_confirmed_evidence_sets_off_the_lever_that_waited_for_it(tmp_path: FilePath) -> None:
    endpoints = Endpoints(Answer.CONFIRMED)
    async with open_checking(tmp_path, endpoints) as bench:
        await report(bench, "brook", "cedar")
        with trio.fail_after(60):
            await bench.lever.done.wait()
        assert len(set(endpoints.asked)) == 1
        assert bench.counted("tocsin_evidence_checks", answer="confirmed") >= 1


async def test_what_nobody_could_tell_is_asked_again_within_bounds(tmp_path: FilePath) -> None:
    endpoints = Endpoints(Answer.UNKNOWN, Answer.UNKNOWN, Answer.CONFIRMED)
    async with open_checking(tmp_path, endpoints) as bench:
        await report(bench, "brook", "cedar")
        with trio.fail_after(60):
            await bench.lever.done.wait()
    never = Endpoints(Answer.UNKNOWN)
    async with open_checking(tmp_path / "never", never) as bench:
        await report(bench, "brook")
        await wait_until(lambda: len(never.asked) == 1 + len(checking.RETRY_SECONDS))
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(never.asked) == 1 + len(checking.RETRY_SECONDS)
        assert bench.lever.ran == []


async def test_contradicted_evidence_sets_off_nothing(tmp_path: FilePath) -> None:
    endpoints = Endpoints(Answer.CONTRADICTED)
    async with open_checking(tmp_path, endpoints) as bench:
        await report(bench, "brook", "cedar")
        await wait_until(lambda: bench.counted("tocsin_evidence_checks", answer="contradicted") >= 1)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert bench.lever.ran == []


async def test_a_fault_of_ours_is_counted_and_checking_goes_on(tmp_path: FilePath) -> None:
    endpoints = Endpoints(Answer.CONFIRMED)
    endpoints.breaks = True
    async with open_checking(tmp_path, endpoints) as bench:
        await report(bench, "brook")
        await wait_until(lambda: bench.counted("tocsin_dropped", reason="evidence-fault") == 1)
        endpoints.breaks = False
        await report(bench, "cedar")
        with trio.fail_after(60):
            await bench.lever.done.wait()


async def test_the_queue_of_incidents_is_bounded(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, tasks=False) as bench:
        task = Checking(
            bench.store,
            lambda: make_rules(),
            Endpoints(Answer.UNKNOWN),  # type: ignore[arg-type]
            bench.metrics,
            lambda: bench.clock[0],
            bench.intake.announce,
        )
        task.filed(Filed(claiming=[bytes([n % 256, n // 256]) for n in range(MAX_WAITING_INCIDENTS + 3)]), Path.GOSSIP)
        assert bench.counted("tocsin_dropped", reason="evidence-queue-full") == 3
