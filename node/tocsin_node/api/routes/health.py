"""How the node is: in a word for everybody, in numbers for the operator."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from tocsin_node.control_verbs import Verb

from ..access import Access, Scope, access_of, requires
from ..context import feed_of
from ..gauges import render_metrics
from ..paging import no_query
from ..problems import NOT_KEPT

router = APIRouter(tags=["health"], dependencies=[Depends(no_query)])


@router.get("/healthz", response_model=dict[str, Any], responses={503: {"model": dict[str, Any]}})
def healthz(request: Request, access: Annotated[Access, Depends(access_of)]) -> JSONResponse:
    """200 while the node hears, speaks and writes, else 503; the operator is told why."""
    feed = feed_of(request)
    health = feed.health.ask(feed.config.control_path)
    # [API] What is wrong with a node is told to its operator alone.
    shown = health if access.scope is Scope.OPERATOR else {"healthy": health["healthy"]}
    status = HTTPStatus.OK if health["healthy"] else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(shown, status, NOT_KEPT)


@router.get("/metrics", response_class=PlainTextResponse, dependencies=[Depends(requires(Scope.OPERATOR))])
def metrics(request: Request) -> PlainTextResponse:
    """The relay's metrics and the feed's own, in Prometheus' text format."""
    feed = feed_of(request)
    # [API] Where the relay does not answer there are no metrics, so that whoever scrapes them knows of it.
    text = feed.ask_relay(Verb.METRICS)["text"] + render_metrics(feed)
    return PlainTextResponse(text, headers=NOT_KEPT, media_type="text/plain; version=0.0.4")
