"""Carrying reports to the oracle contract, once or round by round: gather, ask who counts there, choose, send."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import outcome
import structlog
import trio
from tocsin_protocol.risk.aggregate import Aggregate, Quorum, aggregate
from tocsin_protocol.risk.report import OracleDomain, SignedReport
from tocsin_protocol.risk.states import RiskState

from .chain.client import ChainClient, open_chain
from .chain.config import ChainConfig
from .clock import now_ms
from .errors import NodeError
from .risk_chain import read_excluded, read_quorum
from .risk_config import RiskFeed
from .risk_gather import Gathered, gather
from .risk_push import Pushed, PushError, choose_reports, find_stories, push_reports, show_stories

# A chain that is back is served within a report's life.
MAX_PAUSE_SECONDS = 60.0

_log = structlog.get_logger("tocsin.oracle")
Rows = Sequence[tuple[str, str, bytes]]


@dataclass(frozen=True, slots=True)
class Carried:
    """What a round came to about one subject; `fault` says why something was not sent that should have been."""

    subject: str
    whole: Aggregate
    chosen: tuple[SignedReport, ...]
    pushed: tuple[Pushed, ...]
    fault: str | None


@dataclass(frozen=True, slots=True)
class Round:
    """What a round came to, with a sentence for everything that went wrong beside; `kept` is for the next one."""

    carried: tuple[Carried, ...]
    faults: tuple[str, ...]
    kept: tuple[SignedReport, ...]


@dataclass(frozen=True, slots=True)
class Carrier:
    """Where reports come from, and where they go; without a key nothing is sent. `own` reads our own reports."""

    oracle: str
    chain: ChainConfig
    key: bytes | None
    own: Callable[[], Rows]
    feeds: tuple[RiskFeed, ...]
    files: tuple[Path, ...]

    async def carry(self, before: Sequence[SignedReport] = ()) -> Round:
        """One round; `before` is what the last one kept. Raises NodeError where the contract cannot be asked."""
        found = await gather(OracleDomain(self.oracle), self.own(), self.feeds, self.files, before)
        async with open_chain(self.chain) as client:
            # An error is taken out of the client's nursery, which would make a group of it.
            done = await outcome.acapture(self._carry, client, found)
        return done.unwrap()

    async def _carry(self, client: ChainClient, found: Gathered) -> Round:
        quorum = await read_quorum(client, self.oracle)
        if quorum is None:
            raise PushError(f"{self.oracle}: the endpoints do not agree that a RiskOracle is there")
        faults = list(found.faults)
        reports = await self._exclude(client, quorum, found.reports, faults)
        carried: dict[bytes, Carried] = {}
        for subject in sorted({one.report.subject for one in reports}):
            whole = aggregate(reports, quorum, subject, now_ms())
            # [RISK] Nothing is paid for a subject of which fewer speak than have to agree, but for our own.
            if whole.state is not RiskState.UNKNOWN or subject in found.subjects:
                name = found.subjects.get(subject, "0x" + subject.hex())
                carried[subject] = await self._carry_one(client, quorum, reports, subject, name, whole)
        now = now_ms()
        kept = [one for one in reports if one.report.subject in carried and now < one.report.expires]
        return Round(tuple(carried.values()), tuple(faults), tuple(kept))

    async def _exclude(
        self, client: ChainClient, quorum: Quorum, reports: Sequence[SignedReport], faults: list[str]
    ) -> list[SignedReport]:
        """The reports that may count; who told two stories is shown to the contract, if it does not know yet."""
        signers = sorted(quorum.signers)
        excluded = await read_excluded(client, self.oracle, signers)
        for one, other in find_stories(reports, quorum.signers - excluded):
            faults.append(f"0x{one.signer.hex()} signed two different reports of one epoch: its word counts no more")
            if self.key is not None:
                try:
                    await show_stories(self.chain, self.key, self.oracle, one, other)
                except PushError as exc:
                    faults.append(f"0x{one.signer.hex()} is not excluded yet: {exc}")
        # [RISK] Who is excluded at the contract is left out: his report would undo the whole call.
        return _thin(reports, quorum.signers - excluded)

    async def _carry_one(
        self,
        client: ChainClient,
        quorum: Quorum,
        reports: Sequence[SignedReport],
        subject: bytes,
        name: str,
        whole: Aggregate,
    ) -> Carried:
        chosen = await choose_reports(client, self.oracle, quorum, reports, subject, now_ms())
        pushed: list[Pushed] = []
        fault = None
        if chosen and self.key is not None:
            try:
                pushed = await push_reports(self.chain, self.key, self.oracle, chosen)
            except PushError as exc:
                fault = f"{name}: {exc}"
        return Carried(name, whole, chosen, tuple(pushed), fault)


def _thin(reports: Iterable[SignedReport], signers: frozenset[bytes]) -> list[SignedReport]:
    """Of each of these signers his latest report about each subject, and and both where he told two stories."""
    kept = [one for one in reports if one.signer in signers]
    latest: dict[tuple[bytes, bytes], SignedReport] = {}
    for one in kept:
        held = latest.get((one.signer, one.report.subject))
        if held is None or one.report.epoch > held.report.epoch:
            latest[one.signer, one.report.subject] = one
    stories = [one for pair in find_stories(kept, signers) for one in pair]
    return list({one.digest + one.signer: one for one in [*latest.values(), *stories]}.values())


async def run_rounds(carrier: Carrier, every_seconds: float) -> None:
    """Carry what is new, round by round, until cancelled. What goes wrong is logged once, and again when it is over."""
    told: frozenset[str] = frozenset()
    kept: tuple[SignedReport, ...] = ()
    pause = every_seconds
    while True:
        begun = trio.current_time()
        try:
            done = await carrier.carry(kept)
            is_stuck = any(one.fault for one in done.carried) and not any(one.pushed for one in done.carried)
        except NodeError as exc:
            done, is_stuck = Round((), (str(exc),), kept), True
        kept = done.kept
        for one in done.carried:
            _log_pushed(one)
        wrong = frozenset((*done.faults, *_closed(done.carried), *(one.fault for one in done.carried if one.fault)))
        for fault in sorted(wrong - told):
            _log.warning("not as it should be", why=fault)
        for fault in sorted(told - wrong):
            _log.info("over", was=fault)
        told = wrong
        # [RISK] While nothing gets through, each pause is twice the one before, up to MAX_PAUSE_SECONDS.
        pause = min(2 * pause, MAX_PAUSE_SECONDS) if is_stuck else every_seconds
        await trio.sleep_until(begun + pause)


def _log_pushed(one: Carried) -> None:
    for pushed in one.pushed:
        _log.info(
            "reports pushed",
            subject=one.subject,
            reports=len(pushed.reports),
            transaction="0x" + pushed.transaction.hex(),
            block=pushed.block,
            state=one.whole.state.word,
            fresh=len(one.whole.counted),
            capacity_bps=one.whole.capacity_bps,
            multiplier_bps=one.whole.multiplier_bps,
        )


def _closed(carried: Iterable[Carried]) -> list[str]:
    """A sentence for each subject that is closed, unless others carry reports too."""
    return [
        f"{one.subject}: too few fresh reports to say how it stands"
        for one in carried
        if one.whole.state is RiskState.UNKNOWN
    ]
