"""--fail-if: conditions in CEL over a scenario's figures, for the CI of a policy repository."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cel

from .scenario import Kind
from .totals import FIGURES, Figure, Summary

_SAMPLES: dict[str, Figure] = {
    name: "text" if name in ("scenario", "kind") else 1 if name in ("runs", "human_s") else 1.0 for name in FIGURES
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A condition under which the simulation fails, and the figures it names."""

    text: str
    names: tuple[str, ...]


def parse_threshold(text: str) -> Threshold:
    """Raises ValueError unless it is CEL over FIGURES that answers true or false."""
    try:
        program = cel.compile(text)
        names = tuple(sorted(program.variables()))
        unknown = sorted(set(names) - FIGURES.keys())
        answer = None if unknown else program.execute(_SAMPLES)
    except (ValueError, RuntimeError, TypeError) as exc:
        raise ValueError(f"{text!r} is no CEL expression: {exc}") from exc
    if unknown:
        raise ValueError(f"{text!r} speaks of {', '.join(unknown)}, not of {', '.join(FIGURES)}")
    if not isinstance(answer, bool):
        raise ValueError(f"{text!r} answers {answer!r} where true or false is wanted")
    return Threshold(text, names)


def find_failures(thresholds: Sequence[Threshold], summaries: Sequence[Summary]) -> list[str]:
    """A sentence for each scenario and threshold that is passed.

    A threshold is asked of the scenarios that have all its figures; of limits, which are known to fail, only if it
    speaks of `kind` or `scenario`.
    """
    failures = []
    for threshold in thresholds:
        program = cel.compile(threshold.text)
        for summary in summaries:
            figures = summary.figures()
            is_named = bool({"kind", "scenario"} & set(threshold.names))
            if not set(threshold.names) <= figures.keys() or (summary.scenario.kind is Kind.LIMIT and not is_named):
                continue
            if _is_passed(program, figures):
                said = ", ".join(f"{name} is {_tell(figures[name])}" for name in threshold.names if name != "scenario")
                failures.append(f"{summary.scenario.name}: {said}: {threshold.text}")
    return failures


def _is_passed(program: cel.Program, figures: dict[str, Figure]) -> bool:
    """One that cannot be worked out, such as a share of nothing, counts as passed: better a failure than none."""
    try:
        return program.execute(figures) is not False
    except (ValueError, RuntimeError, TypeError):
        return True


def _tell(value: Figure) -> str:
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return "infinite"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
