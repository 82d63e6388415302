"""The operator's own condition, in CEL: what it may speak of, checked when it is loaded, asked at each decision."""

from __future__ import annotations

from pathlib import Path

import cel

from .errors import ConfigError

Value = float | int | bool | str

# What a condition may speak of, each with a value of its kind to try it with.
VARIABLES: dict[str, Value] = {
    "belief": 0.5,
    "groups": 2,
    "category": "asset.drain",
    "severity": "critical",
    "stage": "exploitation",
    "own_detector": False,
    "confirmed": True,
    "contradicted": False,
    "stake_usd": 1_000_000,
}


def check_condition(path: Path, condition: str) -> None:
    """Raises ConfigError unless it is empty or CEL over VARIABLES that answers true or false."""
    if not condition:
        return
    try:
        program = cel.compile(condition)
        unknown = sorted(set(program.variables()) - set(VARIABLES))
        answer = None if unknown else program.execute(VARIABLES)
    except (ValueError, RuntimeError, TypeError) as exc:
        raise ConfigError(path, "condition", f"is no CEL expression: {exc}", found=condition) from exc
    if unknown:
        known = ", ".join(VARIABLES)
        raise ConfigError(path, "condition", f"speaks of {', '.join(unknown)}, not of {known}", found=condition)
    if not isinstance(answer, bool):
        raise ConfigError(path, "condition", f"answers {answer!r} where true or false is wanted", found=condition)


def holds(condition: str, values: dict[str, Value]) -> bool:
    """Whether it holds; an empty one always does, and one that cannot be worked out never."""
    if not condition:
        return True
    try:
        return cel.compile(condition).execute(values) is True
    except (ValueError, RuntimeError, TypeError):
        return False
