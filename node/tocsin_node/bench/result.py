"""One figure of the bench: a ratio in one run wherever it can be, because machines are noisy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

HIGHER, LOWER = ">=", "<="


@dataclass(frozen=True, slots=True)
class Result:
    """A measured value with its goal; `goal` is text such as ">= 0.35", empty where there is none."""

    group: str
    name: str
    value: float
    unit: str
    goal: str
    met: bool | None

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`."""
        return asdict(self)


def measured(group: str, name: str, value: float, unit: str, goal: tuple[str, float] | None = None) -> Result:
    """A result, held against its goal where it has one."""
    if goal is None:
        return Result(group, name, value, unit, "", None)
    relation, bound = goal
    met = value >= bound if relation == HIGHER else value <= bound
    return Result(group, name, value, unit, f"{relation} {bound:g}", met)
