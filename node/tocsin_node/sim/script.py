"""What is said in one run of a scenario: real signals, with delays, misses and answers drawn by the seed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from msgspec.structs import replace
from tocsin_protocol.evidence.relevance import ANY_ROLE, LOCAL_EVIDENCE
from tocsin_protocol.ids import DIGEST_BYTES
from tocsin_protocol.model import Detector, Loss, Reference, Signal, Subject
from tocsin_protocol.model import Evidence as Claim
from tocsin_protocol.taxonomy import THREATENED_ROLES, Category, EvidenceKind, Severity, Tlp

from ..policy_file import MICRO
from .cast import Cast
from .scenario import Answer, Delay, Evidence, Report, Scenario, Scope
from .subjects import chain_or_default, kind_of

# The clock of a replay ticks in seconds: a block takes as long, and moments that are alike are decided alike.
TICK_MS = 1_000
# A second over the mesh; nothing to ourselves.
TRAVEL_MS = 1_000
# Of our own watcher when it measures an outflow past its limit.
OUTFLOW_CONFIDENCE = 90
_Z95 = 1.6448536269514722


@dataclass(frozen=True, slots=True)
class Heard:
    """One signal as it arrives (UTC ms), and what our endpoints will say of its evidence `answer_ms` later.

    `report` is the number of the report in the scenario: signals of one report differ in their times alone.
    """

    at_ms: int
    publisher: bytes
    digest: bytes
    signal: Signal
    report: int
    answer: Answer | None
    answer_ms: int


def write_script(scenario: Scenario, cast: Cast, seed: int) -> list[Heard]:
    """All that is heard in one run, by time. Equal arguments give equal scripts, whatever the policy."""
    issued: dict[str, list[tuple[bytes, bytes]]] = {}
    script: list[Heard] = []
    for number, report in enumerate(scenario.report):
        # Simulation, not secrecy; each report has draws of its own, so that one more changes no other.
        draws = Random(f"{scenario.name} {seed} {number}")  # noqa: S311
        before = len(script)
        script += _hear(scenario, cast, report, number, draws, issued)
        issued[report.id] = [(heard.publisher, heard.digest) for heard in script[before:]]
    script.sort(key=lambda heard: (heard.at_ms, heard.digest))
    return script


def write_measurement(scenario: Scenario, cast: Cast, scope: Scope, number: int, at_ms: int, usd: int) -> Heard:
    """The finding of our own watcher that as much has left a scope, past its limit; our endpoints show it at once."""
    report = Report(
        by=scenario.seat,
        at_s=0,
        category=Category.ASSET_DRAIN,
        severity=Severity.CRITICAL,
        confidence=OUTFLOW_CONFIDENCE,
        subject=scope.id,
        evidence=Evidence(kind=EvidenceKind.BALANCE, answer=Answer.CONFIRMED),
    )
    signal = replace(
        _signal(scenario, report),
        detected_ms=at_ms,
        issued_ms=at_ms,
        expires_ms=at_ms + report.expires_after_s * 1000,
        loss=Loss(usd * MICRO, 0, 0),
    )
    digest = (number << 64).to_bytes(DIGEST_BYTES)
    return Heard(at_ms, cast.own, digest, signal, number, Answer.CONFIRMED, answer_ms=0)


def _hear(
    scenario: Scenario,
    cast: Cast,
    report: Report,
    number: int,
    draws: Random,
    issued: dict[str, list[tuple[bytes, bytes]]],
) -> Iterator[Heard]:
    template = _signal(scenario, report)
    travel_ms = 0 if report.by == scenario.seat else TRAVEL_MS
    for at, publisher in enumerate(cast.publishers[report.by]):
        for time in range(report.times):
            issued_ms = scenario.starts_ms + _issued_ms(report, time, draws)
            arrives_ms = issued_ms + travel_ms
            if report.arrives_s is not None:
                arrives_s = report.arrives_s + round(draws.random() * report.arrives_within_s)
                arrives_ms = scenario.starts_ms + arrives_s * TICK_MS
            answer_ms = 0 if report.evidence is None else _draw_ms(report.evidence.after_s, draws)
            target = _target(issued.get(report.to, []), publisher)
            # Drawn last, and always: a report that is missed leaves all the others as they are.
            if draws.random() * 100 < report.miss_percent or (report.relation and target is None):
                continue
            signal = replace(
                template,
                detected_ms=issued_ms,
                issued_ms=issued_ms,
                expires_ms=issued_ms + report.expires_after_s * 1000,
                references=(Reference(report.relation, target),) if report.relation and target else (),
            )
            # In place of the envelope's digest: one for each signal.
            digest = ((number << 64) + (at << 32) + time + 1).to_bytes(DIGEST_BYTES)
            yield Heard(
                at_ms=arrives_ms,
                publisher=publisher,
                digest=digest,
                signal=signal,
                report=number,
                answer=_answer(report),
                answer_ms=answer_ms,
            )


def _answer(report: Report) -> Answer | None:
    """What our endpoints will say; None where there is no claim that would be local evidence for its category."""
    evidence = report.evidence
    if evidence is None or evidence.kind not in LOCAL_EVIDENCE.get(report.category, frozenset()):
        return None
    return evidence.answer if report.category in ANY_ROLE or report.role in THREATENED_ROLES else None


def _issued_ms(report: Report, time: int, draws: Random) -> int:
    at_s = report.at_s + time * (report.every_s or 0) + round(draws.random() * report.within_s)
    return at_s * TICK_MS + (_draw_ms(report.delay_s, draws) if report.delay_s else 0)


def _draw_ms(delay: Delay, draws: Random) -> int:
    spread = max(0.0, math.log(delay.p95 / delay.median)) / _Z95
    return round(delay.median * math.exp(spread * draws.gauss())) * TICK_MS


def _target(issued: list[tuple[bytes, bytes]], publisher: bytes) -> bytes | None:
    """The publisher's own signal of that report, or else the first; None when nobody made it."""
    own = [digest for by, digest in issued if by == publisher]
    return next(iter(own or [digest for _, digest in issued]), None)


def _signal(scenario: Scenario, report: Report) -> Signal:
    """What the report says; times and references are put in for each signal."""
    member = next(member for member in scenario.member if member.name == report.by)
    claims = report.claims
    detector, vendor, rpc_group = (
        (member.detector, member.vendor, member.rpc_groups[0])
        if claims is None
        else (claims.detector, claims.vendor, claims.rpc_group)
    )
    content_hash = sha256(f"{vendor} {detector}".encode()).digest()
    return Signal(
        category=report.category,
        confidence=report.confidence,
        credibility=3,
        detected_ms=0,
        detector=Detector(detector, vendor, content_hash, rpc_group),
        drill=report.drill,
        evidence=()
        if report.evidence is None
        else (Claim(report.evidence.kind, chain_or_default(report.subject), 0, "", ""),),
        expires_ms=0,
        issued_ms=0,
        loss=Loss(0, 0, 0),
        references=(),
        severity=report.severity,
        stage=report.stage,
        subjects=(Subject(report.role, kind_of(report.subject), report.subject),),
        tier=0,
        tlp=Tlp.AMBER,
    )
