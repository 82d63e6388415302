"""Collections in feed.db: adding objects, and reading them back in the order in which they came."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any

from tocsin_protocol.stix.marking import Circle
from tocsin_protocol.stix.naming import canonical_json, stix_id, stix_time
from tocsin_protocol.stix.reading import UNVERSIONED, version_of
from tocsin_protocol.taxonomy import Tlp

Object = dict[str, Any]

MAX_BODY_BYTES = 256 * 1024
# What never changes once it was told, however often it is told again.
ONE_VERSION = UNVERSIONED | {"relationship", "marking-definition", "extension-definition"}
_FRACTION = re.compile(r"\.(\d+)Z$")
_COLUMNS = "added_ms, id, type, version, body"
# The last date_added of a collection, and which versions it holds of an object: first, last, and one that is asked for.
_RANKS = "SELECT rank FROM taxii_objects WHERE collection = number AND id = :id"
_STATE = (
    f"SELECT last_ms, ({_RANKS} ORDER BY rank LIMIT 1), ({_RANKS} ORDER BY rank DESC LIMIT 1),"  # noqa: S608 - fixed
    f" EXISTS ({_RANKS} AND rank = :rank) FROM taxii_collections WHERE number = :collection"
)


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection as it stands in feed.db."""

    number: int
    id: str
    alias: str
    title: str
    description: str
    tlp: Tlp
    objects: int
    dropped_ms: int


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One version of an object in a collection."""

    added_ms: int
    id: str
    type: str
    version: str
    body: int

    @property
    def added(self) -> str:
        """When it was added, as TAXII writes it."""
        return taxii_time(self.added_ms)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a request asks for; None and an empty tuple: whatever there is. Versions besides times: first, last, all."""

    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    versions: tuple[str, ...] = ("last",)
    is_known_spec: bool = True


def taxii_time(at_ms: int) -> str:
    """A time with six digits of a second, of which TAXII wants all and we know three."""
    return stix_time(at_ms).replace("Z", "000Z")


def rank_of(version: str) -> str:
    """A version with nine digits of a second, so that it sorts as text."""
    match = _FRACTION.search(version)
    digits = match[1] if match else ""
    return version[: match.start() if match else -1] + "." + digits.ljust(9, "0") + "Z"


def circle_collection_id(circle: Circle) -> str:
    """The id of a circle's collection: the same on every node, as it says what it is for."""
    return stix_id("collection", circle.value).split("--")[1]


def read_collections(connection: sqlite3.Connection) -> list[Collection]:
    """All collections that hold objects, in the order in which they were made."""
    rows = connection.execute(
        "SELECT number, id, alias, title, description, tlp, objects, dropped_ms FROM taxii_collections ORDER BY number"
    )
    return [
        Collection(n, uid, alias, title, about, Tlp(tlp), objects, dropped)
        for n, uid, alias, title, about, tlp, objects, dropped in rows
    ]


def add_collection(
    connection: sqlite3.Connection, collection_id: str, *, alias: str, title: str, description: str, tlp: Tlp
) -> Collection:
    """The collection of this id, made where there is none yet."""
    connection.execute(
        "INSERT OR IGNORE INTO taxii_collections (id, alias, title, description, tlp, last_ms)"
        " VALUES (?, ?, ?, ?, ?, 0)",
        (collection_id, alias, title, description, tlp.value),
    )
    return next(c for c in read_collections(connection) if c.id == collection_id)


def add_object(connection: sqlite3.Connection, collection: Collection, value: Object, now_ms: int) -> int | None:
    """Add one version of an object; returns its date_added, or None where the collection holds it already."""
    # [TAXII] An object that a collection holds in the same version, or of a kind without versions, is not added again.
    version = version_of(value)
    is_one = version is None or value["type"] in ONE_VERSION
    asked = {"collection": collection.number, "id": value["id"], "rank": "" if version is None else rank_of(version)}
    last_ms, first, last, is_known = connection.execute(_STATE, asked).fetchone()
    if first is not None and (is_one or is_known):
        return None
    # [TAXII] Each object that is added has a date_added of its own, a millisecond later than all before it at least.
    added_ms: int = max(now_ms, last_ms + 1)
    shown = version or taxii_time(added_ms)
    _insert(connection, collection, value, added_ms, shown, (first, last))
    connection.execute(
        "UPDATE taxii_collections SET last_ms = ?, objects = objects + 1 WHERE number = ?",
        (added_ms, collection.number),
    )
    return added_ms


