"""What came of all runs of a scenario, and of all scenarios. Money in USD, times in seconds: figures for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..policy_file import MICRO
from .intervals import Estimate, estimate_mean, estimate_share, percentile
from .outcome import Outcome
from .scenario import Kind, Scenario

_MINUTE_MS = 60_000

# What --fail-if may speak of: each figure with what it is. Times and shares of attacks stand only in attacks.
FIGURES: dict[str, str] = {
    "scenario": "its name",
    "kind": "attack, control or limit",
    "runs": "how many runs there were",
    "loss_without_usd": "lost if nobody does anything",
    "loss_people_usd": "lost with the people alone",
    "loss_with_usd": "lost with the policy, and the people when they came (mean)",
    "saved_usd": "loss_without_usd less loss_with_usd",
    "contained_percent": "runs with a lever of tier 2 and up in effect",
    "ttc_p50_s": "first harm to the first such lever in effect; infinite where there was none",
    "ttc_p95_s": "the same of the slowest runs",
    "human_s": "the best published human time",
    "in_time_percent": "runs contained within it",
    "false_pause_minutes": "minutes of tier 2 and up while nothing threatened us (mean)",
    "false_pause_minutes_max": "the same of the worst run",
    "freeze_percent": "runs with any use of tier 2 and up",
    "notices": "notices sent (mean)",
}
Figure = float | int | str


@dataclass(frozen=True, slots=True)
class Summary:
    """All runs of one scenario. `ttc_s` is infinite where nothing contained; what is no attack has none."""

    scenario: Scenario
    runs: int
    loss_without_usd: float
    loss_people_usd: float
    loss_with_usd: Estimate
    false_pause_minutes: Estimate
    false_pause_minutes_max: float
    frozen_runs: int
    contained_runs: int
    in_time_runs: int | None
    ttc_s: tuple[float, ...]
    notices: float
    example: Outcome

    @property
    def freeze_percent(self) -> Estimate:
        """The share of runs with any use of tier 2 and up."""
        return estimate_share(self.frozen_runs, self.runs)

    @property
    def human_s(self) -> int | None:
        """The best published human time, from the first harm."""
        scenario = self.scenario
        if scenario.people is None or scenario.threat is None:
            return None
        return scenario.people.contained_s - scenario.threat.first_harm_s

    def figures(self) -> dict[str, Figure]:
        """Those of FIGURES that this scenario has."""
        found: dict[str, Figure] = {
            "scenario": self.scenario.name,
            "kind": str(self.scenario.kind),
            "runs": self.runs,
            "false_pause_minutes": self.false_pause_minutes.value,
            "false_pause_minutes_max": self.false_pause_minutes_max,
            "freeze_percent": self.freeze_percent.value,
            "notices": self.notices,
        }
        if self.scenario.kind is Kind.ATTACK:
            found |= {
                "loss_without_usd": self.loss_without_usd,
                "loss_people_usd": self.loss_people_usd,
                "loss_with_usd": self.loss_with_usd.value,
                "saved_usd": self.loss_without_usd - self.loss_with_usd.value,
                "contained_percent": 100 * self.contained_runs / self.runs,
                "ttc_p50_s": percentile(self.ttc_s, 50),
                "ttc_p95_s": percentile(self.ttc_s, 95),
            }
        if self.human_s is not None and self.in_time_runs is not None:
            found |= {"human_s": self.human_s, "in_time_percent": 100 * self.in_time_runs / self.runs}
        return found

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`: figures, intervals, and the actions of one run; null is infinite."""
        figures = {name: _finite(value) for name, value in self.figures().items()}
        intervals = {
            "loss_with_usd": self.loss_with_usd.as_json(),
            "false_pause_minutes": self.false_pause_minutes.as_json(),
            "freeze_percent": self.freeze_percent.as_json(),
        }
        if self.in_time_runs is not None:
            intervals["in_time_percent"] = estimate_share(self.in_time_runs, self.runs).as_json()
        return {**figures, "intervals": intervals, "example": _example(self.scenario, self.example)}


