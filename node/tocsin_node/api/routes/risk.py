"""Risk reports: what this node signs of the subjects that its operator named, for whoever insures or lends."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from tocsin_protocol.risk.report import OracleDomain, open_report

from tocsin_node.risk_config import AccountId, OracleId
from tocsin_node.risk_view import risk_report_view

from ..access import Scope, requires
from ..context import feed_of
from ..paging import DEFAULT_LIMIT, MAX_LIMIT, answer

# [API] Risk reports are for insurers, members and the operator; who carries them to a chain makes them public.
router = APIRouter(tags=["risk"], dependencies=[Depends(requires(Scope.INSURER, Scope.MEMBER))])


class RiskQuery(BaseModel):
    """Which reports."""

    model_config = ConfigDict(extra="forbid")

    oracle: OracleId | None = Field(None, description="For this contract only, such as eip155:1:0x….")
    subject: AccountId | None = Field(None, description="About this subject only, such as eip155:1:0x….")
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="At most so many.")


@router.get("/risk", response_model=dict[str, Any])
def risk(request: Request, query: Annotated[RiskQuery, Query()]) -> Response:
    """The latest report about each subject for each oracle; `signed` is what counts, and can be checked by itself."""
    with feed_of(request).source() as source:
        rows = source.reader.risk_reports(MAX_LIMIT)
    reports = [
        risk_report_view(open_report(OracleDomain(oracle), encoded), oracle, subject)
        for oracle, subject, encoded in rows
        if query.oracle in (None, oracle) and query.subject in (None, subject)
    ]
    return answer(request, {"reports": reports[: query.limit]})
