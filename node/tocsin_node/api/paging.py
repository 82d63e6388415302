"""Pages and their cursors, and answers that know whether the asker has them already."""

from __future__ import annotations

import re
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from tocsin_protocol.encoding import MAX_UINT

from .problems import Problem

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
MAX_CURSOR_CHARS = 128
_FILTER_DIGITS = 16
# Every number here is below 2^53.
ONE_NUMBER = re.compile(r"([0-9]{1,16})")
TWO_NUMBERS = re.compile(r"([0-9]{1,16})\.([0-9]{1,16})")
NUMBER_AND_ID = re.compile(r"([0-9]{1,16})\.([0-9a-f]{64})")

Since = Annotated[int, Field(ge=0, le=MAX_UINT, description="UTC ms, included.")]
Until = Annotated[int, Field(ge=0, le=MAX_UINT, description="UTC ms, included.")]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="32 bytes in hex.")]
PublisherId = Annotated[str, Field(pattern=r"^0x[0-9a-f]{40}$", description="A publisher's address.")]
Name = Annotated[str, Field(min_length=1, max_length=256)]


class PageQuery(BaseModel):
    """What every page is asked by. A name that is not known is refused: a filter that is not applied shows too much."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Rows of one page.")
    before: str | None = Field(
        None, min_length=1, max_length=MAX_CURSOR_CHARS, description="`next` of the page before, with the same filters."
    )

    def cursor(self, form: re.Pattern[str]) -> re.Match[str] | None:
        """What `before` says in the form of these pages; raises Problem 400 where it is no cursor, or one of others."""
        if self.before is None:
            return None
        place, _, digits = self.before.rpartition(".")
        found = form.fullmatch(place)
        # [API] A cursor belongs to its filters, whatever the limit: with others it is a 400.
        if found is None or digits != self._filters():
            raise Problem(HTTPStatus.BAD_REQUEST, "before: is not `next` of a page with these filters")
        return found

    def next(self, place: str) -> str:
        """The cursor of the page after a place."""
        return f"{place}.{self._filters()}"

    def _filters(self) -> str:
        asked = self.model_dump(mode="json", exclude={"limit", "before"})
        text = msgspec.json.encode([type(self).__name__, asked], order="deterministic")
        return sha256(text).hexdigest()[:_FILTER_DIGITS]


def no_query(request: Request) -> None:
    """A dependency of routes that take no query."""
    if request.query_params:
        name = next(iter(request.query_params))[:80]
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"query.{name}: nothing is asked by that name here")


def answer(request: Request, payload: Any) -> Response:
    """A JSON answer with its ETag; 304 where the asker has it."""
    body = msgspec.json.encode(payload)
    etag = f'"{sha256(body).hexdigest()[:32]}"'
    # [API] What an answer shows hangs on the key: no cache may show it to another.
    headers = {"etag": etag, "cache-control": "private, no-cache", "vary": "authorization"}
    if _has(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def _has(header: str, etag: str) -> bool:
    held = {part.strip().removeprefix("W/") for part in header.split(",")}
    return etag in held or "*" in held
