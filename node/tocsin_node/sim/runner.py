"""All runs of all scenarios, on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from threading import Thread

from tocsin_protocol.decision.policy import Policy

from .flight import Flight, prepare
from .outcome import Outcome
from .replay import fly
from .scenario import Kind, Scenario

# Runs of one task: enough to be worth sending, few enough for the bar to move.
CHUNK = 20
# Fewer than this are sooner done than processes are started.
FEW_RUNS = 60


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: seeds 0… of each scenario, more of controls, and one run of each in detail if `traced` is a seed."""

    scenarios: tuple[Scenario, ...]
    policy: Policy
    seeds: int
    control_seeds: int
    traced: int | None = None

    def seeds_of(self, scenario: Scenario) -> int:
        """How many runs of a scenario."""
        return self.control_seeds if scenario.kind is Kind.CONTROL else self.seeds

    @property
    def runs(self) -> int:
        """All of them."""
        return sum(map(self.seeds_of, self.scenarios))


@dataclass(frozen=True, slots=True)
class Flown:
    """All runs of one scenario by seed, and the one in detail."""

    scenario: Scenario
    outcomes: tuple[Outcome, ...]
    traced: Outcome | None


@dataclass(frozen=True, slots=True)
class _Task:
    scenario: str
    seeds: range
    is_traced: bool = False


def run_all(plan: Plan, jobs: int, advance: Callable[[], None]) -> list[Flown]:
    """Fly them all; `advance` is called after each run. The same plan gives the same outcomes, whatever `jobs` is."""
    tasks = list(_tasks(plan))
    found: dict[tuple[str, int], Outcome] = {}
    traced: dict[str, Outcome] = {}
    with _workers(plan, jobs) as fly_all:
        for task, outcomes in fly_all(tasks):
            for outcome in outcomes:
                if task.is_traced:
                    traced[task.scenario] = outcome
                else:
                    found[task.scenario, outcome.seed] = outcome
                    advance()
    return [
        Flown(s, tuple(found[s.name, seed] for seed in range(plan.seeds_of(s))), traced.get(s.name))
        for s in plan.scenarios
    ]


def _tasks(plan: Plan) -> Iterator[_Task]:
    """The longest first, so that none is left over at the end."""
    for scenario in sorted(plan.scenarios, key=lambda scenario: -sum(report.times for report in scenario.report)):
        if plan.traced is not None:
            yield _Task(scenario.name, range(plan.traced, plan.traced + 1), is_traced=True)
        seeds = plan.seeds_of(scenario)
        for start in range(0, seeds, CHUNK):
            yield _Task(scenario.name, range(start, min(start + CHUNK, seeds)))


_FlyAll = Callable[[Sequence[_Task]], Iterator[tuple[_Task, list[Outcome]]]]


@contextmanager
def _workers(plan: Plan, jobs: int) -> Iterator[_FlyAll]:
    if jobs == 1 or plan.runs < FEW_RUNS:
        flights = {scenario.name: prepare(scenario, plan.policy) for scenario in plan.scenarios}
        yield lambda tasks: ((task, _fly_task(flights, task)) for task in tasks)
        return
    # Each worker makes its own flights ready, which keep what they work out from task to task.
    executor = ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(plan.scenarios, plan.policy)
    )

    def fly_all(tasks: Sequence[_Task]) -> Iterator[tuple[_Task, list[Outcome]]]:
        futures = {executor.submit(_work, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()

    try:
        yield fly_all
    finally:
        executor.shutdown(cancel_futures=True)


# Of one worker process: filled once, when it starts.
_flights: dict[str, Flight] = {}


def _start_worker(scenarios: Sequence[Scenario], policy: Policy) -> None:
    Thread(target=_leave_with_parent, daemon=True).start()
    _flights.update((scenario.name, prepare(scenario, policy)) for scenario in scenarios)


def _leave_with_parent() -> None:
    """A worker whose parent was killed waits for work for ever; this ends it."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: _Task) -> list[Outcome]:
    return _fly_task(_flights, task)


def _fly_task(flights: Mapping[str, Flight], task: _Task) -> list[Outcome]:
    return [fly(flights[task.scenario], seed, traced=task.is_traced) for seed in task.seeds]
