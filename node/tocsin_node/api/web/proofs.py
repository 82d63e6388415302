"""Proofs out of the record, to be saved from the dashboard and checked by whoever they are given to."""

from __future__ import annotations

from contextlib import closing
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from tocsin_protocol.log.bundle import encode_proof_bundle
from tocsin_protocol.log.case import MAX_CASE_ENTRIES, encode_case

from tocsin_node.record.cases import find_case, make_case, prover_up_to
from tocsin_node.record.files import LogFileError
from tocsin_node.store.log_files import StoreLog
from tocsin_node.store.replay_source import ReplaySource

from ..access import Scope, requires
from ..context import feed_of
from ..paging import Hex32, no_query
from ..problems import Problem

# entries of the log: the operator's (specs/api.md)
router = APIRouter(include_in_schema=False, dependencies=[Depends(requires(Scope.OPERATOR)), Depends(no_query)])
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


@router.get("/dashboard/case/{about}")
def case(request: Request, about: Annotated[Hex32, Path()]) -> Response:
    """A case file, as `tocsin log prove` writes it: all that is in the record about an incident, action or signal."""
    with closing(ReplaySource(feed_of(request).config.node.data_dir)) as own:
        indexes = find_case(own, bytes.fromhex(about))
        if not indexes:
            raise _nothing()
        if len(indexes) > MAX_CASE_ENTRIES:
            text = f"more than {MAX_CASE_ENTRIES} entries are about it: a case file holds no more"
            raise Problem(HTTPStatus.CONFLICT, text)
        data = encode_case(make_case(own, indexes))
    return Response(data, headers=_HEADERS, media_type="application/octet-stream")


@router.get("/dashboard/proof/{digest}")
def proof(request: Request, digest: Annotated[Hex32, Path()]) -> Response:
    """A proof file (C2SP tlog-proof) of the entry that says when a signal was admitted."""
    with closing(StoreLog(feed_of(request).config.node.data_dir)) as own:
        index = own.find_signal(bytes.fromhex(digest))
        if index is None:
            raise _nothing()
        try:
            data = encode_proof_bundle(prover_up_to(own, index).prove_entry(index))
        except LogFileError as exc:
            raise Problem(HTTPStatus.NOT_FOUND, str(exc)) from exc
    return Response(data, headers=_HEADERS, media_type="text/plain; charset=utf-8")


def _nothing() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "no entry that is kept here is about it")
