"""Incidents: signals about one event, as this node ties them together."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.taxonomy import Severity

from ..access import Access, access_of
from ..context import feed_of
from ..paging import ONE_NUMBER, Hex32, Name, PageQuery, PublisherId, Since, Until, answer, no_query
from ..problems import Problem
from ..queries import IncidentFilter, categories_of, find_incident, find_incidents
from ..sight import incident_detail, incident_sight

router = APIRouter(tags=["incidents"])


class IncidentsQuery(PageQuery):
    """What incidents are asked by; each is looked for in the signals that may be seen."""

    subject: Name | None = Field(None, description="A subject as signals name it, such as a CAIP-10 account.")
    chain: Name | None = Field(None, description="A CAIP-2 chain of a subject or of evidence.")
    category: Name | None = Field(None, description="A category such as `asset.drain`, or a family such as `asset`.")
    severity: Severity | None = Field(None, description="The worst of its signals is this one or worse.")
    since_ms: Since = Field(0, description="Begun then or later.")
    until_ms: Until = Field(MAX_UINT, description="Begun then or earlier.")
    publisher: PublisherId | None = None

    def filter(self) -> IncidentFilter:
        """The same as the index is asked; raises Problem 400."""
        return IncidentFilter(
            subject=self.subject,
            chain=self.chain,
            categories=categories_of(self.category),
            severity=self.severity,
            since_ms=self.since_ms,
            until_ms=self.until_ms,
            publisher=None if self.publisher is None else bytes.fromhex(self.publisher[2:]),
        )


@router.get("/incidents", response_model=dict[str, Any])
def incidents(
    request: Request, access: Annotated[Access, Depends(access_of)], query: Annotated[IncidentsQuery, Query()]
) -> Response:
    """Incidents, the latest begun first."""
    cursor = query.cursor(ONE_NUMBER)
    with feed_of(request).source() as source:
        before = None if cursor is None else int(cursor[1])
        source.check_indexed()
        rows = find_incidents(source.index, access, query.filter(), before, query.limit)
        roster = source.roster()
        shown = [incident_sight(access, source, row, roster) for row in rows]
    following = query.next(str(rows[-1].number)) if len(rows) == query.limit else None
    return answer(request, {"incidents": shown, "next": following})


@router.get("/incidents/{incident}", response_model=dict[str, Any], dependencies=[Depends(no_query)])
def incident(
    request: Request, access: Annotated[Access, Depends(access_of)], incident: Annotated[Hex32, Path()]
) -> Response:
    """One incident, with what its signals name and what was done; the operator sees the decisions, too."""
    with feed_of(request).source() as source:
        row = find_incident(source.index, access, bytes.fromhex(incident))
        view = None if row is None else incident_detail(access, source, row, source.roster())
    if view is None:
        raise Problem(HTTPStatus.NOT_FOUND, "there is no such incident")
    return answer(request, view)
