"""The operator's own condition, in CEL: what it may speak of, checked when it is loaded, asked at each decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import prod

import cel
from tocsin_protocol.errors import PolicyError
from tocsin_protocol.taxonomy import Category, Severity, Stage

Value = float | int | bool | str

_FLAGS: Sequence[Value] = (False, True)
# What a condition may speak of, each with values to try it with: for numbers the ends and some between.
VARIABLES: Mapping[str, Sequence[Value]] = {
    "belief": (0.0, 1e-4, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0),
    "groups": (0, 1, 2, 3, 4, 5, 8, 16, 64),
    "category": tuple(str(category) for category in Category if category.family != "meta"),
    "severity": tuple(str(severity) for severity in Severity),
    "stage": tuple(str(stage) for stage in Stage),
    "own_detector": _FLAGS,
    "confirmed": _FLAGS,
    "contradicted": _FLAGS,
    "stake_usd": (0, 1, 10**3, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9, 10**12),
}
# Fifty milliseconds of work; a condition that speaks of more at once is tried with a part of it.
MAX_TRIALS = 5_000
MAX_REASON_CHARS = 160
# A prime that divides no count of values, so that each combination comes once before any comes again.
_STRIDE = 1_000_003

# What the evaluator raises about values; a program that it cannot read is a ValueError.
_FAULTS = (ValueError, RuntimeError, TypeError, ArithmeticError, LookupError)


def try_condition(condition: str) -> frozenset[bool]:
    """The answers it gives over what it may be asked of; raises PolicyError unless all are true or false."""
    if not condition:
        return frozenset((True,))
    program = _read(condition)
    named = set(program.variables())
    if unknown := sorted(named - set(VARIABLES)):
        raise PolicyError(f"speaks of {', '.join(unknown)}, where it may of {', '.join(VARIABLES)}")
    answers = set()
    for values in _trials(sorted(named)):
        answer = _ask(program, values)
        if not isinstance(answer, bool):
            raise PolicyError(f"answers {answer!r}{_where(values, named)}, where true or false is wanted")
        answers.add(answer)
    return frozenset(answers)


def holds(condition: str, values: Mapping[str, Value]) -> bool:
    """Whether it holds; an empty one always does, and one that cannot be worked out never."""
    if not condition:
        return True
    try:
        return _program(condition).execute(dict(values)) is True
    except _FAULTS:
        return False


def can_hold(condition: str, **fixed: Value) -> bool:
    """Whether it holds for some of what it may be asked of, with these values as they are."""
    if not condition:
        return True
    named = sorted(set(_program(condition).variables()) - fixed.keys())
    return any(holds(condition, {**values, **fixed}) for values in _trials(named))


@lru_cache(maxsize=8)
def _program(condition: str) -> cel.Program:
    return cel.compile(condition)


def _read(condition: str) -> cel.Program:
    try:
        return _program(condition)
    except _FAULTS as exc:
        raise PolicyError(f"is no CEL expression: {_reason(exc)}") from exc


def _ask(program: cel.Program, values: dict[str, Value]) -> object:
    try:
        return program.execute(values)
    except _FAULTS as exc:
        raise PolicyError(f"cannot be worked out{_where(values, set(program.variables()))}: {_reason(exc)}") from exc


def _trials(named: Sequence[str]) -> Iterator[dict[str, Value]]:
    """All combinations of the values of what is named, or MAX_TRIALS of them, spread out; the rest is as it begins."""
    base = {name: values[0] for name, values in VARIABLES.items()}
    count = prod(len(VARIABLES[name]) for name in named)
    for trial in range(min(count, MAX_TRIALS)):
        place, values = trial * _STRIDE % count, dict(base)
        for name in named:
            place, at = divmod(place, len(VARIABLES[name]))
            values[name] = VARIABLES[name][at]
        yield values


def _where(values: Mapping[str, Value], named: set[str]) -> str:
    said = ", ".join(f"{name} is {values[name]!r}" for name in sorted(named))
    return f" where {said}" if said else ""


def _reason(exc: Exception) -> str:
    """The evaluator's message in one line, without the source that it repeats and all that it would have taken."""
    text = " ".join(str(exc).partition("ERROR: ")[2].split() or str(exc).split()).partition(" expecting ")[0]
    return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 1] + "…"