@dataclass(frozen=True, slots=True)
class Total:
    """All scenarios together: attacks by what they cost, controls by what they set off."""

    attack_runs: int
    timed_runs: int
    in_time_runs: int
    loss_without_usd: float
    loss_people_usd: float
    loss_with_usd: float
    control_runs: int
    control_frozen_runs: int
    control_false_minutes: float

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`; shares in percent."""
        found: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        if self.timed_runs:
            found["in_time_percent"] = estimate_share(self.in_time_runs, self.timed_runs).as_json()
        if self.control_runs:
            found["control_freeze_percent"] = estimate_share(self.control_frozen_runs, self.control_runs).as_json()
        return found


def sum_up(scenario: Scenario, outcomes: Sequence[Outcome]) -> Summary:
    """All runs of one scenario, at least one."""
    is_attack = scenario.kind is Kind.ATTACK
    ttc_s = [math.inf if outcome.ttc_ms is None else outcome.ttc_ms / 1000 for outcome in outcomes]
    minutes = [outcome.false_pause_ms / _MINUTE_MS for outcome in outcomes]
    human_s = None
    if scenario.people is not None and scenario.threat is not None:
        human_s = scenario.people.contained_s - scenario.threat.first_harm_s
    return Summary(
        scenario=scenario,
        runs=len(outcomes),
        loss_without_usd=outcomes[0].without_micro_usd / MICRO,
        loss_people_usd=outcomes[0].people_micro_usd / MICRO,
        loss_with_usd=estimate_mean([outcome.with_micro_usd / MICRO for outcome in outcomes]),
        false_pause_minutes=estimate_mean(minutes),
        false_pause_minutes_max=max(minutes),
        frozen_runs=sum(bool(outcome.held) for outcome in outcomes),
        contained_runs=sum(ttc < math.inf for ttc in ttc_s),
        in_time_runs=None if human_s is None else sum(ttc <= human_s for ttc in ttc_s),
        ttc_s=tuple(ttc_s) if is_attack else (),
        notices=sum(outcome.notices for outcome in outcomes) / len(outcomes),
        example=outcomes[0],
    )


def total_of(summaries: Sequence[Summary]) -> Total:
    """All scenarios together; limits are left out."""
    attacks = [summary for summary in summaries if summary.scenario.kind is Kind.ATTACK]
    controls = [summary for summary in summaries if summary.scenario.kind is Kind.CONTROL]
    timed = [(summary.runs, summary.in_time_runs) for summary in attacks if summary.in_time_runs is not None]
    return Total(
        attack_runs=sum(summary.runs for summary in attacks),
        timed_runs=sum(runs for runs, _ in timed),
        in_time_runs=sum(in_time for _, in_time in timed),
        loss_without_usd=sum(summary.loss_without_usd for summary in attacks),
        loss_people_usd=sum(summary.loss_people_usd for summary in attacks),
        loss_with_usd=sum(summary.loss_with_usd.value for summary in attacks),
        control_runs=sum(summary.runs for summary in controls),
        control_frozen_runs=sum(summary.frozen_runs for summary in controls),
        control_false_minutes=sum(summary.false_pause_minutes.value * summary.runs for summary in controls),
    )


def _finite(value: Figure) -> Figure | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _example(scenario: Scenario, outcome: Outcome) -> dict[str, Any]:
    starts_ms = scenario.starts_ms
    actions = [
        {
            "hook": action.hook,
            "tier": action.tier.name.lower(),
            "scopes": list(action.scopes),
            "decided_s": (action.decided_ms - starts_ms) / 1000,
            "begins_s": (action.begins_ms - starts_ms) / 1000,
            "ends_s": (action.ends_ms - starts_ms) / 1000,
            "sentence": action.sentence,
        }
        for action in outcome.actions
    ]
    return {"seed": outcome.seed, "signals": outcome.signals, "refused": outcome.refused, "actions": actions}
