"""Questions to the index. Every one of them follows an index in the order of its page, newest first."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.taxonomy import Category, Severity, Stage, Tlp

from .access import Access, Scope
from .markings import tlp_rank
from .problems import Problem

MAX_QUERY_SECONDS = 2.0
# Whoever has no key cannot be told from a thousand others.
MAX_PUBLIC_QUERY_SECONDS = 0.25
# How many steps of SQLite's machine lie between two looks at the clock.
STEPS_BETWEEN_LOOKS = 20_000
MAX_FACETS_SHOWN = 200

# The place of a signal in a page: when it came, and its number.
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SignalFilter:
    """What signals are asked by; None asks for all. Categories of a family stand there one by one."""

    subject: str | None = None
    chain: str | None = None
    categories: tuple[Category, ...] | None = None
    severity: Severity | None = None
    stage: Stage | None = None
    tlp: Tlp | None = None
    since_ms: int = 0
    until_ms: int = MAX_UINT
    publisher: bytes | None = None
    incident: bytes | None = None


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """What incidents are asked by."""

    subject: str | None = None
    chain: str | None = None
    categories: tuple[Category, ...] | None = None
    severity: Severity | None = None
    since_ms: int = 0
    until_ms: int = MAX_UINT
    publisher: bytes | None = None


@dataclass(frozen=True, slots=True)
class IncidentSight:
    """An incident as it is seen at one level: times, count and severity of the signals that are seen there."""

    number: int
    id: bytes
    first_ms: int
    last_ms: int
    signals: int
    severity: Severity


def categories_of(text: str | None) -> tuple[Category, ...] | None:
    """The categories that a name or a family (`asset`, also `asset.`) means; raises Problem 400."""
    if text is None:
        return None
    found = tuple(c for c in Category if c.value == text or c.family == text.removesuffix("."))
    if not found:
        raise Problem(HTTPStatus.BAD_REQUEST, "category: no category has this name or family")
    return found


def find_signals(
    index: sqlite3.Connection, access: Access, wanted: SignalFilter, before: Place | None, limit: int
) -> list[Place]:
    """Places of the signals that match and may be seen, newest first; raises Problem 503 where it takes too long."""
    # [API] A question names the markings that its asker may see: others are not looked at.
    tlps = [tlp_rank(tlp) for tlp in Tlp if access.may_see(tlp) and wanted.tlp in (None, tlp)]
    if not tlps:
        return []
    sql, values = signals_sql(wanted, tlps, before, limit)
    return [(at_ms, number) for at_ms, number in _ask(index, access, sql, values)]


def signals_sql(
    wanted: SignalFilter, tlps: Sequence[int], before: Place | None, limit: int
) -> tuple[str, list[object]]:
    """One branch for each marking and value of the filter that leads: each is in order, so none reads past its page."""
    source, column, leads = _leading(wanted)
    rest, rest_values = _others(wanted, column)
    # a row value is compared in order: below the last one seen, whatever came in the same millisecond
    at_ms, number = before or (wanted.until_ms + 1, 0)
    branches, values = [], []
    for lead in leads:
        for tlp in tlps:
            where = ([] if column is None else [f"k.{column} = ?"]) + ["k.tlp = ?"]
            bounds = "k.at_ms >= ? AND (k.at_ms, k.id) < (?, ?)"
            branches.append(
                f"SELECT * FROM (SELECT k.at_ms, k.id FROM {source}"  # noqa: S608 - fixed parts
                f" WHERE {' AND '.join(where)} AND {bounds}{rest}"
                " ORDER BY k.at_ms DESC, k.id DESC LIMIT ?)"
            )
            values += [*([] if column is None else [lead]), tlp, wanted.since_ms, at_ms, number, *rest_values, limit]
    return f"{' UNION ALL '.join(branches)} ORDER BY 1 DESC, 2 DESC LIMIT ?", [*values, limit]


def find_incidents(
    index: sqlite3.Connection, access: Access, wanted: IncidentFilter, before: int | None, limit: int
) -> list[IncidentSight]:
    """Incidents of which something may be seen, latest begun first; raises Problem 503 where it takes too long."""
    sql, values = incidents_sql(wanted, tlp_rank(access.max_tlp), before, limit)
    return [_sight(row) for row in _ask(index, access, sql, values)]


def incidents_sql(wanted: IncidentFilter, level: int, before: int | None, limit: int) -> tuple[str, list[object]]:
    """By the facet that leads, or else by level; other facets are looked up incident by incident."""
    facets: list[tuple[str, tuple[str, ...]]] = []
    if wanted.subject is not None:
        facets.append(("subject", (wanted.subject,)))
    if wanted.publisher is not None:
        facets.append(("publisher", (wanted.publisher.hex(),)))
    if wanted.categories is not None:
        facets.append(("category", tuple(category.value for category in wanted.categories)))
    if wanted.chain is not None:
        facets.append(("chain", (wanted.chain,)))
    where, rest_values = ["i.first_ms BETWEEN ? AND ?"], [wanted.since_ms, wanted.until_ms]
    if wanted.severity is not None:
        where.append("i.severity >= ?")
        rest_values.append(wanted.severity.rank)
    for kind, names in facets[1:]:
        marks = ", ".join("?" * len(names))
        where.append(
            f"EXISTS (SELECT 1 FROM facets f WHERE f.kind = ? AND f.value IN ({marks})"  # noqa: S608 - marks only
            " AND f.number = i.number AND f.tlp <= ?)"
        )
        rest_values += [kind, *names, level]  # type: ignore[list-item]
    rest, last = " AND ".join(where), MAX_UINT if before is None else before
    columns = "i.number, i.id, i.first_ms, i.last_ms, i.signals, i.severity"
    if not facets:
        sql = f"SELECT {columns} FROM incidents i WHERE i.level = ? AND i.number < ? AND {rest}"  # noqa: S608
        return f"{sql} ORDER BY i.number DESC LIMIT ?", [level, last, *rest_values, limit]
    kind, names = facets[0]
    branch = (
        f"SELECT * FROM (SELECT {columns} FROM facets k JOIN incidents i ON i.level = ? AND i.number = k.number"  # noqa: S608
        f" WHERE k.kind = ? AND k.value = ? AND k.number < ? AND k.tlp <= ? AND {rest} ORDER BY k.number DESC LIMIT ?)"
    )
    values: list[object] = []
    for name in names:
        values += [level, kind, name, last, level, *rest_values, limit]
    # UNION, not UNION ALL: an incident may have several categories of a family
    return f"{' UNION '.join([branch] * len(names))} ORDER BY 1 DESC LIMIT ?", [*values, limit]


def find_incident(index: sqlite3.Connection, access: Access, incident: bytes) -> IncidentSight | None:
    """One incident, None where nothing of it may be seen."""
    row = index.execute(
        "SELECT number, id, first_ms, last_ms, signals, severity FROM incidents WHERE id = ? AND level = ?",
        (incident, tlp_rank(access.max_tlp)),
    ).fetchone()
    return None if row is None else _sight(row)


def strictest_of(index: sqlite3.Connection, incident: bytes) -> Tlp:
    """The highest marking of an incident's signals; RED where it has none that is known."""
    row = index.execute("SELECT MAX(tlp) FROM signals WHERE incident = ?", (incident,)).fetchone()
    return Tlp.RED if row[0] is None else tuple(Tlp)[row[0]]


