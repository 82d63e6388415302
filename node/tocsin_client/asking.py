"""Questions to a feed, and what their answers are read as. Pure: who asks them is client.py and async_client.py."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypedDict, TypeVar

import msgspec

from .errors import BadAnswer, Problem

MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_PROBLEM_BYTES = 64 * 1024
MAX_DETAIL_CHARS = 500
ANSWER_SECONDS = 30.0
# So many of the largest signals are half of MAX_ANSWER_BYTES.
PAGE_ROWS = 100
# Of pages that never end.
MAX_PAGES = 100_000

T = TypeVar("T")
Value: TypeAlias = str | int | Sequence[str]


@dataclass(frozen=True, slots=True)
class Ask:
    """One GET; the answer has at most so many bytes."""

    path: str
    query: Mapping[str, Value] = field(default_factory=dict)
    most: int = MAX_ANSWER_BYTES


# Yields questions, is sent the bodies of the answers or thrown what went wrong, and returns what came of it.
Flow: TypeAlias = Generator[Ask, bytes, T]


class IncidentFilters(TypedDict, total=False):
    """What incidents are asked by; all of it together (specs/api.md)."""

    subject: str
    chain: str
    category: str
    severity: str
    since_ms: int
    until_ms: int
    publisher: str


class SignalFilters(IncidentFilters, total=False):
    """What signals are asked by."""

    stage: str
    tlp: str
    incident: str


class LiveFilters(TypedDict, total=False):
    """What is listened to; what is asked of signals leaves nothing else."""

    kind: Sequence[str]
    subject: str
    category: str
    severity: str


class _ShownProblem(msgspec.Struct, frozen=True):
    detail: str
    code: str | None = None


def read_json(data: bytes, kind: type[T]) -> T:
    """An answer as a value; raises BadAnswer."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadAnswer(f"the answer is no {kind.__name__}: {exc}") from exc


def read_problem(status: int, retry_after: str | None, body: bytes) -> Problem:
    """What an answer that is no 200 says; a body that is no problem says nothing."""
    detail, code = "without a word", None
    try:
        shown = msgspec.json.decode(body, type=_ShownProblem)
        detail, code = shown.detail[:MAX_DETAIL_CHARS], shown.code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    seconds = float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
    return Problem(status, detail, code, seconds)


def query_of(filters: Mapping[str, Any]) -> dict[str, Value]:
    """Filters as a query: those that are None are none."""
    return {name: value for name, value in filters.items() if value is not None}
