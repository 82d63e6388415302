"""The tables of feed.db, as migrations: list position + 1 is the schema version, and none is edited once released."""

from __future__ import annotations

from .taxii.schema import TAXII_BOUNDS, TAXII_TABLES

MIGRATIONS = (
    """
    -- Keys of the feed. secret: the SHA-256 of what its holder has; it is random, so that one hash is enough.
    CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        secret BLOB NOT NULL,
        scope TEXT NOT NULL,
        label TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL,
        revoked_ms INTEGER
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- Who is sent events. wanted: the filter, as JSON. cursor: the last sequence that is done with. generation: rises
    -- with every change that a command makes, so that whoever delivers begins anew.
    CREATE TABLE webhooks (
        id TEXT PRIMARY KEY,
        url TEXT NOT NULL,
        label TEXT NOT NULL,
        scope TEXT NOT NULL,
        wanted TEXT NOT NULL,
        secret BLOB NOT NULL,
        created_ms INTEGER NOT NULL,
        cursor INTEGER NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        generation INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- Events that a receiver refused. again: the operator wants it sent once more.
    CREATE TABLE dead_letters (
        webhook TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        reason TEXT NOT NULL,
        again INTEGER NOT NULL,
        PRIMARY KEY (webhook, sequence)
    ) STRICT, WITHOUT ROWID;
    """,
    TAXII_TABLES,
    TAXII_BOUNDS,
)

SCHEMA_VERSION = len(MIGRATIONS)
