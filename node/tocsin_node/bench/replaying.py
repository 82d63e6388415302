"""A long history replayed by the simulator: signals per second, and whether twice the signals cost twice the time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from tocsin_protocol.taxonomy import Category, EvidenceKind, Severity

from tocsin_node.sim.fitting import DEFAULT_POLICY, load_any_policy
from tocsin_node.sim.replay import replay
from tocsin_node.sim.scenario import Answer, Evidence, Kind, Member, Report, Scenario, Scope

from .result import LOWER, Result, measured

# One of them is us; the others report.
MEMBERS = 21
SUBJECTS = 10
# Of the subjects, how many are ours: most of what a node hears is about others.
OURS = 2
EVERY_S = 6_600
# Each member about each subject: 12,000 signals, 24,000, …
TIMES = (60, 120, 250, 500)
STARTS = datetime(2026, 1, 1, tzinfo=UTC)
# The exponent of time over signals: 1 is linear, 2 would be quadratic.
GOAL_SLOPE = (LOWER, 1.1)


async def bench_replaying(group: str, advance: Callable[[], None]) -> list[Result]:
    """Histories of rising length at one rate, flown once each; no task but this runs meanwhile."""
    signals, took_s = [], []
    for times in TIMES:
        count, seconds = _fly(times)
        signals.append(count)
        took_s.append(seconds)
        advance()
    per_signal = [measured(group, f"replay of {n:,}", n / s, "signals/s") for n, s in zip(signals, took_s, strict=True)]
    slope = measured(group, "replay: exponent of time over signals", _slope(signals, took_s), "1 is linear", GOAL_SLOPE)
    return [*per_signal, slope]


def _fly(times: int) -> tuple[int, float]:
    """How many signals were heard, and how long that took, in seconds."""
    scenario, policy = _history(times), load_any_policy(DEFAULT_POLICY).policy
    began = time.perf_counter()
    outcome = replay(scenario, policy, seed=0)
    return outcome.signals, time.perf_counter() - began


def _slope(signals: Sequence[int], took_s: Sequence[float]) -> float:
    """Least squares of log seconds over log signals."""
    xs, ys = [math.log(n) for n in signals], [math.log(s) for s in took_s]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum((x - mean_x) ** 2 for x in xs)


def _history(times: int) -> Scenario:
    """Every member reports on every subject again and again; half of what it says is checked and true."""
    members = [Member(name=f"m{n}", vendor=f"v{n}", detector=f"d{n}", rpc_groups=[f"r{n}"]) for n in range(MEMBERS)]
    reports = [
        Report(
            by=member.name,
            at_s=0,
            within_s=EVERY_S - 1,
            every_s=EVERY_S,
            times=times,
            category=Category.ASSET_DRAIN,
            severity=Severity.HIGH,
            confidence=70,
            subject=_account(subject),
            expires_after_s=12 * 3600,
            evidence=Evidence(kind=EvidenceKind.TRANSACTION, answer=Answer.CONFIRMED) if n % 2 else None,
        )
        for n, member in enumerate(members[1:])
        for subject in range(SUBJECTS)
    ]
    return Scenario(
        name="long-history",
        title="A long history",
        kind=Kind.LIMIT,
        summary="Made up, for the bench.",
        seat=members[0].name,
        starts=STARTS,
        lasts_s=times * EVERY_S,
        member=members,
        scope=[Scope(name=f"s{n}", id=_account(n), at_stake_usd=5_000_000) for n in range(OURS)],
        report=reports,
    )


def _account(number: int) -> str:
    return f"eip155:1:0x{number + 1:040x}"
