"""A dump of another collection as a collection of our own, to be served with the dates that its objects had."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tocsin_protocol.errors import DecodeError
from tocsin_protocol.fields import map_of
from tocsin_protocol.stix.marking import tlp_rank
from tocsin_protocol.stix.naming import stix_id, time_of
from tocsin_protocol.stix.reading import check_object, object_tlp
from tocsin_protocol.taxonomy import Tlp

from tocsin_node.clock import now_ms
from tocsin_node.errors import NodeError

from ..feed_db import transaction
from .keeping import MAX_OBJECTS
from .objects import Collection, Object, add_collection, add_object, read_collections
from .wire import parse_json

MAX_LINE_BYTES = 256 * 1024
MAX_LINES = 1_000_000
LINES_AT_ONCE = 500
MAX_REFUSALS_LISTED = 20
MAX_ARCHIVES = 32
# The date and the place of a line in one number: a million lines are sorted by it in little room.
_OFFSET_BITS = 44


@dataclass(slots=True)
class Imported:
    """What became of a dump's lines; `refusals` are the first of those refused, with their place in the file."""

    collection: str
    added: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    late: int = 0
    refused: int = 0
    refusals: list[str] = field(default_factory=list)

    def refuse(self, place: str, why: str) -> None:
        """One more line that was refused."""
        self.refused += 1
        if len(self.refusals) < MAX_REFUSALS_LISTED:
            self.refusals.append(f"{place}: {why}")


def import_dump(
    connection: sqlite3.Connection, path: Path, *, alias: str, title: str, tlp: Tlp, known: frozenset[str]
) -> Imported:
    """Add a dump to the collection of this alias, made where there is none; raises NodeError.

    A dump is JSON lines, each {"date_added": time, "object": STIX object}. `known` are names that are taken.
    """
    if alias in known:
        raise NodeError(f"collection {alias!r}: that is one of the node's own; choose another name")
    try:
        with path.open("rb") as file:
            order, done = _survey(file, stix_id("collection", "archive", alias).split("--")[1])
            with transaction(connection):
                _check_room(connection, alias, known)
                archive = add_collection(
                    connection, done.collection, alias=alias, title=title, description=f"Imported: {title}", tlp=tlp
                )
            if archive.tlp is not tlp:
                raise NodeError(f"collection {alias!r}: is TLP:{archive.tlp.upper()} already, not TLP:{tlp.upper()}")
            for start in range(0, len(order), LINES_AT_ONCE):
                with transaction(connection):
                    for packed in order[start : start + LINES_AT_ONCE]:
                        _add_line(connection, archive, file, packed & (2**_OFFSET_BITS - 1), done)
    except OSError as exc:
        raise NodeError(f"{path}: cannot be read ({exc.strerror})") from exc
    return done


def _check_room(connection: sqlite3.Connection, alias: str, known: frozenset[str]) -> None:
    """Raise NodeError where there are too many archives; called where none is added meanwhile."""
    archives = {collection.alias for collection in read_collections(connection)} - known
    if alias not in archives and len(archives) >= MAX_ARCHIVES:
        raise NodeError(f"collection {alias!r}: there are {MAX_ARCHIVES} archives already")


def _survey(file: IO[bytes], collection: str) -> tuple[list[int], Imported]:
    """The lines that can be read, by date and then place; what cannot is refused by its number."""
    done, order, before = Imported(collection), [], -1
    for number, offset, line in _lines(file):
        try:
            added_ms = _read(line)[0]
        except DecodeError as exc:
            done.refuse(f"line {number}", str(exc))
            continue
        # [TAXII] An import takes its lines in the order of their dates, and names how many stood out of it.
        done.out_of_order += added_ms < before
        before = max(before, added_ms)
        order.append(added_ms << _OFFSET_BITS | offset)
    order.sort()
    return order, done


def _lines(file: IO[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Number, place and text of each line that is not empty."""
    offset = 0
    for number in range(1, MAX_LINES + 1):
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        if len(line) > MAX_LINE_BYTES:
            raise NodeError(f"line {number}: is longer than {MAX_LINE_BYTES} bytes")
        if line.strip():
            yield number, offset, line
        offset += len(line)
    if file.readline(1):
        raise NodeError(f"more than {MAX_LINES} lines: split the dump")


def _read(line: bytes) -> tuple[int, Object]:
    row = map_of("the line", parse_json(line), ("date_added", "object"))
    added_ms = time_of("date_added", row["date_added"])
    # [TAXII] A line that is dated later than now is refused: all that came after it would bear dates to come.
    if added_ms > now_ms():
        raise DecodeError(f"date_added {row['date_added']} is still to come")
    return added_ms, check_object(row["object"])


def _add_line(
    connection: sqlite3.Connection, archive: Collection, file: IO[bytes], offset: int, done: Imported
) -> None:
    file.seek(offset)
    added_ms, value = _read(file.readline(MAX_LINE_BYTES + 1))
    tlp = object_tlp(value, archive.tlp)
    # [TAXII] An archive takes nothing that is marked above it.
    if tlp_rank(tlp) > tlp_rank(archive.tlp):
        done.refuse(str(value["id"]), f"is TLP:{tlp.upper()} and the collection TLP:{archive.tlp.upper()}")
        return
    # [TAXII] An archive that is full takes nothing more: what its operator put there stays.
    (objects,) = connection.execute(
        "SELECT objects FROM taxii_collections WHERE number = ?", (archive.number,)
    ).fetchone()
    if objects >= MAX_OBJECTS:
        done.refuse(str(value["id"]), f"the collection holds {MAX_OBJECTS} versions already")
        return
    kept = add_object(connection, archive, value, added_ms)
    # [TAXII] What is dated before the collection's last is added after it, or who has read on would never see it.
    done.duplicates += kept is None
    done.added += kept is not None
    done.late += kept is not None and kept != added_ms
