"""Webhooks as they stand in feed.db: who is sent what, how far it is, and what was refused."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.taxonomy import Category, Severity

from .feed_db import transaction
from .keys import MAX_LABEL_CHARS, Scope
from .live.events import LiveFilter

ID_BYTES = 6
MAX_WEBHOOKS = 64
MAX_DEAD_LETTERS = 1_000
MAX_URL_CHARS = 2_048
MAX_REASON_CHARS = 200


class WebhookState(StrEnum):
    """Whether a receiver is sent anything."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver; `cursor` is the last sequence that is done with."""

    id: str
    url: str
    label: str
    scope: Scope
    wanted: LiveFilter
    secret: bytes
    created_ms: int
    cursor: int
    state: WebhookState
    reason: str
    generation: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a receiver refused, and why."""

    sequence: int
    at_ms: int
    reason: str
    again: bool


def add_webhook(
    connection: sqlite3.Connection,
    url: str,
    label: str,
    scope: Scope,
    wanted: LiveFilter,
    secret: bytes,
    now_ms: int,
    cursor: int,
) -> str:
    """Begin to send events behind a cursor; returns the id. Raises ValueError."""
    if len(url) > MAX_URL_CHARS or not _is_address(url):
        raise ValueError(f"{url[:80]!r} is not an address such as https://desk.example.org/tocsin")
    if not 0 < len(label) <= MAX_LABEL_CHARS:
        raise ValueError(f"a label has 1 to {MAX_LABEL_CHARS} characters")
    webhook_id = secrets.token_hex(ID_BYTES)
    values = (webhook_id, url, label, scope.value, _encode(wanted), secret, now_ms, cursor, WebhookState.ACTIVE.value)
    with transaction(connection):
        if connection.execute("SELECT COUNT(*) FROM webhooks").fetchone()[0] >= MAX_WEBHOOKS:
            raise ValueError(f"there are {MAX_WEBHOOKS} webhooks already")
        connection.execute("INSERT INTO webhooks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', 0)", values)
    return webhook_id


def list_webhooks(connection: sqlite3.Connection) -> list[Webhook]:
    """All webhooks, oldest first."""
    return [_webhook(row) for row in connection.execute("SELECT * FROM webhooks ORDER BY created_ms, id")]


def remove_webhook(connection: sqlite3.Connection, webhook_id: str) -> bool:
    """Send nothing more, and forget what was refused; returns whether there was one of that id."""
    with transaction(connection):
        connection.execute("DELETE FROM dead_letters WHERE webhook = ?", (webhook_id,))
        return connection.execute("DELETE FROM webhooks WHERE id = ?", (webhook_id,)).rowcount == 1


def resume_webhook(connection: sqlite3.Connection, webhook_id: str, cursor: int | None = None) -> bool:
    """Send again, from where it was or behind a cursor; returns whether there is one of that id."""
    changed = connection.execute(
        "UPDATE webhooks SET state = ?, reason = '', cursor = COALESCE(?, cursor), generation = generation + 1"
        " WHERE id = ?",
        (WebhookState.ACTIVE.value, cursor, webhook_id),
    )
    return changed.rowcount == 1


def retry_dead(connection: sqlite3.Connection, webhook_id: str) -> int:
    """Have what was refused sent once more; returns how many."""
    with transaction(connection):
        marked = connection.execute("UPDATE dead_letters SET again = 1 WHERE webhook = ?", (webhook_id,)).rowcount
        connection.execute("UPDATE webhooks SET generation = generation + 1 WHERE id = ?", (webhook_id,))
    return marked


def keep_cursor(connection: sqlite3.Connection, webhook: Webhook, cursor: int) -> None:
    """Remember up to where all is done, unless a command has changed the webhook meanwhile."""
    connection.execute(
        "UPDATE webhooks SET cursor = ? WHERE id = ? AND generation = ?", (cursor, webhook.id, webhook.generation)
    )


def suspend_webhook(connection: sqlite3.Connection, webhook: Webhook, reason: str) -> None:
    """Send nothing more until the operator resumes it."""
    connection.execute(
        "UPDATE webhooks SET state = ?, reason = ? WHERE id = ? AND generation = ?",
        (WebhookState.SUSPENDED.value, reason[:MAX_REASON_CHARS], webhook.id, webhook.generation),
    )


def bury(connection: sqlite3.Connection, webhook: Webhook, sequence: int, reason: str, now_ms: int) -> int:
    """Keep an event that was refused; returns how many there are of this webhook."""
    connection.execute(
        "INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, 0)",
        (webhook.id, sequence, now_ms, reason[:MAX_REASON_CHARS]),
    )
    count: int = connection.execute("SELECT COUNT(*) FROM dead_letters WHERE webhook = ?", (webhook.id,)).fetchone()[0]
    return count


def unbury(connection: sqlite3.Connection, webhook: Webhook, sequence: int) -> None:
    """An event that was refused has arrived after all."""
    connection.execute("DELETE FROM dead_letters WHERE webhook = ? AND sequence = ?", (webhook.id, sequence))


def dead_letters(connection: sqlite3.Connection, webhook_id: str) -> Sequence[DeadLetter]:
    """What a receiver refused, oldest first."""
    rows = connection.execute(
        "SELECT sequence, at_ms, reason, again FROM dead_letters WHERE webhook = ? ORDER BY sequence LIMIT ?",
        (webhook_id, MAX_DEAD_LETTERS),
    )
    return [DeadLetter(sequence, at_ms, reason, bool(again)) for sequence, at_ms, reason, again in rows]


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("https", "http") and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
        )
    except ValueError:
        return False


def _webhook(row: tuple[Any, ...]) -> Webhook:
    webhook_id, url, label, scope, wanted, secret, created_ms, cursor, state, reason, generation = row
    return Webhook(
        webhook_id,
        url,
        label,
        Scope(scope),
        _decode(wanted),
        secret,
        created_ms,
        cursor,
        WebhookState(state),
        reason,
        generation,
    )


def _encode(wanted: LiveFilter) -> str:
    return json.dumps(
        {
            "kinds": sorted(kind.value for kind in wanted.kinds),
            "subject": wanted.subject,
            "categories": None if wanted.categories is None else [c.value for c in wanted.categories],
            "severity": None if wanted.severity is None else wanted.severity.value,
        }
    )


def _decode(text: str) -> LiveFilter:
    fields = json.loads(text)
    categories, severity = fields["categories"], fields["severity"]
    return LiveFilter(
        frozenset(EntryKind(kind) for kind in fields["kinds"]),
        fields["subject"],
        None if categories is None else tuple(Category(category) for category in categories),
        None if severity is None else Severity(severity),
    )
