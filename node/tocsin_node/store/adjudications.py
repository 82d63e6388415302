"""What incidents were found to have been, what publishers earned by it, and what that makes of their reputation."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tocsin_protocol.adjudication import Adjudication, Earned, Finding, outcomes_of, sign_adjudication
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.belief.outcomes import Outcome, Span, Tally, Verdict, tally_outcomes
from tocsin_protocol.belief.silence import known_delay
from tocsin_protocol.decision.judge import Sighting
from tocsin_protocol.taxonomy import Category, Severity

from .audit import append_audit
from .basis import log_finding
from .lever_states import refund_charges
from .rules import Rules
from .sightings import load_all_sightings

# A year: what is older counts next to nothing.
MAX_OUTCOME_AGE_MS = 365 * 24 * 3600 * 1000
MAX_OUTCOMES_READ = 100_000


@dataclass(frozen=True, slots=True)
class Records:
    """By publisher and category: what its outcomes come to at a time, and how long its reports are known to take, ms.

    `since`: from when each publisher with outcomes was heard. Times in UTC ms.
    """

    tallies: Mapping[tuple[bytes, Category], Tally]
    delays: Mapping[tuple[bytes, Category], int]
    at_ms: int
    since: Mapping[bytes, int]


def adjudicate(
    connection: sqlite3.Connection,
    rules: Rules,
    secret: bytes,
    adjudication: Adjudication,
    watching: Collection[bytes],
) -> int:
    """Record a finding in place of any earlier one about the incident; returns how many publishers it concerns."""
    incident, at_ms = adjudication.incident, adjudication.at_ms
    foreign = set(watching) & set(rules.speakers_of(adjudication.category))
    sightings = load_all_sightings(connection, rules.roster, incident)
    earned = foreign_outcomes(rules, adjudication, sightings, foreign)
    body, signature = sign_adjudication(secret, adjudication, earned)
    connection.execute("INSERT OR REPLACE INTO adjudications VALUES (?, ?, ?)", (incident, body, signature))
    connection.execute("DELETE FROM outcomes WHERE incident = ?", (incident,))
    connection.executemany(
        "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                incident,
                e.publisher,
                adjudication.category.value,
                e.outcome.verdict.value,
                e.outcome.severity.value,
                at_ms,
                e.delay_ms,
            )
            for e in earned
        ],
    )
    if adjudication.finding is Finding.CONFIRMED:
        refund_charges(connection, incident)
    basis = log_finding(connection, rules, sightings, sorted(foreign), at_ms)
    detail = {"basis": basis, "body": body, "signature": signature}
    append_audit(connection, at_ms, EntryKind.ADJUDICATION, incident, detail)
    return len(earned)


def foreign_outcomes(
    rules: Rules, adjudication: Adjudication, sightings: Iterable[Sighting], watching: Collection[bytes]
) -> list[Earned]:
    """What every publisher but our own earned."""
    return [e for e in outcomes_of(adjudication, sightings, watching) if e.publisher not in rules.world.own]


def read_records(connection: sqlite3.Connection, now_ms: int) -> Records:
    """What is known of every publisher by what was adjudicated."""
    outcomes = _read_outcomes(connection, now_ms)
    since = {publisher: _heard_since(connection, publisher) for publisher, _ in outcomes}
    return Records(tally_all(outcomes, since, now_ms), read_delays(connection, now_ms), now_ms, since)


def tally_all(
    outcomes: Mapping[tuple[bytes, Category], Sequence[Outcome]], since: Mapping[bytes, int], now_ms: int
) -> dict[tuple[bytes, Category], Tally]:
    """What every publisher's outcomes come to, by category. A publisher watches from the first we heard of it."""
    return {
        (publisher, category): tally_outcomes(found, [Span(min(since[publisher], now_ms), now_ms)], now_ms)
        for (publisher, category), found in outcomes.items()
    }


def _read_outcomes(connection: sqlite3.Connection, now_ms: int) -> dict[tuple[bytes, Category], list[Outcome]]:
    outcomes: dict[tuple[bytes, Category], list[Outcome]] = defaultdict(list)
    rows = connection.execute(
        "SELECT publisher, category, verdict, severity, at_ms FROM outcomes"
        # In one order, for sums of floats differ with it.
        " WHERE at_ms > ? ORDER BY at_ms DESC, incident LIMIT ?",
        (now_ms - MAX_OUTCOME_AGE_MS, MAX_OUTCOMES_READ),
    )
    for publisher, category, verdict, severity, at_ms in rows:
        outcomes[publisher, Category(category)].append(Outcome(at_ms, Verdict(verdict), Severity(severity)))
    return outcomes


def read_delays(connection: sqlite3.Connection, now_ms: int) -> dict[tuple[bytes, Category], int]:
    """How long each publisher's reports are known to take, ms, by category; of most publishers nothing is known."""
    delays: dict[tuple[bytes, Category], list[int]] = defaultdict(list)
    rows = connection.execute(
        "SELECT publisher, category, delay_ms FROM outcomes WHERE at_ms > ? AND delay_ms IS NOT NULL"
        " ORDER BY at_ms DESC LIMIT ?",
        (now_ms - MAX_OUTCOME_AGE_MS, MAX_OUTCOMES_READ),
    )
    for publisher, category, delay_ms in rows:
        delays[publisher, Category(category)].append(delay_ms)
    known = {key: known_delay(found) for key, found in delays.items()}
    return {key: delay_ms for key, delay_ms in known.items() if delay_ms is not None}


def _heard_since(connection: sqlite3.Connection, publisher: bytes) -> int:
    query = "SELECT MIN(received_ms) FROM signals WHERE publisher = ? AND lane = ? AND sequence <= ?"
    first = [connection.execute(query, (publisher, lane, 1_000)).fetchone()[0] for lane in (0, 1)]
    return min((at_ms for at_ms in first if at_ms is not None), default=2**53 - 1)
