"""One signal as a bundle of STIX: what its collection holds of it, to be saved from the dashboard."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from tocsin_protocol.stix.common import Statement
from tocsin_protocol.stix.marking import Circle, marking_objects
from tocsin_protocol.stix.naming import stix_id
from tocsin_protocol.stix.statements import export_statement, is_exported

from tocsin_node.store.reader import SignalRow

from ..access import Access, access_of
from ..context import Source, feed_of
from ..paging import Hex32
from ..problems import Problem
from ..sight import tlp_of
from ..taxii.objects import read_collections

MEDIA_TYPE = "application/stix+json;version=2.1"

router = APIRouter(include_in_schema=False)


@router.get("/dashboard/stix/{digest}")
def bundle(
    request: Request, access: Annotated[Access, Depends(access_of)], digest: Annotated[Hex32, Path()]
) -> Response:
    """What is told of a signal in the circle of who asks; other signals that it refers to are left out."""
    feed, circle = feed_of(request), Circle(access.max_tlp.value)
    with feed.source() as source, closing(feed.open_db()) as connection:
        row = source.reader.signal(bytes.fromhex(digest))
        if row is None or not access.may_see(tlp_of(row)) or row.signal is None or not is_exported(row.signal):
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such signal, or it is none that is told as STIX")
        objects = marking_objects(circle) + export_statement(_statement(source, connection, circle, row), {})
    body = {"type": "bundle", "id": stix_id("bundle", circle.value, digest), "objects": objects}
    return Response(msgspec.json.encode(body), media_type=MEDIA_TYPE, headers={"cache-control": "no-store"})


def _statement(source: Source, connection: sqlite3.Connection, circle: Circle, row: SignalRow) -> Statement:
    assert row.signal is not None  # noqa: S101 - who calls has looked
    member = source.roster().member(row.envelope.publisher)
    return Statement(
        digest=row.envelope.digest,
        network=source.reader.network_id,
        publisher=row.envelope.publisher,
        member=member.name if member else "",
        organisation=member.organisation if member else "",
        lane=row.envelope.lane,
        sequence=row.envelope.sequence,
        signal=row.signal,
        incident=_incident(connection, circle, row.incident or row.envelope.digest),
    )


def _incident(connection: sqlite3.Connection, circle: Circle, incident: bytes) -> str:
    """The id under which a circle was told of an incident."""
    number = next((one.number for one in read_collections(connection) if one.alias == circle.value), None)
    query = "SELECT id FROM taxii_incidents WHERE collection = ? AND incident = ?"
    found = connection.execute(query, (number, incident)).fetchone()
    if found is None:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "it is not exported yet", headers={"retry-after": "1"})
    return str(found[0])
