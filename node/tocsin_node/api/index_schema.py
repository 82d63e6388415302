"""The tables of feed-index.db: what signals can be asked by. All of it follows from the record, so a file of another
schema is made anew."""

from __future__ import annotations

SCHEMA_VERSION = 1
TABLES = """
-- Up to which signal the index goes; the digest tells whether the record is still the one it was made from.
CREATE TABLE position (only INTEGER PRIMARY KEY CHECK (only = 1), signal INTEGER NOT NULL, digest BLOB NOT NULL) STRICT;
INSERT INTO position VALUES (1, 0, x'');

-- id: as in the record. tlp, severity: ranks. The marking stands in every index before the time, so that what may not
-- be seen is not even passed over.
CREATE TABLE signals (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    tlp INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    category TEXT NOT NULL,
    stage TEXT NOT NULL,
    publisher BLOB NOT NULL,
    incident BLOB
) STRICT;
CREATE INDEX signals_by_time ON signals (tlp, at_ms);
CREATE INDEX signals_by_severity ON signals (severity, tlp, at_ms);
CREATE INDEX signals_by_category ON signals (category, tlp, at_ms);
CREATE INDEX signals_by_stage ON signals (stage, tlp, at_ms);
CREATE INDEX signals_by_publisher ON signals (publisher, tlp, at_ms);
CREATE INDEX signals_by_incident ON signals (incident, tlp, at_ms);
CREATE TABLE subjects (
    value TEXT NOT NULL,
    tlp INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (value, tlp, at_ms, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE chains (
    value TEXT NOT NULL,
    tlp INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (value, tlp, at_ms, id)
) STRICT, WITHOUT ROWID;

-- An incident once for each level of sight, made of the signals that are seen there and nothing else. number: the
-- first signal that we have of it, seen or not.
CREATE TABLE incidents (
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    id BLOB NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    signals INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX incidents_by_id ON incidents (id, level);
-- What its signals name, with the least marking of a signal that does.
CREATE TABLE facets (
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    number INTEGER NOT NULL,
    tlp INTEGER NOT NULL,
    PRIMARY KEY (kind, value, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX facets_of_incident ON facets (number, kind, tlp);
"""
