"""The feed's metrics as text, with what is read off its databases for them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from prometheus_client import generate_latest

from .context import Feed, Source
from .metrics import FeedMetrics
from .subscriptions import WebhookState


def render_metrics(feed: Feed) -> str:
    """The text that Prometheus reads; raises StoreError where the record or the index cannot be read."""
    with feed.source() as source, closing(feed.open_db()) as database:
        _read(feed.metrics, source, database)
    return generate_latest(feed.metrics.registry).decode()


def _read(metrics: FeedMetrics, source: Source, database: sqlite3.Connection) -> None:
    head = source.reader.audit_head()
    (indexed,) = source.index.execute("SELECT signal FROM position").fetchone()
    metrics.index_behind.set(max(0, source.reader.last_signal() - indexed))
    (exported,) = database.execute("SELECT sequence FROM taxii_progress").fetchone()
    metrics.export_behind.set(max(0, head - exported))
    for state in WebhookState:
        query = "SELECT COUNT(*), MIN(cursor) FROM webhooks WHERE state = ?"
        count, cursor = database.execute(query, (state.value,)).fetchone()
        metrics.webhooks.labels(state.value).set(count)
        if state is WebhookState.ACTIVE:
            metrics.webhook_behind.set(0 if cursor is None else max(0, head - cursor))
    metrics.dead_letters.set(database.execute("SELECT COUNT(*) FROM dead_letters").fetchone()[0])
    metrics.suggestions.set(database.execute("SELECT COUNT(*) FROM suggestions WHERE state = 'open'").fetchone()[0])
    for alias, objects in database.execute("SELECT alias, objects FROM taxii_collections"):
        metrics.objects.labels(alias).set(objects)
