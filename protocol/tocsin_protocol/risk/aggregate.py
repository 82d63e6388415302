"""What the reports of several signers about one subject come to; the contract does the same (specs/risk.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ..errors import RiskError
from ..ids import NO_DIGEST
from .report import MAX_AHEAD_MS, MAX_MULTIPLIER_BPS, SignedReport, contradict
from .states import RiskState, is_legal

MAX_SIGNERS = 32
MAX_REPORTS = 4_096


@dataclass(frozen=True, slots=True)
class Quorum:
    """Whose word counts (addresses), and how many of them have to agree. Raises RiskError."""

    signers: frozenset[bytes]
    threshold: int

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= len(self.signers) <= MAX_SIGNERS:
            raise RiskError(f"{self.threshold} of {len(self.signers)} signers where 1…n of at most {MAX_SIGNERS} go")


@dataclass(frozen=True, slots=True)
class Aggregate:
    """How a subject stands by several reports; fields as in RiskReport. `counted` are the reports by signer.

    UNKNOWN without enough fresh reports. `until_ms`: when it will be UNKNOWN if nothing new comes.
    """

    state: RiskState
    incident: bytes
    posterior_ppm: int
    tvl_at_risk: int
    loss_observed: int
    loss_p50: int
    loss_p90: int
    loss_p99: int
    drain_rate: int
    hazard_rate: int
    multiplier_bps: int
    capacity_bps: int
    until_ms: int
    counted: tuple[SignedReport, ...]
    equivocators: frozenset[bytes]


def aggregate(reports: Iterable[SignedReport], quorum: Quorum, subject: bytes, now_ms: int) -> Aggregate:
    """Put together what is known of a subject now; the order of the reports does not matter. Raises RiskError."""
    said = [one for one in reports if one.signer in quorum.signers]
    if len(said) > MAX_REPORTS:
        raise RiskError(f"{len(said)} reports where at most {MAX_REPORTS} go")
    about = [one for one in said if one.report.subject == subject]
    # Whatever subject it was about: the contract excludes him from all.
    equivocators = find_equivocators(said)
    # [RISK] A report counts from MAX_AHEAD_MS before it was observed until it expires.
    timely = [one for one in about if one.report.observed <= now_ms + MAX_AHEAD_MS and now_ms < one.report.expires]
    # [RISK] Of each signer the report of the highest epoch counts, and none of a signer who equivocated.
    latest: dict[bytes, SignedReport] = {}
    for one in sorted(timely, key=lambda one: (one.report.epoch, one.signature)):
        held = latest.get(one.signer)
        # [RISK] A report to which those before it do not lead is passed over.
        is_led_to = held is None or is_legal(held.report.standing, one.report.standing)
        if one.signer not in equivocators and is_led_to:
            latest[one.signer] = one
    fresh = [one for _, one in sorted(latest.items())]
    # [RISK] With fewer fresh reports than the threshold the state is unknown, capacity 0, the multiplier the highest.
    if len(fresh) < quorum.threshold:
        return _unknown(equivocators)
    return _combine(fresh, quorum.threshold, equivocators)


def find_equivocators(reports: Collection[SignedReport]) -> frozenset[bytes]:
    """The signers of whom two reports contradict each other."""
    told: dict[tuple[bytes, bytes, int], SignedReport] = {}
    found = set()
    for one in reports:
        first = told.setdefault((one.signer, one.report.subject, one.report.epoch), one)
        if contradict(first, one):
            found.add(one.signer)
    return frozenset(found)


def _combine(fresh: list[SignedReport], threshold: int, equivocators: frozenset[bytes]) -> Aggregate:
    reports = [one.report for one in fresh]
    # [RISK] The state is the worst that as many signers as the threshold report, or worse.
    state = sorted((report.state for report in reports), reverse=True)[threshold - 1]
    named = Counter(report.incident for report in reports if report.state >= state)
    # [RISK] The incident is that which most of them name, of as many the lowest id.
    incident = NO_DIGEST if state is RiskState.NONE else min(named, key=lambda one: (-named[one], one))

    # [RISK] Every other field is the median; of two in the middle the lower capacity, else the higher value.
    def middle(name: str) -> int:
        values: list[int] = sorted(getattr(report, name) for report in reports)
        return values[len(values) // 2]

    capacities = sorted(report.capacity_bps for report in reports)
    return Aggregate(
        state=state,
        incident=incident,
        **{name: middle(name) for name in _MEDIANS},
        # [RISK] What is confirmed, contained or recovering by several reports has no capacity, whatever the median.
        capacity_bps=0 if state >= RiskState.RECOVERING else capacities[(len(capacities) - 1) // 2],
        until_ms=sorted((report.expires for report in reports), reverse=True)[threshold - 1],
        counted=tuple(fresh),
        equivocators=equivocators,
    )


_MEDIANS = (
    *("posterior_ppm", "tvl_at_risk", "loss_observed", "loss_p50", "loss_p90", "loss_p99"),
    *("drain_rate", "hazard_rate", "multiplier_bps"),
)


def _unknown(equivocators: frozenset[bytes]) -> Aggregate:
    return Aggregate(
        state=RiskState.UNKNOWN,
        incident=NO_DIGEST,
        **(dict.fromkeys(_MEDIANS, 0) | {"multiplier_bps": MAX_MULTIPLIER_BPS}),
        capacity_bps=0,
        until_ms=0,
        counted=(),
        equivocators=equivocators,
    )
