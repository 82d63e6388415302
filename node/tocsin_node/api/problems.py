"""What the feed refuses with: `application/problem+json` (RFC 9457), made here and nowhere else."""

from __future__ import annotations

import sqlite3
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tocsin_node.errors import ControlError, NodeError, NodeUnreachable

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 8
# How a key may be shown; both, as clients differ.
CHALLENGE = 'Bearer realm="tocsin", Basic realm="tocsin", charset="UTF-8"'

# Of answers that hang on the key and on the moment: no cache may show them to another, nor again.
NOT_KEPT = {"cache-control": "no-store"}

_log = structlog.get_logger("tocsin.feed")


class Problem(Exception):
    """A request that is refused; `detail` is a sentence for who made it."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.members = members


class Unauthorized(Problem):
    """No key that opens this; the answer says how one is shown."""

    def __init__(self, detail: str) -> None:
        super().__init__(HTTPStatus.UNAUTHORIZED, detail, headers={"www-authenticate": CHALLENGE})


def install_problems(app: FastAPI) -> None:
    """Answer everything that is raised with a problem."""
    app.add_exception_handler(Problem, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_input)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(NodeError, _refuse_for_node)
    app.add_exception_handler(sqlite3.Error, _refuse_for_node)
    app.add_exception_handler(Exception, _fail)


def problem_body(status: int, detail: str, **members: Any) -> dict[str, Any]:
    """The members of a problem; `type` is left out, as it would be about:blank."""
    return {"title": HTTPStatus(status).phrase, "status": int(status), "detail": detail} | members


def problem_of(error: Exception) -> Problem:
    """The problem that an error is to its client; what we did not foresee tells nothing of our inside."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            faults = [_fault(fault) for fault in error.errors()[:MAX_FAULTS]]
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(faults) or "the request is not valid")
        case HTTPException():
            return Problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))
        case NodeUnreachable():
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the relay does not answer")
        case ControlError():
            return Problem(HTTPStatus.CONFLICT, str(error), code=error.code)
        # a database that is full, locked or damaged
        case NodeError() | sqlite3.Error():
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the record cannot be read now")
        case _:
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the feed failed; its log says why")


def _response(error: Exception) -> JSONResponse:
    problem = problem_of(error)
    body = problem_body(problem.status, problem.detail, **problem.members)
    return JSONResponse(body, problem.status, NOT_KEPT | problem.headers, MEDIA_TYPE)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    return _response(error)


_refuse_input = _refuse_http = _refuse


async def _refuse_for_node(request: Request, error: Exception) -> JSONResponse:
    _log.warning("a request met an error of the node", path=request.url.path, error=str(error))
    return _response(error)


async def _fail(request: Request, error: Exception) -> JSONResponse:
    _log.error("a request failed", path=request.url.path, exc_info=error)
    return _response(error)


def _fault(fault: dict[str, Any]) -> str:
    """One fault of the input: where, and what was wanted. What was found is not told back: it may be a secret."""
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {fault['msg']}"
