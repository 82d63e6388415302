"""What is at stake here, and how fast this node is: for those who insure it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from tocsin_protocol.drill import decode_record

from tocsin_node.manifest_file import load_manifest
from tocsin_node.manifest_json import manifest_view

from ..access import Scope, requires
from ..context import feed_of
from ..paging import DEFAULT_LIMIT, MAX_LIMIT, answer, no_query

# [API] Exposure and drills are for insurers and the operator.
router = APIRouter(tags=["exposure and drills"], dependencies=[Depends(requires(Scope.INSURER))])


class DrillsQuery(BaseModel):
    """How many records."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="The newest so many.")


@router.get("/exposure", response_model=dict[str, Any], dependencies=[Depends(no_query)])
def exposure(request: Request) -> Response:
    """Our own manifest: what we hold, and what it hangs on."""
    config = feed_of(request).config
    return answer(request, manifest_view(load_manifest(config.exposure.manifest, config.node.member)))


@router.get("/drills", response_model=dict[str, Any])
def drills(request: Request, query: Annotated[DrillsQuery, Query()]) -> Response:
    """Signed records of drills, newest first; times in UTC ms, the time to containment in ms."""
    with feed_of(request).source() as source:
        records = source.reader.drill_records(query.limit)
    return answer(request, {"drills": [_view(body, signature) for body, signature in records]})


def _view(body: bytes, signature: bytes) -> dict[str, Any]:
    record = decode_record(body)
    return {
        "drill": record.drill.hex(),
        "publisher": "0x" + record.publisher.hex(),
        "node": "0x" + record.node.hex(),
        "hook": record.hook,
        "outcome": record.outcome,
        "stages": {stage.value: at_ms for stage, at_ms in record.stages},
        "ttc_ms": record.ttc_ms,
        "body": body.hex(),
        "signature": signature.hex(),
    }
