"""What is sent to us over TAXII: each object is checked by itself, and what can be a signal waits for the operator."""

from __future__ import annotations

import json
import sqlite3
import uuid
from typing import Any

from tocsin_protocol.errors import DecodeError
from tocsin_protocol.stix.drafting import draft_of
from tocsin_protocol.stix.marking import Circle
from tocsin_protocol.stix.naming import stix_id
from tocsin_protocol.stix.reading import check_envelope, check_object, version_of

from ..feed_db import transaction
from ..suggestions import suggest
from .objects import taxii_time

INBOX_ID = stix_id("collection", "inbox").split("--")[1]
# No archive may take these names.
OWN_ALIASES = frozenset(("inbox", *Circle))
MAX_STATUSES = 1000
MAX_MESSAGE_CHARS = 300


def receive_objects(connection: sqlite3.Connection, document: Any, holder: str, now_ms: int) -> dict[str, Any]:
    """Take an envelope; returns TAXII's status of it. Raises DecodeError where it is none."""
    successes: list[dict[str, str]] = []
    failures: list[dict[str, str]] = []
    with transaction(connection):
        for value in check_envelope(document):
            try:
                what = _receive(connection, value, f"taxii:{holder}", now_ms)
                successes.append(_row(value, now_ms, what))
            # [TAXII] An object with a fault fails by itself and by name; those beside it are taken.
            except DecodeError as exc:
                failures.append(_row(value, now_ms, str(exc)))
        status = _status(successes, failures, now_ms)
        connection.execute(
            "INSERT INTO taxii_statuses VALUES (?, ?, ?, ?)", (status["id"], holder, now_ms, json.dumps(status))
        )
        # [TAXII] Of what was sent, the last MAX_STATUSES answers are kept, each for the key that sent it.
        connection.execute(
            "DELETE FROM taxii_statuses WHERE at_ms <"
            " (SELECT at_ms FROM taxii_statuses ORDER BY at_ms DESC LIMIT 1 OFFSET ?)",
            (MAX_STATUSES,),
        )
    return status


def read_status(connection: sqlite3.Connection, status_id: str, holder: str) -> dict[str, Any] | None:
    """What became of objects that this key sent."""
    query = "SELECT body FROM taxii_statuses WHERE id = ? AND holder = ?"
    row = connection.execute(query, (status_id, holder)).fetchone()
    return None if row is None else json.loads(row[0])


def _receive(connection: sqlite3.Connection, value: Any, source: str, now_ms: int) -> str:
    draft = draft_of(check_object(value))
    if draft is None:
        return "valid; it names nothing that could be signalled"
    # [TAXII] What is sent never goes onto the mesh by itself: it waits for the operator.
    is_new = suggest(connection, source, draft, now_ms)
    return "waits for the operator" if is_new else "known already"


def _row(value: Any, now_ms: int, message: str) -> dict[str, str]:
    found = value if isinstance(value, dict) else {}
    named, version = found.get("id"), version_of(found)
    text = named if isinstance(named, str) and len(named) <= MAX_MESSAGE_CHARS else "unknown"
    # what is no Unicode could not be answered with
    text = text.encode(errors="replace").decode()
    return {"id": text, "version": version or taxii_time(now_ms), "message": message[:MAX_MESSAGE_CHARS]}


def _status(successes: list[dict[str, str]], failures: list[dict[str, str]], now_ms: int) -> dict[str, Any]:
    status: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "status": "complete",
        "request_timestamp": taxii_time(now_ms),
        "total_count": len(successes) + len(failures),
        "success_count": len(successes),
        "failure_count": len(failures),
        "pending_count": 0,
    }
    # [TAXII] A list of a status that would be empty is left out.
    return status | {name: rows for name, rows in (("successes", successes), ("failures", failures)) if rows}
