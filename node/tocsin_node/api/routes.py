"""The read API, version 1. Pages go by key: `next` of one answer is the cursor of the next, null at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.log.tiles import CHECKPOINT_PATH, decode_path, tile_at

from tocsin_node.config import NodeConfig
from tocsin_node.control import request_control
from tocsin_node.control_verbs import Verb
from tocsin_node.errors import NodeError
from tocsin_node.store.log_files import StoreLog
from tocsin_node.store.reader import Reader
from tocsin_node.views import action_view, decision_view, incident_view, roster_view, signal_view

from .live import MAX_STREAMS, stream_events

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
_FOREVER = "public, max-age=31536000, immutable"

Cursor = Annotated[int | None, Query(ge=0, le=MAX_UINT, description="`next` of the page before.")]
After = Annotated[int | None, Query(ge=0, le=MAX_UINT, description="Audit sequence; from now on without one.")]
KeyCursor = Annotated[str | None, Query(pattern=r"^\d{1,15}\.[0-9a-f]{64}$", description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows of one page.")]


def create_app(config: NodeConfig) -> FastAPI:
    """The feed of one node."""
    app = FastAPI(title="Tocsin feed", version="1", docs_url="/docs", redoc_url=None)
    _add_reads(app, config)
    _add_live(app, config)
    _add_log(app, config)
    _add_health(app, config)

    @app.exception_handler(NodeError)
    def show_error(request: Request, error: NodeError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=503)

    return app


def _add_reads(app: FastAPI, config: NodeConfig) -> None:
    def open_reader() -> Reader:
        return Reader(config.node.data_dir)

    @app.get("/v1/signals")
    def signals(limit: Limit = DEFAULT_LIMIT, before: Cursor = None, incident: str | None = None) -> dict[str, Any]:
        """Stored signals, newest first."""
        with open_reader() as reader:
            only = reader.incident(incident).id if incident else None
            rows = reader.signals(before=before, incident=only, limit=limit)
            roster = reader.roster()
            following = rows[-1].id if len(rows) == limit else None
            return {"signals": [signal_view(row, roster) for row in rows], "next": following}

    @app.get("/v1/incidents")
    def incidents(limit: Limit = DEFAULT_LIMIT, before: KeyCursor = None) -> dict[str, Any]:
        """Incidents, latest begun first."""
        with open_reader() as reader:
            rows = reader.incidents(before=_key(before), limit=limit)
            roster = reader.roster()
            following = f"{rows[-1].first_ms}.{rows[-1].id.hex()}" if len(rows) == limit else None
            return {"incidents": [incident_view(row, roster) for row in rows], "next": following}

    @app.get("/v1/incidents/{prefix}")
    def incident(prefix: str) -> dict[str, Any]:
        """One incident with its decisions and actions."""
        with open_reader() as reader:
            try:
                row = reader.incident(prefix)
            except NodeError as exc:
                raise HTTPException(404, str(exc)) from exc
            return incident_view(row, reader.roster()) | {
                "subjects": reader.incident_subjects(row.id),
                "decisions": [decision_view(decision) for decision in reader.decisions(row.id)],
                "actions": [action_view(action) for action in reader.actions(incident=row.id)],
            }

    @app.get("/v1/actions")
    def actions(limit: Limit = DEFAULT_LIMIT, before: KeyCursor = None) -> dict[str, Any]:
        """Actions, latest first."""
        with open_reader() as reader:
            rows = reader.actions(before=_key(before), limit=limit)
            last = rows[-1].action if len(rows) == limit else None
            following = f"{last.created_ms}.{last.action_id.hex()}" if last else None
            return {"actions": [action_view(row) for row in rows], "next": following}

    @app.get("/v1/roster")
    def roster() -> dict[str, Any]:
        """The roster in force."""
        with open_reader() as reader:
            return roster_view(reader.roster().roster)


def _key(cursor: str | None) -> tuple[int, bytes] | None:
    """A time and an id, as they stand in `next`."""
    if cursor is None:
        return None
    at_ms, _, digits = cursor.partition(".")
    return int(at_ms), bytes.fromhex(digits)


def _add_live(app: FastAPI, config: NodeConfig) -> None:
    streams = 0

    @app.get("/v1/live")
    async def live(
        after: After = None,
        last_event_id: Annotated[int | None, Header(ge=0, le=MAX_UINT)] = None,
    ) -> Response:
        """Everything as it happens: signals, incidents, decisions, actions and outcomes (server-sent events)."""
        nonlocal streams
        if streams >= MAX_STREAMS:
            raise HTTPException(503, f"{MAX_STREAMS} live streams are open already")

        async def counted() -> AsyncIterator[str]:
            nonlocal streams
            # Counted where it is sure to end: a generator that never starts has no end either.
            streams += 1
            try:
                position = last_event_id if last_event_id is not None else after
                async for event in stream_events(lambda: Reader(config.node.data_dir), position):
                    yield event
            finally:
                streams -= 1

        return StreamingResponse(
            counted(), media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"}
        )


def _add_log(app: FastAPI, config: NodeConfig) -> None:
    """The log as C2SP's static files; a copy on any file server does as well."""

    @app.get("/log/{path:path}")
    def log(path: str) -> Response:
        """`checkpoint`, and the tiles and bundles of `tile/…` that it promises."""
        own = StoreLog(config.node.data_dir)
        try:
            if path == CHECKPOINT_PATH:
                return Response(
                    own.checkpoint(), media_type="text/plain; charset=utf-8", headers={"cache-control": "no-store"}
                )
            tile, is_bundle = decode_path(path)
            if tile.width > tile_at(tile.level, tile.number, own.head.size).width:
                raise HTTPException(404, f"{path} is wider than the log is long")
            data = own.bundle(tile) if is_bundle else own.tile(tile)
        except ProtocolError as exc:
            raise HTTPException(404, str(exc)) from exc
        finally:
            own.close()
        return Response(data, media_type="application/octet-stream", headers={"cache-control": _FOREVER})


def _add_health(app: FastAPI, config: NodeConfig) -> None:
    @app.get("/healthz")
    def healthz() -> JSONResponse:
        """200 while the node hears, speaks and writes; else 503 and why."""
        try:
            health = request_control(config.control_path, Verb.HEALTH)
        except NodeError as exc:
            health = {"healthy": False, "reasons": [str(exc)]}
        return JSONResponse(health, status_code=200 if health["healthy"] else 503)

    @app.get("/metrics")
    def metrics() -> PlainTextResponse:
        """The relay's metrics in Prometheus' text format."""
        answer = request_control(config.control_path, Verb.METRICS)
        return PlainTextResponse(answer["text"], media_type="text/plain; version=0.0.4")
