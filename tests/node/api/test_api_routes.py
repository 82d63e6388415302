"""The other routes: publishers, decisions, actions, exposure, drills, the log, the relay, and their description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_kit import READERS, Desk, about
from click.testing import CliRunner
from protocol_kit import NOW_MS, VAULT, Feed, make_roster, make_signal, signed_by
from store_kit import HOOK, OWN, Lever, arm, make_rules
from tocsin_node.api.access import Scope
from tocsin_node.cli import cli
from tocsin_node.store.actions import append_event
from tocsin_protocol.audit import decode_entry
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.log.tiles import decode_bundle
from tocsin_protocol.roster_encoding import decode_signed_roster
from tocsin_protocol.taxonomy import Tlp

INSIDE = (Scope.MEMBER, Scope.OPERATOR)


def act(desk: Desk, tlp: Tlp = Tlp.CLEAR) -> bytes:
    """A decision that uses the lever; returns the action's id."""
    rules = make_rules(organisations=1, levers=[Lever()])
    desk.write(arm)
    desk.file([Feed("brook").seal(make_signal(tlp=tlp))], rules=rules)
    desk.index()
    ((action,),) = desk.connection.execute("SELECT id FROM actions")
    return bytes(action)


def test_publishers_are_shown_without_what_one_could_attack_them_by(desk: Desk) -> None:
    for scope in READERS:
        publishers = desk.get("/v1/publishers", scope).json()["publishers"]
        members = desk.get("/v1/roster", scope).json()["members"]
        assert {p["member"] for p in publishers} == {m["name"] for m in members}
        for publisher in (*publishers, *(p for m in members for p in m["publishers"])):
            assert ("addresses" in publisher) == ("peer_id" in publisher) == (scope in INSIDE)
            assert "rpc_groups" in publisher or scope not in INSIDE
    desk.say(about(1))
    path = "/v1/publishers/0x" + Feed("brook").publisher.hex()
    assert "feeds" not in desk.get(path, Scope.PUBLIC).json()
    one = desk.get(path, Scope.MEMBER).json()
    assert one["feeds"] == [{"lane": "standard", "head": 1, "contiguous": 1}]
    assert not one["equivocated"]
    assert desk.get("/v1/publishers/0x" + "00" * 20).status_code == 404


def test_decisions_are_the_operators(desk: Desk) -> None:
    act(desk)
    statuses = {scope: desk.get("/v1/decisions", scope).status_code for scope in READERS}
    assert statuses == {Scope.PUBLIC: 401, Scope.MEMBER: 403, Scope.INSURER: 403, Scope.OPERATOR: 200}
    (decision,) = desk.pages("/v1/decisions", "decisions", limit=1)
    assert decision["levers"][0]["hook"] == HOOK
    assert desk.get("/v1/decisions", incident=decision["incident"]).json()["decisions"] == [decision]
    assert desk.get("/v1/decisions", incident="00" * 32).json()["decisions"] == []


def test_an_action_is_the_operators_until_anybody_can_see_its_effect(desk: Desk) -> None:
    action = act(desk)
    path = f"/v1/actions/{action.hex()}"

    def seen() -> dict[Scope, Any]:
        found = {scope: desk.get(path, scope) for scope in READERS}
        for scope, answer in found.items():
            listed = desk.pages("/v1/actions", "actions", scope, limit=1)
            assert len(listed) == (answer.status_code == 200)
        return {scope: answer.json() if answer.status_code == 200 else None for scope, answer in found.items()}

    before = seen()
    assert [scope for scope in READERS if before[scope] is not None] == [Scope.OPERATOR]
    for event in (Event.SEND, Event.CONFIRM):
        desk.write(lambda c, event=event: append_event(c, action, event, {"reason": "private reason"}, NOW_MS))
    after = seen()
    assert all(after[scope]["state"] == "effective" for scope in READERS)
    assert after[Scope.OPERATOR]["events"]
    for scope in (Scope.PUBLIC, Scope.MEMBER, Scope.INSURER):
        assert "private reason" not in str(after[scope])
        assert "decision" not in after[scope]
    assert after[Scope.PUBLIC]["target"] == VAULT


def test_exposure_and_drills_are_for_insurers(desk: Desk) -> None:
    for path in ("/v1/exposure", "/v1/drills"):
        statuses = {scope: desk.get(path, scope).status_code for scope in READERS}
        assert statuses == {Scope.PUBLIC: 401, Scope.MEMBER: 403, Scope.INSURER: 200, Scope.OPERATOR: 200}
    assert desk.get("/v1/exposure", Scope.INSURER).json()["protocol"] == OWN
    assert desk.get("/v1/drills", Scope.INSURER).json() == {"drills": []}