def facets_of(index: sqlite3.Connection, access: Access, number: int, kind: str) -> list[str]:
    """What the signals of an incident name that may be seen: at most MAX_FACETS_SHOWN."""
    rows = index.execute(
        "SELECT value FROM facets WHERE number = ? AND kind = ? AND tlp <= ? LIMIT ?",
        (number, kind, tlp_rank(access.max_tlp), MAX_FACETS_SHOWN),
    )
    return sorted(value for (value,) in rows)


def _leading(wanted: SignalFilter) -> tuple[str, str | None, tuple[object, ...]]:
    """The table with its index, the column that leads, and its values: of the filters the one that keeps least."""
    if wanted.subject is not None:
        return "subjects k JOIN signals s ON s.id = k.id", "value", (wanted.subject,)
    if wanted.incident is not None:
        return _by("incident"), "incident", (wanted.incident,)
    if wanted.publisher is not None:
        return _by("publisher"), "publisher", (wanted.publisher,)
    if wanted.categories is not None:
        return _by("category"), "category", tuple(category.value for category in wanted.categories)
    if wanted.chain is not None:
        return "chains k JOIN signals s ON s.id = k.id", "value", (wanted.chain,)
    if wanted.stage is not None:
        return _by("stage"), "stage", (wanted.stage.value,)
    if wanted.severity is not None:
        return _by("severity"), "severity", tuple(s.rank for s in Severity if s.rank >= wanted.severity.rank)
    return "signals k INDEXED BY signals_by_time", None, (None,)


def _by(column: str) -> str:
    return f"signals k INDEXED BY signals_by_{column}"


def _others(wanted: SignalFilter, leading: str | None) -> tuple[str, list[object]]:
    """Conditions on what the leading filter leaves."""
    row = "s" if leading == "value" else "k"
    where, values = [], list[object]()
    if wanted.chain is not None and (leading != "value" or wanted.subject is not None):
        where.append(
            "EXISTS (SELECT 1 FROM chains c WHERE c.value = ? AND c.tlp = k.tlp AND c.at_ms = k.at_ms AND c.id = k.id)"
        )
        values.append(wanted.chain)
    equal = {"incident": wanted.incident, "publisher": wanted.publisher, "stage": wanted.stage and wanted.stage.value}
    for column, value in equal.items():
        if value is not None and column != leading:
            where.append(f"{row}.{column} = ?")
            values.append(value)
    if wanted.categories is not None and leading != "category":
        where.append(f"{row}.category IN ({', '.join('?' * len(wanted.categories))})")
        values += [category.value for category in wanted.categories]
    if wanted.severity is not None and leading != "severity":
        where.append(f"{row}.severity >= ?")
        values.append(wanted.severity.rank)
    return "".join(f" AND {part}" for part in where), values


def _ask(index: sqlite3.Connection, access: Access, sql: str, values: Sequence[object]) -> list[Any]:
    seconds = MAX_PUBLIC_QUERY_SECONDS if access.scope is Scope.PUBLIC else MAX_QUERY_SECONDS
    ends = time.monotonic() + seconds
    index.set_progress_handler(lambda: time.monotonic() > ends, STEPS_BETWEEN_LOOKS)
    try:
        return index.execute(sql, values).fetchall()
    except sqlite3.OperationalError as exc:
        if "interrupted" not in str(exc):
            raise
        # [API] A question that takes longer than MAX_QUERY_SECONDS is ended with a 503: its filters keep too little.
        text = f"these filters together take more than {seconds:g} s: ask for less time, or by subject"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"retry-after": "1"}) from exc
    finally:
        index.set_progress_handler(None, 0)


def _sight(row: Sequence[Any]) -> IncidentSight:
    number, incident, first_ms, last_ms, signals, severity = row
    return IncidentSight(number, incident, first_ms, last_ms, signals, tuple(Severity)[severity])
