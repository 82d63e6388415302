"""Publishers and the roster they stand in."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from tocsin_protocol.encoding import MAX_UINT

from tocsin_node.views import LANE_NAMES, roster_view

from ..access import Access, Scope, access_of, requires
from ..context import Source, feed_of
from ..paging import PublisherId, answer, no_query
from ..problems import Problem

router = APIRouter(tags=["publishers"], dependencies=[Depends(no_query)])
# Who is outside the mesh gets nothing to attack it by.
_OF_MEMBERS = frozenset(("peer_id", "addresses", "rpc_groups", "feeds"))
_INSIDE = frozenset((Scope.MEMBER, Scope.OPERATOR))


@router.get("/publishers", response_model=dict[str, Any])
def publishers(request: Request, access: Annotated[Access, Depends(access_of)]) -> Response:
    """All publishers of the roster in force."""
    with feed_of(request).source() as source:
        return answer(request, {"publishers": _publishers(access, source)})


@router.get("/publishers/{publisher}", response_model=dict[str, Any])
def publisher(
    request: Request, access: Annotated[Access, Depends(access_of)], publisher: Annotated[PublisherId, Path()]
) -> Response:
    """One publisher: his member, his key's validity, and how far we hold his feeds."""
    with feed_of(request).source() as source:
        for view in _publishers(access, source):
            if view["id"] == publisher:
                return answer(request, view)
    raise Problem(HTTPStatus.NOT_FOUND, "the roster has no such publisher")


@router.get("/roster", response_model=dict[str, Any])
def roster(request: Request, access: Annotated[Access, Depends(access_of)]) -> Response:
    """The roster in force."""
    with feed_of(request).source() as source:
        view = roster_view(source.roster().roster)
    members = [m | {"publishers": [_seen(access, p) for p in m["publishers"]]} for m in view["members"]]
    return answer(request, view | {"members": members})


@router.get("/rosters/{epoch}", response_model=dict[str, Any])
def signed_roster(
    request: Request,
    access: Annotated[Access, Depends(requires(Scope.MEMBER))],
    epoch: Annotated[int, Path(ge=0, le=MAX_UINT)],
) -> Response:
    """The roster of an epoch with the signatures that brought it into force: it can be checked from the genesis on."""
    with feed_of(request).source() as source:
        found = source.reader.rosters(epoch, 1) if epoch <= source.reader.epoch() else []
    if not found:
        raise Problem(HTTPStatus.NOT_FOUND, "there is no roster of this epoch")
    return answer(request, {"epoch": epoch, "signed": found[0].hex()})


def _publishers(access: Access, source: Source) -> list[dict[str, Any]]:
    excluded = {"0x" + publisher.hex() for publisher in source.reader.equivocators()}
    feeds: dict[str, list[dict[str, Any]]] = {}
    for feed in source.reader.feeds():
        state = {"lane": LANE_NAMES[feed.lane], "head": feed.head, "contiguous": feed.contiguous}
        feeds.setdefault("0x" + feed.publisher.hex(), []).append(state)
    return [
        _seen(
            access,
            publisher
            | {
                "member": member["name"],
                "organisation": member["organisation"],
                "equivocated": publisher["id"] in excluded,
                "feeds": feeds.get(publisher["id"], []),
            },
        )
        for member in roster_view(source.roster().roster)["members"]
        for publisher in member["publishers"]
    ]


def _seen(access: Access, publisher: dict[str, Any]) -> dict[str, Any]:
    # [API] Addresses, peer ids, RPC groups and how far feeds go are shown to members and the operator.
    if access.scope in _INSIDE:
        return publisher
    return {key: value for key, value in publisher.items() if key not in _OF_MEMBERS}