def test_the_logs_hashes_are_everybodys_and_its_entries_the_operators(desk: Desk) -> None:
    desk.say(*(about(n, tlp=Tlp.RED) for n in range(3)))
    assert desk.get("/v1/log", Scope.PUBLIC).status_code == 503
    desk.show_log()
    head = desk.get("/v1/log", Scope.PUBLIC).json()
    size = head["size"]
    assert desk.get("/log/checkpoint", Scope.PUBLIC).text == head["checkpoint"]
    assert desk.get(f"/log/tile/0/000.p/{size}", Scope.PUBLIC).status_code == 200
    bundle = f"/log/tile/entries/000.p/{size}"
    statuses = {scope: desk.get(bundle, scope).status_code for scope in READERS}
    assert statuses == {Scope.PUBLIC: 401, Scope.MEMBER: 403, Scope.INSURER: 403, Scope.OPERATOR: 200}
    entries = decode_bundle(desk.get(bundle).content, size)
    assert decode_entry(0, entries[0]).sequence == 1
    assert "private" in desk.get(bundle).headers["cache-control"]
    for path in ("tile/0/000", "tile/0/0", "../tocsin.db", "tile/0/000.p/0", "x" * 200):
        assert desk.get(f"/log/{path}", Scope.PUBLIC).status_code in (404, 422)


def test_a_served_log_is_verified_with_a_key_of_its_feed(desk: Desk, tmp_path: Path) -> None:
    desk.say(*(about(n) for n in range(3)))
    desk.show_log()
    key = str(desk.store.record.key)
    path = tmp_path / "feed.key"
    path.write_text(desk.key(Scope.OPERATOR)["authorization"].split()[1] + "\n")
    path.chmod(0o600)
    with desk.served() as url:
        verify = ["log", "verify", f"{url}/log", "--key", key]
        assert CliRunner().invoke(cli, [*verify, "--feed-key", str(path)]).exit_code == 0
        refused = CliRunner().invoke(cli, verify)
        assert (refused.exit_code, "401" in refused.output) == (1, True)


@pytest.mark.parametrize("path", ["/v1/status", "/v1/requests", "/metrics"])
def test_the_relay_is_asked_for_the_operator_alone(desk: Desk, path: str) -> None:
    statuses = {scope: desk.get(path, scope).status_code for scope in READERS}
    # no relay runs here
    assert statuses == {Scope.PUBLIC: 401, Scope.MEMBER: 403, Scope.INSURER: 403, Scope.OPERATOR: 503}


def test_health_says_why_to_the_operator_alone(desk: Desk) -> None:
    for scope in READERS:
        answer = desk.get("/healthz", scope)
        assert answer.status_code == 503
        assert ("reasons" in answer.json()) == (scope is Scope.OPERATOR)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/signals", {"signals": []}),
        ("/v1/signals", {"signals": [1]}),
        ("/v1/signals", {}),
        ("/v1/approvals", {"approval": 7}),
        ("/v1/steps", {"scope": "x", "other": 1}),
        ("/v1/disarm-statements", {"statement": ""}),
    ],
)
def test_what_cannot_be_told_to_the_relay_is_refused(desk: Desk, path: str, body: Any) -> None:
    for scope, status in ((Scope.PUBLIC, 401), (Scope.MEMBER, 403), (Scope.OPERATOR, 422)):
        answer = desk.client.request("POST", path, json=body, headers=desk.key(scope))
        assert answer.status_code == status, answer.text


def test_a_body_that_is_no_json_is_refused(desk: Desk) -> None:
    for content in (b"{", b"\xff", b"[" * 100_000, b"1" * 5000):
        headers = desk.key(Scope.OPERATOR) | {"content-type": "application/json"}
        answer = desk.client.request("POST", "/v1/approvals", content=content, headers=headers)
        assert answer.status_code in (400, 422), answer.text


def test_signed_rosters_are_shown_to_members_and_the_operator(desk: Desk) -> None:
    statuses = {scope: desk.get("/v1/rosters/0", scope).status_code for scope in READERS}
    assert statuses == {Scope.PUBLIC: 401, Scope.INSURER: 403, Scope.MEMBER: 200, Scope.OPERATOR: 200}
    signed = decode_signed_roster(bytes.fromhex(desk.get("/v1/rosters/0").json()["signed"]))
    assert signed == signed_by(make_roster())
    assert desk.get("/v1/rosters/1").status_code == 404
    for epoch in ("-1", "x", "1e3", str(1 << 64)):
        assert desk.get(f"/v1/rosters/{epoch}").status_code == 422


@pytest.mark.parametrize("path", ["/v1/roster", "/v1/log", "/healthz", "/v1/signals/" + "0" * 64])
def test_a_question_with_a_name_that_is_not_known_is_refused(desk: Desk, path: str) -> None:
    assert desk.get(path, Scope.OPERATOR, x=1).status_code == 422


def test_nothing_is_allowed_to_other_origins(desk: Desk) -> None:
    answer = desk.get("/v1/signals", Scope.PUBLIC, headers={"origin": "https://example.org"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
