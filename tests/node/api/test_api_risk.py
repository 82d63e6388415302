"""Risk reports over the feed: to whom, which, and gathered from there by whoever carries them to a chain."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from api_kit import READERS, SECONDS, Desk
from protocol_kit import NOW_MS, VAULT, Feed
from store_kit import OWN, make_rules
from tocsin_node import risk_gather
from tocsin_node.api.access import Scope
from tocsin_node.risk_config import RiskFeed
from tocsin_node.risk_gather import gather
from tocsin_node.store.risk import report_subject
from tocsin_node.store.risk_sight import Reporting
from tocsin_protocol.risk.model import DEFAULT_MODEL
from tocsin_protocol.risk.report import OracleDomain, SignedReport

ORACLE = "eip155:31337:0x" + "0a" * 20
ELSEWHERE = "eip155:1:0x" + "e1" * 20
DOMAIN = OracleDomain(ORACLE)


@pytest.fixture
def made(desk: Desk) -> list[SignedReport]:
    own = Feed(OWN)
    reporting = Reporting(DOMAIN, own.secret, own.publisher, DEFAULT_MODEL, lambda tlp: True)
    found = [
        desk.write(lambda c, subject=subject: report_subject(c, make_rules(), reporting, subject, 1_000_000, NOW_MS))
        for subject in (ELSEWHERE, VAULT)
    ]
    return [one.signed for one in found if one is not None]


def test_reports_are_for_insurers_and_members(desk: Desk, made: list[SignedReport]) -> None:
    statuses = {scope: desk.get("/v1/risk", scope).status_code for scope in READERS}
    assert statuses == {Scope.PUBLIC: 401, Scope.MEMBER: 200, Scope.INSURER: 200, Scope.OPERATOR: 200}
    shown = desk.get("/v1/risk", Scope.INSURER).json()["reports"]
    assert {one["signed"] for one in shown} == {"0x" + one.encoded.hex() for one in made}
    assert {one["subject_id"] for one in shown} == {ELSEWHERE, VAULT}


def test_reports_are_chosen_by_subject_and_oracle(desk: Desk, made: list[SignedReport]) -> None:
    (one,) = desk.get("/v1/risk", subject=VAULT).json()["reports"]
    assert (one["state"], one["oracle"]) == ("none", ORACLE)
    assert desk.get("/v1/risk", oracle="eip155:1:0x" + "0b" * 20).json()["reports"] == []
    assert len(desk.get("/v1/risk", oracle=ORACLE, limit=1).json()["reports"]) == 1
    for query in ({"subject": "vault"}, {"oracle": "eip155:1"}, {"limit": 0}, {"colour": "red"}):
        refused = desk.get("/v1/risk", **query)
        assert refused.status_code == 422, query
        assert refused.headers["content-type"].startswith("application/problem+json")


def test_no_reports_is_an_empty_list(desk: Desk) -> None:
    assert desk.get("/v1/risk").json() == {"reports": []}


def test_a_feed_is_gathered_from_with_its_key(
    desk: Desk, made: list[SignedReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(risk_gather, "FEED_SECONDS", SECONDS)
    key_file = tmp_path / "key"
    key_file.write_text(desk.key(Scope.INSURER)["authorization"].removeprefix("Bearer ") + "\n")
    key_file.chmod(0o600)
    with desk.served() as url:
        found = trio.run(gather, DOMAIN, (), [RiskFeed(url=url, key_file=key_file)], ())
        assert (set(found.reports), found.faults) == (set(made), ())
        without = trio.run(gather, DOMAIN, (), [RiskFeed(url=url)], ())
    assert without.reports == ()
    assert "401" in without.faults[0]
