"""The record as STIX: what is new in it is added to the circles' collections, page by page, once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from tocsin_protocol.adjudication import Finding
from tocsin_protocol.audit import AuditEntry, EntryKind
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.envelope import MAX_ENVELOPE_BYTES, decode_envelope
from tocsin_protocol.signing import Domain
from tocsin_protocol.stix.common import Statement, fixed_objects, identity_object
from tocsin_protocol.stix.incidents import export_action, grow_incident, incident_id, judge_incident, later_than
from tocsin_protocol.stix.marking import Circle, marking_objects
from tocsin_protocol.stix.statements import carrier_id, export_statement, is_exported, revoke_statement

from tocsin_node.store.reader import Reader, SignalRow

from ..feed_db import transaction
from .objects import Collection, Object, add_collection, add_object, circle_collection_id, has_object, last_version

# The longer it writes, the longer others wait who write to feed.db.
ENTRIES_AT_ONCE = 50
MAX_REVOKED = 500
MAX_DETAIL_BYTES = 1024 * 1024
_TITLES = {
    Circle.CLEAR: "Signals and incidents, TLP:CLEAR",
    Circle.GREEN: "Signals and incidents up to TLP:GREEN",
    Circle.AMBER: "Signals and incidents up to TLP:AMBER",
    Circle.RED: "Everything this node holds, up to TLP:RED",
}


def circle_collections(connection: sqlite3.Connection) -> dict[Circle, Collection]:
    """The collection of each circle, made where there is none yet."""
    return {
        circle: add_collection(
            connection,
            circle_collection_id(circle),
            alias=circle.value,
            title=_TITLES[circle],
            description="Threat signals of the members of a Tocsin network, as STIX 2.1",
            tlp=circle.most,
        )
        for circle in Circle
    }


class Projection:
    """Adds to feed.db what the record has had since. One at a time; use it from one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, reader: Reader, now_ms: Callable[[], int]) -> None:
        self._connection = connection
        self._reader = reader
        self._now_ms = now_ms
        # By circle and id, the names by which members were told: they rarely change.
        self._names: dict[tuple[Circle, str], str] = {}
        with transaction(connection):
            self._circles = circle_collections(connection)
            for circle in Circle:
                self._add(circle, *marking_objects(circle), *fixed_objects())

    def _look_at_roster(self) -> None:
        """Who the members are, and who tells of incidents: our own."""
        self._roster = self._reader.roster()
        network, member = self._reader.network_id, self._roster.member(self._reader.publisher)
        name, organisation = (member.name, member.organisation) if member else (self._reader.publisher.hex(), "")
        self._author = identity_object(network, name, organisation)

    def step(self) -> bool:
        """Export the next page of the record; whether there may be more."""
        head, position = self._reader.audit_head(), self._position()
        # [TAXII] A record that is shorter than what was read of it is another one, and read from its beginning.
        if head < position:
            self._connection.execute("UPDATE taxii_progress SET sequence = 0")
        elif head == position:
            return False
        self._look_at_roster()
        self._names.clear()
        # [TAXII] What is exported and how far the record is read are written at once: a restart adds nothing twice.
        with transaction(self._connection):
            entries = self._reader.audit(after=self._position(), limit=ENTRIES_AT_ONCE)
            grown: dict[tuple[Circle, str], Object] = {}
            for entry in entries:
                self._export(entry, grown)
            # [TAXII] Of an incident that grows quickly, one version stands for all signals that are read at once.
            for (circle, _), incident in grown.items():
                self._add(circle, incident)
            if entries:
                self._connection.execute("UPDATE taxii_progress SET sequence = ?", (entries[-1].sequence,))
        return len(entries) == ENTRIES_AT_ONCE

    def _position(self) -> int:
        position: int = self._connection.execute("SELECT sequence FROM taxii_progress").fetchone()[0]
        return position

    def _export(self, entry: AuditEntry, grown: dict[tuple[Circle, str], Object]) -> None:
        match entry.kind:
            case EntryKind.SIGNAL:
                row = self._reader.signal(entry.reference)
                if row is not None and row.signal is not None and is_exported(row.signal):
                    for circle in Circle:
                        # [TAXII] A signal is in the collections of the circles that hold its marking, and in no other.
                        if circle.holds(row.signal.tlp):
                            self._export_signal(circle, row, grown)
            case EntryKind.ADJUDICATION:
                self._export_finding(entry, grown)
            case EntryKind.ACTION | EntryKind.OUTCOME:
                self._export_action(entry)
            case EntryKind.EQUIVOCATION:
                self._revoke_publisher(entry)

    def _export_signal(self, circle: Circle, row: SignalRow, grown: dict[tuple[Circle, str], Object]) -> None:
        known = self._incident(circle, row)
        said = self._statement(row, known or incident_id(circle, row.envelope.digest))
        # [TAXII] A signal is told once in each circle, however often the record is read.
        if has_object(self._connection, self._circles[circle], carrier_id(said)):
            return
        self._add(circle, self._author)
        before = grown.get((circle, said.incident)) or last_version(
            self._connection, self._circles[circle], said.incident
        )
        after = grow_incident(before, circle, said, self._author["id"], row.received_ms)
        if before is None:
            self._add(circle, after)
            self._connection.execute(
                "INSERT INTO taxii_incidents VALUES (?, ?, ?)",
                (self._circles[circle].number, row.incident or row.envelope.digest, said.incident),
            )
        else:
            grown[circle, said.incident] = after
        self._add(circle, *export_statement(said, self._referred(circle, row)))

    def _incident(self, circle: Circle, row: SignalRow) -> str | None:
        key = (self._circles[circle].number, row.incident or row.envelope.digest)
        query = "SELECT id FROM taxii_incidents WHERE collection = ? AND incident = ?"
        found = self._connection.execute(query, key).fetchone()
        return None if found is None else str(found[0])

    def _statement(self, row: SignalRow, incident: str) -> Statement:
        assert row.signal is not None  # noqa: S101 - who calls has looked
        member = self._roster.member(row.envelope.publisher)
        return Statement(
            digest=row.envelope.digest,
            network=self._reader.network_id,
            publisher=row.envelope.publisher,
            member=member.name if member else "",
            organisation=member.organisation if member else "",
            lane=row.envelope.lane,
            sequence=row.envelope.sequence,
            signal=row.signal,
            incident=incident,
        )

    def _referred(self, circle: Circle, row: SignalRow) -> dict[bytes, Statement]:
        """The signals that one refers to, as far as the circle holds them."""
        assert row.signal is not None  # noqa: S101 - who calls has looked
        found: dict[bytes, Statement] = {}
        for reference in row.signal.references:
            other = self._reader.signal(reference.digest)
            if other is None or other.signal is None or not is_exported(other.signal):
                continue
            incident = self._incident(circle, other)
            if circle.holds(other.signal.tlp) and incident is not None:
                found[reference.digest] = self._statement(other, incident)
        return found

    def _export_finding(self, entry: AuditEntry, grown: dict[tuple[Circle, str], Object]) -> None:
        body = decode_canonical(_detail(entry)["body"], max_bytes=MAX_DETAIL_BYTES)
        incident, finding = body[0], Finding(body[2])
        found = self._told_incident(incident)
        if found is None:
            return
        before = grown.pop((Circle.RED, found), None) or last_version(
            self._connection, self._circles[Circle.RED], found
        )
        assert before is not None  # noqa: S101 - its row says so
        self._add(Circle.RED, *judge_incident(before, finding, self._author["id"], entry.at_ms))

    def _export_action(self, entry: AuditEntry) -> None:
        row = self._reader.action(entry.reference)
        if row is None:
            return  # a request of people, or a step of a recovery
        incident = self._told_incident(row.action.incident_id)
        objects = export_action(row.action, incident, self._author["id"], entry.at_ms)
        before = last_version(self._connection, self._circles[Circle.RED], objects[0]["id"])
        if before is None or before["extensions"] != objects[0]["extensions"]:
            if before is not None:
                objects[0]["modified"] = later_than(before["modified"], entry.at_ms)
            self._add(Circle.RED, self._author, *objects)

    def _revoke_publisher(self, entry: AuditEntry) -> None:
        """Of who was proven to tell two histories nothing counts any more."""
        for feed in self._reader.feeds():
            if feed.publisher != entry.reference:
                continue
            first = max(0, feed.head - MAX_REVOKED + 1)
            encoded = self._reader.feed_range(
                feed.publisher,
                feed.lane,
                first,
                feed.head,
                most=MAX_REVOKED,
                max_bytes=MAX_REVOKED * MAX_ENVELOPE_BYTES,
            )
            domain = Domain(self._reader.network_id)
            # [TAXII] Of an equivocator the last MAX_REVOKED signals of each feed are revoked.
            for digest in [decode_envelope(domain, data).digest for data in encoded]:
                row = self._reader.signal(digest)
                if row is not None and row.signal is not None and is_exported(row.signal):
                    self._revoke_signal(row, entry.at_ms)

    def _revoke_signal(self, row: SignalRow, at_ms: int) -> None:
        assert row.signal is not None  # noqa: S101 - who calls has looked
        for circle in Circle:
            incident = self._incident(circle, row)
            if incident is None or not circle.holds(row.signal.tlp):
                continue
            said = self._statement(row, incident)
            before = last_version(self._connection, self._circles[circle], carrier_id(said))
            if before is not None and not before.get("revoked"):
                self._add(circle, revoke_statement(said, at_ms))

    def _told_incident(self, incident: bytes) -> str | None:
        query = "SELECT id FROM taxii_incidents WHERE collection = ? AND incident = ?"
        found = self._connection.execute(query, (self._circles[Circle.RED].number, incident)).fetchone()
        return None if found is None else str(found[0])

    def _add(self, circle: Circle, *objects: Object) -> None:
        for value in objects:
            if value["type"] == "identity":
                self._add_identity(circle, value)
            else:
                add_object(self._connection, self._circles[circle], value, self._now_ms())

    def _add_identity(self, circle: Circle, value: Object) -> None:
        """A member, once; as a later version where it has got another name."""
        key = circle, value["id"]
        if self._names.get(key) == value["name"]:
            return
        before = last_version(self._connection, self._circles[circle], value["id"])
        if before is None or before["name"] != value["name"]:
            later = value if before is None else value | {"modified": later_than(before["modified"], self._now_ms())}
            add_object(self._connection, self._circles[circle], later, self._now_ms())
        self._names[key] = value["name"]


def _detail(entry: AuditEntry) -> dict[str, Any]:
    found: dict[str, Any] = decode_canonical(entry.detail, max_bytes=MAX_DETAIL_BYTES)
    return found
