"""Webhooks of monitors: what they found waits for the operator, as what is sent over TAXII does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.stix.alerts import forta_drafts, monitor_draft
from tocsin_protocol.stix.drafting import Draft

from tocsin_node.clock import now_ms

from .access import Access, Scope, requires
from .context import Feed, feed_of
from .feed_db import transaction
from .problems import Problem
from .suggestions import suggest
from .taxii.wire import read_json

MAX_ALERT_BYTES = 256 * 1024


class Monitor(StrEnum):
    """Whose webhooks are understood."""

    FORTA = "forta"
    OPENZEPPELIN = "openzeppelin-monitor"


_DRAFTS: dict[Monitor, Callable[[Any], list[Draft]]] = {
    Monitor.FORTA: forta_drafts,
    Monitor.OPENZEPPELIN: lambda document: [monitor_draft(document)],
}

# It is read by hand: bounded, and without the depth that a parser would follow.
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}

router = APIRouter()


@router.post("/ingest/{monitor}", status_code=HTTPStatus.ACCEPTED, openapi_extra=_BODY)
async def ingest(
    request: Request, monitor: Monitor, access: Annotated[Access, Depends(requires(Scope.SENDER))]
) -> dict[str, int]:
    """A monitor's webhook: how many drafts it led to, and how many of them are new."""
    feed = feed_of(request)
    try:
        drafts = _DRAFTS[monitor](await read_json(request, MAX_ALERT_BYTES))
        return await run_in_threadpool(_keep, feed, monitor, drafts)
    except DecodeError as exc:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc


def _keep(feed: Feed, monitor: Monitor, drafts: list[Draft]) -> dict[str, int]:
    """All of them, or none where one cannot be a signal."""
    with closing(feed.open_db()) as connection, transaction(connection):
        new = sum(suggest(connection, monitor.value, draft, now_ms()) for draft in drafts)
    return {"drafts": len(drafts), "new": new}
