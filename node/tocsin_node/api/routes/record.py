"""The record: its signed head and its tree for everybody, its entries for the operator."""

from __future__ import annotations

from contextlib import closing
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.log.checkpoint import read_origin, verify_checkpoint
from tocsin_protocol.log.note import decode_note
from tocsin_protocol.log.tiles import CHECKPOINT_PATH, decode_path, tile_at
from tocsin_protocol.roster import RosterIndex

from tocsin_node.record.files import LogFileError
from tocsin_node.store.database import StoreError
from tocsin_node.store.log_files import StoreLog
from tocsin_node.views import member_name

from ..access import Access, Scope, access_of
from ..context import feed_of
from ..paging import answer, no_query
from ..problems import Problem, Unauthorized

router = APIRouter(tags=["log"], dependencies=[Depends(no_query)])
files = APIRouter(tags=["log"], dependencies=[Depends(no_query)])
MAX_PATH_CHARS = 128
_FOREVER = "max-age=31536000, immutable"


@router.get("/log", response_model=dict[str, Any])
def log(request: Request, access: Annotated[Access, Depends(access_of)]) -> Response:
    """The head of this node's log, the key that signs it, and who has cosigned it."""
    feed = feed_of(request)
    with closing(StoreLog(feed.config.node.data_dir)) as own:
        note = _shown(own)
        head = verify_checkpoint(note, [own.key]).checkpoint
        view = {
            "origin": head.origin,
            "size": head.size,
            "root": head.root.hex(),
            "key": str(own.key),
            "checkpoint": note.decode(),
        }
    with feed.source() as source:
        return answer(request, view | {"cosigned": _cosigned(note, source.roster())})


@files.get(
    "/log/{path:path}",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}, "text/plain": {}}}},
)
def log_file(
    request: Request,
    access: Annotated[Access, Depends(access_of)],
    path: Annotated[str, Path(max_length=MAX_PATH_CHARS)],
) -> Response:
    """C2SP's static files: `checkpoint`, the tiles of `tile/…`, and, for the operator, the bundles of entries."""
    with closing(StoreLog(feed_of(request).config.node.data_dir)) as own:
        if path == CHECKPOINT_PATH:
            headers = {"cache-control": "no-store"}
            return Response(_shown(own), headers=headers, media_type="text/plain; charset=utf-8")
        try:
            tile, is_bundle = decode_path(path)
        except ProtocolError as exc:
            raise Problem(HTTPStatus.NOT_FOUND, str(exc)) from exc
        if tile.width > tile_at(tile.level, tile.number, own.head.size).width:
            raise Problem(HTTPStatus.NOT_FOUND, f"{path} is wider than the log is long")
        if is_bundle:
            _check_entries(access)
        try:
            data = own.bundle(tile) if is_bundle else own.tile(tile)
        except LogFileError as exc:
            raise Problem(HTTPStatus.NOT_FOUND, f"{path} is not kept here any more") from exc
    visibility = "private" if is_bundle else "public"
    headers = {"cache-control": f"{visibility}, {_FOREVER}", "vary": "authorization"}
    return Response(data, headers=headers, media_type="application/octet-stream")


def _cosigned(note: bytes, roster: RosterIndex) -> list[dict[str, Any]]:
    """Whose cosignatures are under a head of ours, and from when (UTC ms): each was verified before it was kept."""
    cosigned = []
    for line in decode_note(note).signatures[1:]:
        if (witness := read_origin(line.name)) is not None:
            who = {"publisher": "0x" + witness.publisher.hex(), "member": member_name(roster, witness.publisher)}
            cosigned.append(who | {"at_ms": line.timestamp_s * 1000})
    return cosigned


def _shown(own: StoreLog) -> bytes:
    """The head that others are shown."""
    try:
        return own.shown_checkpoint()
    except StoreError as exc:
        text = "no head of this log is shown yet, or it was begun anew and is not confirmed"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"retry-after": "15"}) from exc


def _check_entries(access: Access) -> None:
    # [API] The entries of the log are the operator's; its head and its hashes are everybody's.
    if access.scope is Scope.OPERATOR:
        return
    text = "the log's entries tell of our policy and people: a key of scope operator is wanted"
    if access.key_id is None:
        raise Unauthorized(text)
    raise Problem(HTTPStatus.FORBIDDEN, text)
