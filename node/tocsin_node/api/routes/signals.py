"""Signals: what members said."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.taxonomy import Severity, Stage, Tlp

from ..access import Access, access_of
from ..context import feed_of
from ..paging import TWO_NUMBERS, Hex32, Name, PageQuery, PublisherId, Since, Until, answer, no_query
from ..problems import Problem
from ..queries import SignalFilter, categories_of, find_signals
from ..sight import signal_sight

router = APIRouter(tags=["signals"])


class SignalsQuery(PageQuery):
    """What signals are asked by; all of it together."""

    subject: Name | None = Field(None, description="A subject as signals name it, such as a CAIP-10 account.")
    chain: Name | None = Field(None, description="A CAIP-2 chain of a subject or of evidence.")
    category: Name | None = Field(None, description="A category such as `asset.drain`, or a family such as `asset`.")
    severity: Severity | None = Field(None, description="This one or worse.")
    stage: Stage | None = None
    tlp: Tlp | None = None
    since_ms: Since = 0
    until_ms: Until = MAX_UINT
    publisher: PublisherId | None = None
    incident: Hex32 | None = None

    def filter(self) -> SignalFilter:
        """The same as the index is asked; raises Problem 400."""
        return SignalFilter(
            subject=self.subject,
            chain=self.chain,
            categories=categories_of(self.category),
            severity=self.severity,
            stage=self.stage,
            tlp=self.tlp,
            since_ms=self.since_ms,
            until_ms=self.until_ms,
            publisher=None if self.publisher is None else bytes.fromhex(self.publisher[2:]),
            incident=None if self.incident is None else bytes.fromhex(self.incident),
        )


@router.get("/signals", response_model=dict[str, Any])
def signals(
    request: Request, access: Annotated[Access, Depends(access_of)], query: Annotated[SignalsQuery, Query()]
) -> Response:
    """Signals by when they came here, newest first."""
    cursor = query.cursor(TWO_NUMBERS)
    with feed_of(request).source() as source:
        before = None if cursor is None else (int(cursor[1]), int(cursor[2]))
        source.check_indexed()
        places = find_signals(source.index, access, query.filter(), before, query.limit)
        roster = source.roster()
        rows = source.reader.signals_of([number for _, number in places])
        shown = [view for row in rows if (view := signal_sight(access, row, roster)) is not None]
    following = query.next("{}.{}".format(*places[-1])) if len(places) == query.limit else None
    return answer(request, {"signals": shown, "next": following})


@router.get("/signals/{digest}", response_model=dict[str, Any], dependencies=[Depends(no_query)])
def signal(
    request: Request, access: Annotated[Access, Depends(access_of)], digest: Annotated[Hex32, Path()]
) -> Response:
    """One signal."""
    with feed_of(request).source() as source:
        view = signal_sight(access, source.reader.signal(bytes.fromhex(digest)), source.roster())
    if view is None:
        # [API] What may not be seen is not there: the answer is that to an unknown name.
        raise Problem(HTTPStatus.NOT_FOUND, "there is no such signal")
    return answer(request, view)
