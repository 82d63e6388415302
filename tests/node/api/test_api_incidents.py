"""Incidents as each scope sees them: made of the signals that may be seen, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from api_kit import READERS, Desk, about, account
from protocol_kit import NOW_MS, Feed
from tocsin_node.api.access import Scope
from tocsin_node.store.reader import Reader
from tocsin_protocol.model import Evidence, Signal, Subject
from tocsin_protocol.taxonomy import Category, EvidenceKind, Role, Severity, SubjectKind, Tlp


def with_subjects(signal_number: int, *extra: str, **changes: Any) -> Signal:
    """About account 1, and others beside it."""
    values = (account(1), *extra)
    subjects = tuple(sorted(Subject(Role.VICTIM, SubjectKind.ACCOUNT, value) for value in values))
    return about(signal_number, subjects=subjects, **changes)


def incident_of(desk: Desk, digest: bytes) -> str:
    with Reader(desk.config.node.data_dir) as reader:
        row = reader.signal(digest)
    assert row is not None
    assert row.incident is not None
    return row.incident.hex()


def test_an_incident_is_shown_as_if_unseen_signals_had_never_come(desk: Desk) -> None:
    red = with_subjects(1, account(66), tlp=Tlp.RED, severity=Severity.CRITICAL, incident="red-hint")
    amber = with_subjects(2, account(55), tlp=Tlp.AMBER, category=Category.ASSET_DRAIN, severity=Severity.HIGH)
    clear = with_subjects(3, tlp=Tlp.CLEAR, severity=Severity.LOW)
    first, *_ = desk.say(red, amber, clear)
    incident = incident_of(desk, first.digest)
    seen = {scope: desk.get(f"/v1/incidents/{incident}", scope).json() for scope in READERS}
    assert [seen[scope]["signals"] for scope in READERS] == [1, 2, 1, 3]
    assert [seen[scope]["severity"] for scope in READERS] == ["low", "high", "low", "critical"]
    assert [seen[scope]["first_ms"] - NOW_MS for scope in READERS] == [2, 1, 2, 0]
    assert seen[Scope.PUBLIC]["subjects"] == [account(1)]
    assert seen[Scope.MEMBER]["subjects"] == [account(1), account(55)]
    assert seen[Scope.OPERATOR]["subjects"] == [account(1), account(55), account(66)]
    assert seen[Scope.OPERATOR]["hint"] == "red-hint"
    assert all("hint" not in seen[scope] and "decisions" not in seen[scope] for scope in READERS if scope != "operator")
    assert all("red-hint" not in str(seen[scope]) for scope in READERS if scope != "operator")


def test_an_incident_of_which_nothing_may_be_seen_is_not_there(desk: Desk) -> None:
    (envelope,) = desk.say(about(1, tlp=Tlp.AMBER))
    incident = incident_of(desk, envelope.digest)
    statuses = {scope: desk.get(f"/v1/incidents/{incident}", scope).status_code for scope in READERS}
    assert statuses == {Scope.PUBLIC: 404, Scope.MEMBER: 200, Scope.INSURER: 404, Scope.OPERATOR: 200}
    unknown = desk.get("/v1/incidents/" + "00" * 32, Scope.PUBLIC).json()
    assert desk.get(f"/v1/incidents/{incident}", Scope.PUBLIC).json() == unknown
    assert desk.get("/v1/incidents", Scope.PUBLIC).json()["incidents"] == []


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_pages_of_incidents_hold_each_once_latest_first(desk: Desk, limit: int) -> None:
    sealed = desk.say(*(about(n) for n in range(10)))
    found = desk.pages("/v1/incidents", "incidents", Scope.PUBLIC, limit=limit)
    assert [row["id"] for row in found] == [incident_of(desk, envelope.digest) for envelope in reversed(sealed)]


def test_incidents_are_asked_by_what_their_signals_name(desk: Desk) -> None:
    desk.publisher = Feed("brook")
    desk.say(
        about(1),
        about(2, category=Category.ORACLE_STALE, severity=Severity.CRITICAL),
        about(3, category=Category.ORACLE_MANIPULATION, severity=Severity.LOW),
        about(4, evidence=(Evidence(EvidenceKind.CODE, "eip155:10", 1, f"eip155:10:{'0x' + '1' * 40}", ""),)),
        about(5, tlp=Tlp.GREEN),
    )

    def numbers(scope: Scope = Scope.PUBLIC, **query: Any) -> list[int]:
        rows = desk.pages("/v1/incidents", "incidents", scope, limit=2, **query)
        return [row["first_ms"] - NOW_MS + 1 for row in rows]

    brook, cedar = ("0x" + Feed(name).publisher.hex() for name in ("brook", "cedar"))
    assert numbers() == [4, 3, 2, 1]
    assert numbers(subject=account(2)) == [2]
    assert numbers(subject=account(5)) == []
    assert numbers(Scope.INSURER, subject=account(5)) == [5]
    assert numbers(category="oracle") == [3, 2]
    assert numbers(category="oracle.stale") == [2]
    assert numbers(chain="eip155:10") == [4]
    assert numbers(severity="critical") == [2]
    assert numbers(publisher=brook) == [4, 3, 2, 1]
    assert numbers(publisher=cedar) == []
    assert numbers(publisher=brook, category="oracle", chain="eip155:1", severity="high") == [2]
    assert numbers(since_ms=NOW_MS + 1, until_ms=NOW_MS + 2) == [3, 2]


def test_an_incident_of_several_categories_stands_once_in_its_family(desk: Desk) -> None:
    desk.say(with_subjects(1, category=Category.ORACLE_STALE), with_subjects(2, category=Category.ORACLE_MANIPULATION))
    (row,) = desk.pages("/v1/incidents", "incidents", category="oracle")
    assert row["categories"] == ["oracle.manipulation", "oracle.stale"]
    assert (row["families"], row["signals"]) == (["oracle"], 2)
