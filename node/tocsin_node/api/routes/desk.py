"""What the operator asks and tells the relay through the feed."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from tocsin_node.control_verbs import Verb

from ..access import Scope, requires
from ..context import feed_of
from ..paging import Hex32, Name, answer, no_query

# [API] The relay is asked for the operator alone; nothing that arms, declines, settles or confirms goes over HTTP.
router = APIRouter(tags=["operator"], dependencies=[Depends(requires(Scope.OPERATOR)), Depends(no_query)])
MAX_SIGNALS = 100
MAX_TEXT_CHARS = 64 * 1024


class SignalsIn(BaseModel):
    """Signals to sign and publish, as `tocsin publish` reads them."""

    model_config = ConfigDict(extra="forbid")
    signals: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_SIGNALS)


class ApprovalIn(BaseModel):
    """The text of an approval's file, as `tocsin approve` signs it."""

    model_config = ConfigDict(extra="forbid")
    approval: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)


class StatementIn(BaseModel):
    """A statement by an offline key, as `tocsin sign-disarm` makes it."""

    model_config = ConfigDict(extra="forbid")
    statement: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)


class StepIn(BaseModel):
    """The scope whose next step of reopening the operators are to be asked for."""

    model_config = ConfigDict(extra="forbid")
    scope: Name


@router.get("/status", response_model=dict[str, Any])
def status(request: Request) -> Response:
    """How the running node is."""
    return answer(request, _ask(request, Verb.STATUS))


@router.get("/requests", response_model=dict[str, Any])
def requests(request: Request) -> Response:
    """What the operators were asked, with the typed data that they sign."""
    return answer(request, _ask(request, Verb.REQUESTS))


@router.get("/incidents/{incident}/recovery", response_model=dict[str, Any])
def recovery(request: Request, incident: Annotated[Hex32, Path()]) -> Response:
    """The plan of the way back."""
    return answer(request, _ask(request, Verb.RECOVERY, incident=incident))


@router.post("/signals", response_model=dict[str, Any], status_code=HTTPStatus.ACCEPTED)
def publish(request: Request, body: SignalsIn) -> dict[str, Any]:
    """Have the node sign and publish signals."""
    return _ask(request, Verb.PUBLISH, signals=body.signals)


@router.post("/approvals", response_model=dict[str, Any], status_code=HTTPStatus.ACCEPTED)
def approve(request: Request, body: ApprovalIn) -> dict[str, Any]:
    """Hand in an approval."""
    return _ask(request, Verb.APPROVE, approval=body.approval)


@router.post("/disarm-statements", response_model=dict[str, Any], status_code=HTTPStatus.ACCEPTED)
def disarm(request: Request, body: StatementIn) -> dict[str, Any]:
    """Hand in a statement that this node is to act no more."""
    return _ask(request, Verb.DISARM_STATEMENT, statement=body.statement)


@router.post("/steps", response_model=dict[str, Any], status_code=HTTPStatus.ACCEPTED)
def ask_step(request: Request, body: StepIn) -> dict[str, Any]:
    """Ask the operators for the next step of a reopening."""
    return _ask(request, Verb.ASK_STEP, scope=body.scope)


def _ask(request: Request, verb: Verb, **arguments: Any) -> dict[str, Any]:
    return feed_of(request).ask_relay(verb, **arguments)
