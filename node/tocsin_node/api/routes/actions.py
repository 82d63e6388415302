"""Decisions, which tell of our policy, and actions, which anybody may see once they take effect."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from tocsin_node.views import decision_view

from ..access import Access, Scope, access_of, requires
from ..context import feed_of
from ..paging import NUMBER_AND_ID, ONE_NUMBER, Hex32, PageQuery, answer, no_query
from ..problems import Problem
from ..sight import SEEN_EVENTS, action_sight

router = APIRouter(tags=["decisions and actions"])


class OfIncidentQuery(PageQuery):
    """All, or those of one incident."""

    incident: Hex32 | None = None

    @property
    def incident_id(self) -> bytes | None:
        """The incident's id."""
        return None if self.incident is None else bytes.fromhex(self.incident)


class ActionsQuery(OfIncidentQuery):
    """What actions are asked by."""


class DecisionsQuery(OfIncidentQuery):
    """What decisions are asked by."""


@router.get("/decisions", response_model=dict[str, Any])
def decisions(
    request: Request, access: Annotated[Access, Depends(requires(Scope.OPERATOR))],
    query: Annotated[DecisionsQuery, Query()],
) -> Response:  # fmt: skip
    """Decisions with the arithmetic behind them, newest first."""
    # [API] Decisions tell of our policy and of what is armed: only the operator sees them.
    cursor = query.cursor(ONE_NUMBER)
    with feed_of(request).source() as source:
        before = None if cursor is None else int(cursor[1])
        rows = source.reader.decisions(query.incident_id, before=before, limit=query.limit)
    following = query.next(str(rows[-1].id)) if len(rows) == query.limit else None
    return answer(request, {"decisions": [decision_view(row) for row in rows], "next": following})


@router.get("/actions", response_model=dict[str, Any])
def actions(
    request: Request, access: Annotated[Access, Depends(access_of)], query: Annotated[ActionsQuery, Query()]
) -> Response:
    """Uses of levers, the latest first; before they are in a block or in effect the operator alone sees them."""
    cursor = query.cursor(NUMBER_AND_ID)
    before = None if cursor is None else (int(cursor[1]), bytes.fromhex(cursor[2]))
    with feed_of(request).source() as source:
        # not left out afterwards: a cursor would tell of what is not shown
        having = () if access.scope is Scope.OPERATOR else SEEN_EVENTS
        rows = source.reader.actions(incident=query.incident_id, having=having, before=before, limit=query.limit)
    last = rows[-1].action if len(rows) == query.limit else None
    following = None if last is None else query.next(f"{last.created_ms}.{last.action_id.hex()}")
    return answer(request, {"actions": [action_sight(access, row) for row in rows], "next": following})


@router.get("/actions/{action}", response_model=dict[str, Any], dependencies=[Depends(no_query)])
def action(
    request: Request, access: Annotated[Access, Depends(access_of)], action: Annotated[Hex32, Path()]
) -> Response:
    """One use of a lever."""
    with feed_of(request).source() as source:
        view = action_sight(access, source.reader.action(bytes.fromhex(action)))
    if view is None:
        raise Problem(HTTPStatus.NOT_FOUND, "there is no such action")
    return answer(request, view)
