"""The tables of TAXII in feed.db."""

from __future__ import annotations

TAXII_BOUNDS = """
    -- objects: how many versions it holds. dropped_ms: the last date_added of those that went, as they were too many.
    ALTER TABLE taxii_collections ADD COLUMN objects INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE taxii_collections ADD COLUMN dropped_ms INTEGER NOT NULL DEFAULT 0;
    UPDATE taxii_collections SET objects = (SELECT COUNT(*) FROM taxii_objects WHERE collection = number);
    -- uses: how many entries have this body.
    ALTER TABLE stix_bodies ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;
    UPDATE stix_bodies SET uses = counted.uses
        FROM (SELECT body, COUNT(*) AS uses FROM taxii_objects GROUP BY body) AS counted WHERE number = counted.body;
    CREATE INDEX taxii_objects_superseded ON taxii_objects (collection, added_ms) WHERE is_first = 0 AND is_last = 0;
    CREATE INDEX taxii_incidents_by_id ON taxii_incidents (collection, id);
"""

TAXII_TABLES = """
    -- last_ms: the highest date_added that was given in it.
    CREATE TABLE taxii_collections (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        alias TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        description TEXT NOT NULL,
        tlp TEXT NOT NULL,
        last_ms INTEGER NOT NULL
    ) STRICT;

    -- Objects as JSON, compressed, each content once however many collections hold it.
    CREATE TABLE stix_bodies (
        number INTEGER PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        body BLOB NOT NULL
    ) STRICT;

    -- rank: the version with all digits, so that its order as text is that in time.
    CREATE TABLE taxii_objects (
        collection INTEGER NOT NULL,
        added_ms INTEGER NOT NULL,
        id TEXT NOT NULL,
        type TEXT NOT NULL,
        version TEXT NOT NULL,
        rank TEXT NOT NULL,
        is_first INTEGER NOT NULL,
        is_last INTEGER NOT NULL,
        body INTEGER NOT NULL,
        PRIMARY KEY (collection, added_ms)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX taxii_objects_by_id ON taxii_objects (collection, id, rank);
    CREATE INDEX taxii_objects_by_type ON taxii_objects (collection, type, added_ms);
    CREATE INDEX taxii_objects_last ON taxii_objects (collection, added_ms) WHERE is_last = 1;

    -- How far the record is exported.
    CREATE TABLE taxii_progress (only INTEGER PRIMARY KEY CHECK (only = 1), sequence INTEGER NOT NULL) STRICT;
    INSERT INTO taxii_progress VALUES (1, 0);
    -- By which id each circle knows an incident of the record.
    CREATE TABLE taxii_incidents (
        collection INTEGER NOT NULL,
        incident BLOB NOT NULL,
        id TEXT NOT NULL,
        PRIMARY KEY (collection, incident)
    ) STRICT, WITHOUT ROWID;

    -- What became of objects that were sent to us. holder: the key that sent them.
    CREATE TABLE taxii_statuses (
        id TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX taxii_statuses_by_age ON taxii_statuses (at_ms);

    -- Where reading another's collection goes on.
    CREATE TABLE taxii_sources (
        name TEXT PRIMARY KEY,
        added_after TEXT NOT NULL,
        cursor TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- What others found, for the operator to publish or to drop.
    CREATE TABLE suggestions (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        source TEXT NOT NULL,
        origin TEXT NOT NULL,
        version TEXT NOT NULL,
        document TEXT NOT NULL,
        notes TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        state TEXT NOT NULL,
        UNIQUE (source, origin, version)
    ) STRICT;
    CREATE INDEX suggestions_by_state ON suggestions (state, number);
"""
