"""A signal saved as STIX from the dashboard: what its collection tells of it, and to nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stix2validator import validate_instance
from taxii_kit import MEDIA, ROOT, TaxiiDesk, about
from tocsin_node.api.access import Scope
from tocsin_protocol.taxonomy import Tlp


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[TaxiiDesk]:
    opened = TaxiiDesk(tmp_path / "data")
    yield opened
    opened.close()


def saved(desk: TaxiiDesk, digest: str, scope: Scope) -> Any:
    return desk.get(f"/dashboard/stix/{digest}", scope)


@pytest.mark.parametrize(
    ("scope", "circle"), [(Scope.OPERATOR, "red"), (Scope.MEMBER, "amber"), (Scope.PUBLIC, "clear")]
)
def test_a_bundle_holds_what_the_collection_tells(desk: TaxiiDesk, scope: Scope, circle: str) -> None:
    (envelope,) = desk.tell(about(1, text="drained"))
    found = saved(desk, envelope.digest.hex(), scope)
    assert (found.status_code, found.headers["content-type"]) == (200, "application/stix+json;version=2.1")
    bundle = found.json()
    assert validate_instance(bundle).is_valid
    listed = desk.get(f"{ROOT}/collections/{circle}/objects/", scope, headers={"accept": MEDIA}).json()["objects"]
    by_id = {told["id"]: told for told in listed}
    assert {told["type"] for told in bundle["objects"]} >= {"indicator", "note", "identity", "cryptocurrency-wallet"}
    assert [told for told in bundle["objects"] if by_id.get(told["id"]) != told] == []


def test_what_may_not_be_seen_is_not_told_as_stix(desk: TaxiiDesk) -> None:
    amber, drill = desk.tell(about(1, tlp=Tlp.AMBER), about(2, drill=True))
    for digest, scope in (
        (amber.digest.hex(), Scope.PUBLIC),
        (drill.digest.hex(), Scope.OPERATOR),
        ("0" * 64, Scope.OPERATOR),
    ):
        assert saved(desk, digest, scope).status_code == 404
    (late,) = desk.tell(about(3), export=False)
    assert saved(desk, late.digest.hex(), Scope.OPERATOR).status_code == 503
