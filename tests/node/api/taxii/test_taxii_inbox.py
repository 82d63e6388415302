"""What others send: checked by itself, and kept for the operator; nothing of it reaches the record."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest
import stix_kit as kit
from store_kit import count
from taxii_kit import ROOT, TaxiiDesk, about
from tocsin_node.api.access import Scope
from tocsin_node.api.keys import create_key
from tocsin_node.api.suggestions import (
    MAX_OPEN,
    State,
    read_suggestion,
    read_suggestions,
    settle_suggestion,
    suggest,
)
from tocsin_node.api.taxii.inbox import INBOX_ID, MAX_STATUSES
from tocsin_node.api.taxii.wire import MAX_CONTENT_BYTES
from tocsin_node.clock import now_ms
from tocsin_node.errors import NodeError
from tocsin_node.signal_json import draft_signal
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.stix.drafting import Draft
from tocsin_protocol.stix.marking import TLP_MARKINGS, Circle
from tocsin_protocol.stix.reading import MAX_OBJECTS
from tocsin_protocol.taxonomy import Tlp


def suggestions(desk: TaxiiDesk) -> list[Any]:
    with closing(desk.feed.open_db()) as connection:
        return read_suggestions(connection, states=(State.OPEN,), limit=10_000)


def test_an_indicator_waits_for_the_operator_and_nothing_else_knows_of_it(desk: TaxiiDesk) -> None:
    got = desk.post({"objects": [kit.foreign_indicator()]})
    assert (got.status_code, got.json()["status"], got.json()["success_count"]) == (202, "complete", 1)
    (waiting,) = suggestions(desk)
    assert waiting.document["subjects"][0]["role"] == "attacker"
    assert any("no chain is named" in note for note in waiting.notes)
    assert draft_signal(waiting.document, now_ms()).tlp is Tlp.AMBER
    for table in ("signals", "drafts", "incidents"):
        assert count(desk.connection, table) == 0
    desk.export()
    assert not [v for v in desk.objects(Circle.RED) if v["type"] in ("indicator", "note")]


def test_the_same_finding_waits_once_and_a_later_version_anew(desk: TaxiiDesk) -> None:
    body = {"objects": [kit.foreign_indicator()]}
    assert desk.post(body).json()["successes"][0]["message"] == "waits for the operator"
    assert desk.post(body).json()["successes"][0]["message"] == "known already"
    desk.post({"objects": [kit.foreign_indicator(modified="2026-02-01T00:00:00Z")]})
    assert len(suggestions(desk)) == 2


def test_what_was_dropped_does_not_come_back(desk: TaxiiDesk) -> None:
    desk.post({"objects": [kit.foreign_indicator()]})
    (waiting,) = suggestions(desk)
    with closing(desk.feed.open_db()) as connection:
        settle_suggestion(connection, waiting.number, State.DROPPED)
        with pytest.raises(NodeError, match="dropped already"):
            settle_suggestion(connection, waiting.number, State.PUBLISHED)
        with pytest.raises(NodeError, match="none of this number"):
            read_suggestion(connection, 77)
    desk.post({"objects": [kit.foreign_indicator()]})
    assert suggestions(desk) == []


def test_what_is_no_unicode_or_no_version_is_not_told_back(desk: TaxiiDesk) -> None:
    got = desk.post(
        rb'{"objects": [{"type": "x", "id": "\ud800", "modified": "\ud800"}, {"id": "y", "modified": "z"}]}'
    )
    assert got.status_code == 202
    failures = got.json()["failures"]
    assert [row["id"] for row in failures] == ["?", "y"]
    assert all(row["version"] == got.json()["request_timestamp"] for row in failures)
    again = desk.taxii(f"/status/{got.json()['id']}/")
    assert (again.status_code, again.json()) == (200, got.json())


def test_a_faulty_object_fails_alone_and_by_name(desk: TaxiiDesk) -> None:
    faulty = [value for _, _, value, _ in kit.invalid_objects()]
    body = json.dumps({"objects": [kit.foreign_indicator(), *faulty, 7, None, "x", []]}, ensure_ascii=True).encode()
    status = desk.post(body).json()
    assert (status["success_count"], status["failure_count"]) == (1, len(faulty) + 4)
    assert status["total_count"] == len(faulty) + 5
    for failure, (_, _, _, names) in zip(status["failures"], kit.invalid_objects(), strict=False):
        assert names in failure["message"]
    assert status["failures"][-1]["id"] == "unknown"
    assert len(suggestions(desk)) == 1


def test_the_status_is_for_who_sent_and_says_no_empty_list(desk: TaxiiDesk) -> None:
    status = desk.post({"objects": [kit.foreign_indicator()]}).json()
    assert "failures" not in status
    assert "pendings" not in status
    assert desk.taxii(f"/status/{status['id']}/").json() == status
    other = create_key(desk.feed.db, Scope.OPERATOR, "other", now_ms(), MAX_UINT)
    got = desk.ask("GET", f"{ROOT}/status/{status['id']}/", Scope.PUBLIC, headers={"authorization": f"Bearer {other}"})
    assert got.status_code == 404
    assert desk.taxii("/status/none/").status_code == 404


@pytest.mark.parametrize("scope", [Scope.PUBLIC, Scope.MEMBER, Scope.INSURER])
def test_who_is_not_the_operator_may_not_write(desk: TaxiiDesk, scope: Scope) -> None:
    got = desk.post({"objects": [kit.foreign_indicator()]}, scope)
    assert got.status_code == (401 if scope is Scope.PUBLIC else 403)
    assert suggestions(desk) == []
    assert desk.taxii("/collections/inbox/", scope).status_code == 404


def test_only_the_inbox_takes_objects_and_nobody_reads_it(desk: TaxiiDesk) -> None:
    body = {"objects": [kit.foreign_indicator()]}
    how = {"headers": {"content-type": "application/taxii+json"}, "json": body}
    assert desk.ask("POST", f"{ROOT}/collections/red/objects/", **how).status_code == 403
    assert desk.ask("POST", f"{ROOT}/collections/none/objects/", **how).status_code == 404
    assert desk.ask("POST", f"{ROOT}/collections/{INBOX_ID}/objects/", **how).status_code == 202
    assert desk.taxii("/collections/inbox/objects/").status_code == 403
    assert desk.taxii("/collections/inbox/").json()["can_read"] is False


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/taxii+json;version=2.1", 202),
        ("application/taxii+json", 202),
        ("application/taxii+json;version=2.0", 415),
        ("application/json", 415),
        ("application/*", 415),
        ("text/plain", 415),
        ("", 415),
    ],
)
def test_another_content_type_is_a_415(desk: TaxiiDesk, content_type: str, status: int) -> None:
    assert desk.post({"objects": [kit.foreign_indicator()]}, **{"content-type": content_type}).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b"\xff\xfe",
        b'{"objects": NaN}',
        b'{"objects": []}',
        b'{"objects": {}}',
        b'{"type": "indicator", "objects": [1]}',
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"objects": [' + b"9" * 10_000 + b"]}",
    ],
)
def test_a_body_that_is_no_envelope_is_a_400(desk: TaxiiDesk, body: bytes) -> None:
    got = desk.post(body)
    assert (got.status_code, got.json()["http_status"]) == (400, "400")


def test_a_deep_object_fails_and_a_huge_body_is_cut_off(desk: TaxiiDesk) -> None:
    deep = kit.foreign_indicator(x_deep=kit.nested(200))
    assert "nested" in desk.post({"objects": [deep]}).json()["failures"][0]["message"]
    assert desk.post(b" " * (MAX_CONTENT_BYTES + 1)).status_code == 413
    too_many = {"objects": [1] * (MAX_OBJECTS + 1)}
    assert desk.post(too_many).status_code == 400


def test_what_is_marked_red_stays_red(desk: TaxiiDesk) -> None:
    refs = (TLP_MARKINGS[Tlp.RED], "marking-definition--of-somebody", TLP_MARKINGS[Tlp.CLEAR])
    for place, ref in enumerate(refs):
        value = kit.foreign_indicator(object_marking_refs=[ref], modified=f"2026-03-0{place + 1}T00:00:00Z")
        desk.post({"objects": [value]})
    assert [s.document["tlp"] for s in reversed(suggestions(desk))] == ["red", "red", "clear"]


def test_an_object_of_ours_is_drafted_as_it_says(desk: TaxiiDesk) -> None:
    desk.tell(about(1, text="so it was"))
    (indicator,) = (v for v in desk.objects(Circle.CLEAR) if v["type"] == "indicator")
    desk.post({"objects": [indicator]})
    (waiting,) = suggestions(desk)
    said = draft_signal(waiting.document, now_ms())
    assert (said.category, said.subjects, said.tlp) == ("asset.drain", about(1).subjects, Tlp.CLEAR)


def test_a_lie_in_our_extension_is_a_fault_with_a_name(desk: TaxiiDesk) -> None:
    desk.tell(about(1))
    (indicator,) = (v for v in desk.objects(Circle.CLEAR) if v["type"] == "indicator")
    (extension,) = indicator["extensions"]
    for name, wrong in (
        ("category", "war"),
        ("severity", 7),
        ("subjects", [{"role": "victim", "value": "x:y:z:"}]),
        ("loss", []),
    ):
        value = json.loads(json.dumps(indicator))
        value["extensions"][extension][name] = wrong
        (failure,) = desk.post({"objects": [value]}).json()["failures"]
        assert name.removesuffix("s") in failure["message"]


def test_one_who_sends_much_pushes_out_nobody_but_himself(desk: TaxiiDesk) -> None:
    with closing(desk.feed.open_db()) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        document = {
            "category": "asset.drain",
            "severity": "low",
            "confidence": 1,
            "subjects": [{"role": "victim", "value": "eip155:1"}],
        }
        connection.execute("BEGIN")
        for number in range(3):
            assert suggest(connection, "taxii:quiet", Draft(str(number), "1", document, ()), 1)
        for number in range(MAX_OPEN + 20):
            assert suggest(connection, "taxii:loud", Draft(str(number), "1", document, ()), 1)
        connection.execute("COMMIT")
        waiting = read_suggestions(connection, states=(State.OPEN,), limit=2 * MAX_OPEN)
    assert len(waiting) == MAX_OPEN
    assert [one.origin for one in waiting if one.source == "taxii:quiet"] == ["2", "1", "0"]
    assert waiting[0].origin == str(MAX_OPEN + 19)


def test_a_sender_hands_in_and_sees_what_became_of_his_own_and_nothing_else(desk: TaxiiDesk) -> None:
    desk.tell(about(1))
    listed = desk.taxii("/collections/", Scope.SENDER).json()["collections"]
    assert [row["alias"] for row in listed] == ["inbox"]
    assert desk.taxii("/collections/inbox/", Scope.SENDER).json()["can_write"]
    sent = desk.post({"objects": [kit.foreign_indicator()]}, Scope.SENDER)
    assert (sent.status_code, sent.json()["success_count"]) == (202, 1)
    status = sent.json()["id"]
    assert desk.taxii(f"/status/{status}/", Scope.SENDER).json() == sent.json()
    # another's status is not there, not even for the operator's key
    assert desk.taxii(f"/status/{status}/").status_code == 404
    others = desk.post({"objects": [kit.foreign_indicator()]}).json()["id"]
    assert desk.taxii(f"/status/{others}/", Scope.SENDER).status_code == 404
    assert desk.taxii("/collections/inbox/objects/", Scope.SENDER).status_code == 403
    for alias in Circle:
        assert desk.taxii(f"/collections/{alias}/", Scope.SENDER).status_code == 404
        assert desk.taxii(f"/collections/{alias}/objects/", Scope.SENDER).status_code == 403
    for path in ("/v1/signals", "/v1/incidents", "/v1/log", "/metrics", "/healthz", "/v1/publishers"):
        assert desk.get(path, Scope.SENDER).status_code == 403, path
    alert = {"alerts": []}
    assert (
        desk.client.request("POST", "/v1/ingest/forta", json=alert, headers=desk.key(Scope.MEMBER)).status_code == 403
    )
    taken = desk.client.request("POST", "/v1/ingest/forta", json=alert, headers=desk.key(Scope.SENDER))
    assert taken.status_code != 403


def test_suggestions_and_statuses_are_bounded(desk: TaxiiDesk) -> None:
    with closing(desk.feed.open_db()) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        document = {
            "category": "asset.drain",
            "severity": "low",
            "confidence": 1,
            "subjects": [{"role": "victim", "value": "eip155:1"}],
        }
        connection.execute("BEGIN")
        for number in range(MAX_OPEN + 20):
            assert suggest(connection, "test", Draft(str(number), "1", document, ()), 1)
        connection.execute("COMMIT")
        assert count(connection, "suggestions") == MAX_OPEN
        assert read_suggestions(connection, states=(State.OPEN,), limit=1)[0].origin == str(MAX_OPEN + 19)
        connection.executemany(
            "INSERT INTO taxii_statuses VALUES (?, 'x', ?, '{}')", [(str(n), n) for n in range(MAX_STATUSES + 50)]
        )
    desk.post({"objects": [kit.foreign_indicator()]})
    assert count(desk.feed.db, "taxii_statuses") <= MAX_STATUSES + 1


def test_a_source_that_sends_without_end_pushes_out_its_own_alone(desk: TaxiiDesk) -> None:
    document = {"category": "asset.drain", "confidence": 1, "severity": "low"}
    document["subjects"] = [{"role": "related", "value": "eip155:1:0x" + "11" * 20}]
    with closing(desk.feed.open_db()) as connection:
        connection.execute("BEGIN")
        assert suggest(connection, "forta", Draft("real", "1", document, ()), 1)
        for number in range(MAX_OPEN + 5):
            assert suggest(connection, "taxii:noisy", Draft(str(number), "1", document, ()), 1)
        connection.execute("COMMIT")
    assert [s.origin for s in suggestions(desk) if s.source == "forta"] == ["real"]
    assert len(suggestions(desk)) == MAX_OPEN


def test_a_draft_that_can_be_no_signal_is_not_kept(desk: TaxiiDesk) -> None:
    with closing(desk.feed.open_db()) as connection, pytest.raises(DecodeError, match="confidence"):
        suggest(connection, "test", Draft("1", "1", {"category": "x"}, ()), 1)


# ----------------------------------------------------------------------------------------------------------------- #


def ingest(desk: TaxiiDesk, monitor: str, body: Any, scope: Scope = Scope.OPERATOR) -> Any:
    how: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    return desk.ask("POST", f"/v1/ingest/{monitor}", scope, **how)


def test_webhooks_of_monitors_lead_to_drafts_once(desk: TaxiiDesk) -> None:
    for monitor, body in (("forta", kit.FORTA), ("openzeppelin-monitor", kit.MONITOR)):
        assert ingest(desk, monitor, body).json() == {"drafts": 1, "new": 1}
        assert ingest(desk, monitor, body).json() == {"drafts": 1, "new": 0}
    sources = {s.source: draft_signal(s.document, now_ms()) for s in suggestions(desk)}
    assert set(sources) == {"forta", "openzeppelin-monitor"}
    assert sources["forta"].severity == "critical"
    for table in ("signals", "drafts", "incidents"):
        assert count(desk.connection, table) == 0


@pytest.mark.parametrize("monitor", ["forta", "openzeppelin-monitor"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"alerts": []}', b'{"EVM": {}}', b"[" * 100_000, b"7"])
def test_a_body_that_is_no_alert_is_a_422(desk: TaxiiDesk, monitor: str, body: bytes) -> None:
    got = ingest(desk, monitor, body)
    assert (got.status_code, got.headers["content-type"]) == (422, "application/problem+json")
    assert suggestions(desk) == []


def test_webhooks_want_the_operators_key_and_a_known_monitor(desk: TaxiiDesk) -> None:
    assert ingest(desk, "forta", kit.FORTA, Scope.MEMBER).status_code == 403
    assert ingest(desk, "forta", kit.FORTA, Scope.PUBLIC).status_code == 401
    assert ingest(desk, "unknown", kit.FORTA).status_code == 422
    assert ingest(desk, "forta", b" " * 300_000).status_code == 413
    assert suggestions(desk) == []


def test_of_alerts_that_come_together_all_are_kept_or_none(desk: TaxiiDesk) -> None:
    good = kit.FORTA["alerts"][0]
    body = {"alerts": [good, good | {"hash": "0x02", "severity": "WEIRD"}]}
    assert ingest(desk, "forta", body).status_code == 422
    assert suggestions(desk) == []
