"""Findings of others that wait for the operator: kept in feed.db, and nothing of them counts until he publishes it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tocsin_protocol.stix.drafting import Draft

from tocsin_node.errors import NodeError
from tocsin_node.signal_json import draft_signal

# That wait; of as many that are dealt with, the last are kept, so that the same finding does not come back.
MAX_OPEN = 1000
MAX_CLOSED = 10_000


class State(StrEnum):
    """What became of a suggestion."""

    OPEN = "open"
    PUBLISHED = "published"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A finding of somebody else as a signal's JSON, with what was assumed in drafting it."""

    number: int
    source: str
    origin: str
    version: str
    document: dict[str, Any]
    notes: tuple[str, ...]
    at_ms: int
    state: State


def suggest(connection: sqlite3.Connection, source: str, draft: Draft, now_ms: int) -> bool:
    """Keep a draft; whether it is new. Raises DecodeError where no signal can be made of it."""
    # [TAXII] A draft is checked as a signal is when it comes, so that the operator has nothing to mend by hand.
    draft_signal(draft.document, now_ms)
    row = connection.execute(
        "INSERT OR IGNORE INTO suggestions (source, origin, version, document, notes, at_ms, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            source,
            draft.origin[:400],
            draft.version[:100],
            json.dumps(draft.document),
            json.dumps(draft.notes),
            now_ms,
            State.OPEN,
        ),
    )
    # [TAXII] The same version of the same finding is drafted once, however often it is sent.
    if row.rowcount == 0:
        return False
    _trim_open(connection)
    _trim_closed(connection)
    return True


def _trim_open(connection: sqlite3.Connection) -> None:
    (waiting,) = connection.execute("SELECT COUNT(*) FROM suggestions WHERE state = 'open'").fetchone()
    for _ in range(waiting - MAX_OPEN):
        # [TAXII] A new draft is never refused: where MAX_OPEN wait, the oldest of whose source has most goes.
        connection.execute(
            "DELETE FROM suggestions WHERE number = (SELECT MIN(number) FROM suggestions WHERE state = 'open'"
            " GROUP BY source ORDER BY COUNT(*) DESC LIMIT 1)"
        )


def _trim_closed(connection: sqlite3.Connection) -> None:
    connection.execute(
        "DELETE FROM suggestions WHERE state != 'open' AND number <="
        " (SELECT number FROM suggestions WHERE state != 'open' ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (MAX_CLOSED,),
    )


def read_suggestions(connection: sqlite3.Connection, *, states: Iterable[State], limit: int) -> list[Suggestion]:
    """The newest suggestions in any of these states."""
    wanted = list(states)
    marks = ", ".join("?" * len(wanted))
    rows = connection.execute(
        f"SELECT * FROM suggestions WHERE state IN ({marks}) ORDER BY number DESC LIMIT ?",  # noqa: S608 - marks
        (*wanted, limit),
    )
    return [_suggestion(row) for row in rows]


def read_suggestion(connection: sqlite3.Connection, number: int) -> Suggestion:
    """One suggestion; raises NodeError."""
    row = connection.execute("SELECT * FROM suggestions WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise NodeError(f"suggestion {number}: there is none of this number; see `tocsin suggestions list`")
    return _suggestion(row)


def settle_suggestion(connection: sqlite3.Connection, number: int, state: State) -> None:
    """Say what became of an open suggestion; raises NodeError where it is open no more."""
    changed = connection.execute(
        "UPDATE suggestions SET state = ? WHERE number = ? AND state = 'open'", (state, number)
    )
    if changed.rowcount == 0:
        raise NodeError(f"suggestion {number} is {read_suggestion(connection, number).state} already")


def _suggestion(row: tuple[Any, ...]) -> Suggestion:
    number, source, origin, version, document, notes, at_ms, state = row
    return Suggestion(
        number, source, origin, version, json.loads(document), tuple(json.loads(notes)), at_ms, State(state)
    )