def _insert(
    connection: sqlite3.Connection,
    collection: Collection,
    value: Object,
    added_ms: int,
    version: str,
    edges: tuple[str | None, str | None],
) -> None:
    number, rank, (first, last) = collection.number, rank_of(version), edges
    is_first, is_last = first is None or rank < first, last is None or rank > last
    for column, is_new, edge in (("is_first", is_first, first), ("is_last", is_last, last)):
        if is_new and edge is not None:
            connection.execute(
                f"UPDATE taxii_objects SET {column} = 0 WHERE collection = ? AND id = ? AND rank = ?",  # noqa: S608
                (number, value["id"], edge),
            )
    connection.execute(
        "INSERT INTO taxii_objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (number, added_ms, value["id"], value["type"], version, rank, is_first, is_last, _body(connection, value)),
    )


def _body(connection: sqlite3.Connection, value: Object) -> int:
    text = canonical_json(value).encode()
    digest = hashlib.sha256(text).digest()
    # most are in several collections, and are compressed for the first
    used = connection.execute("UPDATE stix_bodies SET uses = uses + 1 WHERE hash = ? RETURNING number", (digest,))
    row = used.fetchone()
    if row is None:
        query = "INSERT INTO stix_bodies (hash, body, uses) VALUES (?, ?, 1) RETURNING number"
        row = connection.execute(query, (digest, zlib.compress(text, 1))).fetchone()
    return int(row[0])


def read_body(connection: sqlite3.Connection, number: int) -> bytes:
    """The JSON of the object that an entry stands for."""
    (packed,) = connection.execute("SELECT body FROM stix_bodies WHERE number = ?", (number,)).fetchone()
    return zlib.decompressobj().decompress(packed, MAX_BODY_BYTES)


def last_version(connection: sqlite3.Connection, collection: Collection, object_id: str) -> Object | None:
    """The newest version of an object that a collection holds."""
    row = connection.execute(
        "SELECT body FROM taxii_objects WHERE collection = ? AND id = ? ORDER BY rank DESC LIMIT 1",
        (collection.number, object_id),
    ).fetchone()
    return None if row is None else json.loads(read_body(connection, row[0]))


def has_object(connection: sqlite3.Connection, collection: Collection, object_id: str) -> bool:
    """Whether a collection holds any version of an object."""
    query = "SELECT 1 FROM taxii_objects WHERE collection = ? AND id = ? LIMIT 1"
    return connection.execute(query, (collection.number, object_id)).fetchone() is not None


def read_entries(
    connection: sqlite3.Connection, collection: Collection, filters: Filters, after_ms: int, limit: int
) -> list[Entry]:
    """Up to `limit` entries that were added after a time, oldest first."""
    if not filters.is_known_spec:
        return []
    # [TAXII] Objects come in the order of their date_added, whatever is asked for.
    where, values = _version_clause(filters.versions)
    if filters.ids:
        marks = ", ".join("?" * len(filters.ids))
        where, values = f"{where} AND id IN ({marks})", [*values, *filters.ids]
        if filters.types:
            marks = ", ".join("?" * len(filters.types))
            where, values = f"{where} AND type IN ({marks})", [*values, *filters.types]
        return _select(connection, collection, where, values, after_ms, limit)
    if filters.types:
        # each type by its index; together no more than is asked for
        found = (
            _select(connection, collection, f"{where} AND type = ?", [*values, kind], after_ms, limit)
            for kind in filters.types
        )
        return list(islice(merge(*found), limit))
    return _select(connection, collection, where, values, after_ms, limit)


def _version_clause(versions: Sequence[str]) -> tuple[str, list[Any]]:
    if "all" in versions:
        return "", []
    parts = [f"is_{word} = 1" for word in ("first", "last") if word in versions]
    times = [rank_of(version) for version in versions if version not in ("first", "last")]
    parts += [f"rank IN ({', '.join('?' * len(times))})"] if times else []
    return f" AND ({' OR '.join(parts)})", list(times)


def _select(
    connection: sqlite3.Connection,
    collection: Collection,
    where: str,
    values: Iterable[Any],
    after_ms: int,
    limit: int,
) -> list[Entry]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM taxii_objects WHERE collection = ? AND added_ms > ?{where}"  # noqa: S608 - fixed parts
        " ORDER BY added_ms LIMIT ?",
        (collection.number, after_ms, *values, limit),
    )
    return [Entry(*row) for row in rows]
