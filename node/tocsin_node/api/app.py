"""The feed as an ASGI app: version 1 of the read API, the log's files, health."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from . import ingest
from .bounds import BoundedBody
from .context import Feed
from .live.following import run_following
from .live.listeners import Listeners
from .metrics import CountedRequests
from .problems import MEDIA_TYPE, install_problems
from .routes import actions, desk, exposure, health, incidents, live, publishers, record, risk, signals
from .taxii.running import exporting, mount_taxii
from .web.pages import install_dashboard

VERSION_PREFIX = "/v1"
_TOPICS = (desk, signals, incidents, publishers, actions, exposure, risk, live, record)
_REFUSALS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)

# RFC 9457; `type` is left out, as it would be about:blank.
_PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "The relay's word for why it refused."},
    },
}


def create_app(feed: Feed) -> FastAPI:
    """The feed of one node; whoever made `feed` closes it."""

    @asynccontextmanager
    async def follow(app: FastAPI) -> AsyncIterator[None]:
        app.state.listeners = Listeners(feed)
        async with run_following(feed, app.state.listeners), exporting(feed):
            yield

    app = _App(title="Tocsin feed", version="1", docs_url=None, redoc_url=None, lifespan=follow)
    app.state.feed = feed
    install_problems(app)
    app.add_middleware(BoundedBody)
    if origins := feed.config.feed.cors_origins:
        # [API] No page of another origin may ask, but those that are configured.
        headers = ["authorization", "last-event-id", "if-none-match", "content-type"]
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=headers)
    # outside of whatever refuses, inside of what gives paths their one form
    app.add_middleware(CountedRequests, metrics=feed.metrics)
    refusals: dict[int | str, dict[str, Any]] = {int(status): _described(status) for status in _REFUSALS}
    for topic in _TOPICS:
        app.include_router(topic.router, prefix=VERSION_PREFIX, responses=refusals)
    app.include_router(ingest.router, prefix=VERSION_PREFIX, responses=refusals)
    app.include_router(record.files, responses=refusals)
    app.include_router(health.router, responses=refusals)
    mount_taxii(app, feed)
    install_dashboard(app)
    return app


class _App(FastAPI):
    """With what FastAPI cannot know by itself: problems, and keys that nobody has to show."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once."""
        if self.openapi_schema is None:
            schema = super().openapi()
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = _PROBLEM
            components["securitySchemes"] = {name: {"type": "http", "scheme": name} for name in ("bearer", "basic")}
            schema["security"] = [{}, {"bearer": []}, {"basic": []}]
        assert self.openapi_schema is not None  # noqa: S101 - just made
        return self.openapi_schema


def _described(status: HTTPStatus) -> dict[str, Any]:
    return {"description": status.phrase, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
