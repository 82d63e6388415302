"""What the collections keep, what goes from them, and that a reader is told of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from taxii_kit import TaxiiDesk, about
from tocsin_node.api.feed_db import open_feed_db
from tocsin_node.api.feed_schema import MIGRATIONS
from tocsin_node.api.taxii import keeping
from tocsin_node.api.taxii.keeping import KEEP_SUPERSEDED_MS, drop_old
from tocsin_node.clock import now_ms
from tocsin_protocol.stix.marking import Circle


@pytest.fixture
def database(desk: TaxiiDesk) -> Iterator[sqlite3.Connection]:
    with closing(desk.feed.open_db()) as connection:
        yield connection


def drop_all(database: sqlite3.Connection, at_ms: int) -> int:
    dropped = 0
    while count := drop_old(database, at_ms):
        dropped += count
    return dropped


def check_counts(database: sqlite3.Connection) -> None:
    """What is counted is what is there, and no body is kept that nobody has."""
    for number, objects in database.execute("SELECT number, objects FROM taxii_collections"):
        query = "SELECT COUNT(*) FROM taxii_objects WHERE collection = ?"
        assert database.execute(query, (number,)).fetchone() == (objects,)
    unused = "SELECT COUNT(*) FROM stix_bodies WHERE uses != (SELECT COUNT(*) FROM taxii_objects WHERE body = number)"
    assert database.execute(unused).fetchone() == (0,)
    edges = "SELECT collection, id, SUM(is_first), SUM(is_last) FROM taxii_objects GROUP BY collection, id"
    assert all(row[2:] == (1, 1) for row in database.execute(edges))


def versions(desk: TaxiiDesk, object_id: str) -> list[str]:
    found: dict[str, Any] = desk.taxii(f"/collections/{Circle.CLEAR}/objects/{object_id}/versions/").json()
    return found.get("versions", [])


def test_what_was_superseded_goes_and_who_reads_the_last_versions_misses_nothing(
    desk: TaxiiDesk, database: sqlite3.Connection
) -> None:
    for _ in range(4):
        desk.tell(about(1))
    incident = next(v["id"] for v in desk.objects(Circle.CLEAR) if v["type"] == "incident")
    before, whole = versions(desk, incident), desk.objects(Circle.CLEAR)
    assert len(before) == 4
    assert drop_all(database, now_ms()) == 0
    assert drop_all(database, now_ms() + 2 * KEEP_SUPERSEDED_MS) > 0
    assert versions(desk, incident) == [before[0], before[-1]]
    assert desk.objects(Circle.CLEAR) == whole
    check_counts(database)


def test_of_a_full_collection_the_oldest_go_and_its_readers_are_told(
    desk: TaxiiDesk, database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tell(*(about(place) for place in range(1, 12)))
    whole = desk.objects(Circle.CLEAR)
    assert "X-Tocsin-Dropped-To" not in desk.taxii("/collections/clear/objects/").headers
    monkeypatch.setattr(keeping, "MAX_OBJECTS", 30)
    monkeypatch.setattr(keeping, "DROP_AT_ONCE", 7)
    assert drop_all(database, now_ms()) > 0
    left = desk.objects(Circle.CLEAR)
    lasting = [v for v in whole if v["type"] in ("extension-definition", "identity", "marking-definition")]
    assert len(left) == 30
    assert [v for v in left if v in lasting] == lasting
    assert left[len(lasting) :] == whole[-(30 - len(lasting)) :]
    check_counts(database)
    page = desk.taxii("/collections/clear/objects/")
    dropped_to = page.headers["X-Tocsin-Dropped-To"]
    assert dropped_to in desk.taxii("/collections/clear/").json()["description"]
    # who has read on so far has lost nothing, and is told nothing
    later = desk.taxii("/collections/clear/objects/", added_after=dropped_to)
    assert "X-Tocsin-Dropped-To" not in later.headers
    assert later.json()["objects"] == left[len(lasting) :]


def test_an_incident_of_which_all_is_gone_is_a_new_one_when_it_is_heard_of_again(
    desk: TaxiiDesk, database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tell(about(1))
    first = next(v["id"] for v in desk.objects(Circle.CLEAR) if v["type"] == "incident")
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "MAX_OBJECTS", 0)
        drop_all(database, now_ms())
    assert not [v for v in desk.objects(Circle.CLEAR) if v["type"] == "incident"]
    desk.tell(about(1, text="again"))
    again = [v["id"] for v in desk.objects(Circle.CLEAR) if v["type"] == "incident"]
    assert len(again) == 1
    assert again != [first]
    check_counts(database)


def test_a_feed_of_before_is_counted_when_it_is_opened(desk: TaxiiDesk, database: sqlite3.Connection) -> None:
    desk.tell(about(1), about(2))
    objects = database.execute("SELECT alias, objects FROM taxii_collections").fetchall()
    uses = database.execute("SELECT number, uses FROM stix_bodies").fetchall()
    # as the version before left it
    for index in ("taxii_objects_superseded", "taxii_incidents_by_id"):
        database.execute(f"DROP INDEX {index}")
    for table, column in (
        ("taxii_collections", "objects"),
        ("taxii_collections", "dropped_ms"),
        ("stix_bodies", "uses"),
    ):
        database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS) - 1}")
    with closing(open_feed_db(desk.config.node.data_dir)) as opened:
        assert opened.execute("SELECT alias, objects FROM taxii_collections").fetchall() == objects
        assert opened.execute("SELECT number, uses FROM stix_bodies").fetchall() == uses
