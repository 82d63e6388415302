"""TAXII's rules, asked without a port: pages, cursors, filters, versions, and what nobody may see."""

from __future__ import annotations

import base64
import json
import math
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from api_kit import READERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocol_kit import NOW_MS, Feed
from store_kit import OWN
from taxii_kit import MEDIA, ROOT, TaxiiDesk, about
from tocsin_node.api.access import Scope
from tocsin_node.api.taxii import routes
from tocsin_node.api.taxii.objects import (
    Filters,
    add_collection,
    add_object,
    last_version,
    rank_of,
    read_collections,
    read_entries,
    taxii_time,
)
from tocsin_node.api.taxii.projecting import Projection
from tocsin_node.api.taxii.wire import MAX_FILTER_VALUES, MAX_LIMIT
from tocsin_node.store.actions import insert_intent
from tocsin_node.store.adjudications import adjudicate
from tocsin_node.store.reader import Reader
from tocsin_protocol.adjudication import Adjudication, Finding
from tocsin_protocol.model import Reference
from tocsin_protocol.stix.incidents import INCIDENT_EXTENSION
from tocsin_protocol.stix.marking import TLP_MARKINGS, Circle
from tocsin_protocol.stix.naming import stix_time, time_of
from tocsin_protocol.taxonomy import Category, Relation, Tlp

CANARY = "canary-7f3a"
SEES = {
    Scope.PUBLIC: {"clear"},
    Scope.INSURER: {"clear", "green"},
    Scope.MEMBER: {"clear", "green", "amber"},
    Scope.OPERATOR: {"clear", "green", "amber", "red"},
}


def objects_path(circle: str = "clear") -> str:
    return f"/collections/{circle}/objects/"


@pytest.mark.parametrize(
    "path",
    [
        "/taxii2",
        "/taxii2/",
        "http://feed//taxii2//",
        "/taxii2/tocsin",
        "/taxii2//tocsin//collections",
        "/taxii2/tocsin/collections/clear//objects",
    ],
)
def test_all_forms_of_slashes_lead_to_the_same(desk: TaxiiDesk, path: str) -> None:
    desk.export()
    got = desk.ask("GET", path)
    assert (got.status_code, got.headers["content-type"]) == (200, MEDIA)


def test_a_path_that_is_none_is_a_404_in_taxiis_words(desk: TaxiiDesk) -> None:
    for path in ("/taxii2/nothing", f"{ROOT}/collections/none/objects", f"{ROOT}/collections/clear/objects/x--y"):
        got = desk.ask("GET", path)
        assert got.headers["content-type"] == MEDIA
        assert got.json()["http_status"] == "404"
        assert set(got.json()) == {"title", "description", "http_status"}


@pytest.mark.parametrize("scope", READERS)
def test_each_scope_sees_its_collections_and_no_other(desk: TaxiiDesk, scope: Scope) -> None:
    desk.tell(*(about(place, tlp=tlp) for place, tlp in enumerate(Tlp, 1)))
    listed = {c["alias"] for c in desk.taxii("/collections/", scope).json()["collections"]}
    assert listed - {"inbox"} == SEES[scope]
    assert ("inbox" in listed) == (scope is Scope.OPERATOR)
    for circle in Circle:
        for rest in ("", "objects/", "manifest/", "objects/identity--x/", "objects/identity--x/versions/"):
            got = desk.taxii(f"/collections/{circle}/{rest}", scope)
            assert (got.status_code == 404) >= (circle.value not in SEES[scope])


@pytest.mark.parametrize("scope", READERS)
def test_no_route_tells_a_scope_of_what_is_marked_above_it(desk: TaxiiDesk, scope: Scope) -> None:
    """Signals of every marking, each with its own canary in all that it says, in one incident."""
    canaries = {tlp: f"{CANARY}-{tlp.value.replace('+', '-')}" for tlp in Tlp}
    first = desk.tell(about(1, tlp=Tlp.RED, text=canaries[Tlp.RED]))[0]
    sealed = [first]
    for place, tlp in enumerate(Tlp):
        subjects = (*about(1).subjects, *about(100 + place).subjects)
        refs = tuple(Reference(Relation.CORROBORATES, e.digest) for e in sealed)
        said = about(1, tlp=tlp, text=canaries[tlp], subjects=tuple(sorted(subjects)), references=refs[:8])
        sealed += desk.tell(said, at_ms=NOW_MS + 10 * place)
    allowed = {tlp for circle in Circle if circle.value in SEES[scope] for tlp in Tlp if circle.holds(tlp)}
    told = ""
    for circle in Circle:
        for kind in ("objects", "manifest"):
            got = desk.taxii(f"/collections/{circle}/{kind}/", scope, **{"match[version]": "all", "limit": 1000})
            told += got.text
            for item in got.json().get("objects", []):
                told += desk.taxii(f"/collections/{circle}/objects/{item['id']}/", scope).text
                told += desk.taxii(f"/collections/{circle}/objects/{item['id']}/versions/", scope).text
    for tlp in Tlp:
        account = f"{100 + list(Tlp).index(tlp) + 2**32:040x}"
        assert (account in told.lower()) == (tlp in allowed), tlp


def test_objects_are_marked_no_higher_than_their_collection(desk: TaxiiDesk) -> None:
    desk.tell(*(about(place, tlp=tlp) for place, tlp in enumerate(Tlp, 1)))
    for circle in Circle:
        allowed = {TLP_MARKINGS[tlp] for tlp in Tlp if circle.holds(tlp)}
        for value in desk.objects(circle):
            assert set(value.get("object_marking_refs", [])) <= allowed


def test_every_object_names_only_what_stands_before_it(desk: TaxiiDesk) -> None:
    (first,) = desk.tell(about(1, tlp=Tlp.AMBER))
    desk.tell(about(1, text="so do we", references=(Reference(Relation.CORROBORATES, first.digest),)), by="cedar")
    for circle in Circle:
        seen: set[str] = set()
        for value in desk.objects(circle, **{"match[version]": "all", "limit": 7}):
            refs = [v for key, v in value.items() if key.endswith("_ref")]
            refs += [ref for key, listed in value.items() if key.endswith("_refs") for ref in listed]
            assert set(refs) <= seen | {value["id"]}, (circle, value["type"])
            seen.add(value["id"])


def test_dates_of_addition_are_unique_rising_milliseconds(desk: TaxiiDesk) -> None:
    desk.tell(*(about(place) for place in range(1, 12)))
    found: list[str] = []
    query: dict[str, Any] = {"limit": 5, "match[version]": "all"}
    while True:
        page = desk.taxii("/collections/clear/manifest/", **query)
        dates = [item["date_added"] for item in page.json()["objects"]]
        assert page.headers["x-taxii-date-added-first"] == dates[0]
        assert page.headers["x-taxii-date-added-last"] == dates[-1]
        found += dates
        if not page.json().get("more"):
            break
        query["next"] = page.json()["next"]
    assert found == sorted(set(found))
    assert all(date.endswith("000Z") and len(date) == 27 for date in found)


def test_pages_hold_everything_once_whatever_becomes_of_limit(desk: TaxiiDesk) -> None:
    desk.tell(*(about(place) for place in range(1, 9)))
    whole = [value["id"] for value in desk.objects(Circle.CLEAR, limit=1000)]
    found: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    for step in range(1000):
        page = desk.taxii(objects_path(), **query).json()
        found += [value["id"] for value in page["objects"]]
        if not page.get("more"):
            break
        query = {"next": page["next"], "limit": 1 + step % 4}
    assert found == whole
    assert len(whole) > 20


def test_a_cursor_outlives_the_server_and_what_comes_after_it(desk: TaxiiDesk) -> None:
    desk.tell(about(1))
    first = desk.taxii(objects_path(), limit=4).json()
    desk.tell(about(2))
    rest = desk.objects(Circle.CLEAR, next=first["next"])
    whole = desk.objects(Circle.CLEAR)
    assert [v["id"] for v in first["objects"]] + [v["id"] for v in rest] == [v["id"] for v in whole]
    # a new server knows nothing of the old one
    again = TaxiiDesk.__new__(TaxiiDesk)
    again.__dict__.update({k: v for k, v in desk.__dict__.items() if k not in ("app", "client")})
    assert again.objects(Circle.CLEAR, next=first["next"]) == rest
    again.client.close()


def test_a_cursor_is_bound_to_its_filters_and_collection_not_to_added_after(desk: TaxiiDesk) -> None:
    desk.tell(about(1), about(2))
    page = desk.taxii(objects_path(), limit=2, **{"match[type]": "identity,note"}).json()
    cursor = page["next"]
    assert desk.taxii(objects_path(), next=cursor, **{"match[type]": "note,identity"}).status_code == 200
    for path, query in (
        (objects_path(), {}),
        (objects_path(), {"match[type]": "note"}),
        (objects_path(), {"match[type]": "identity,note", "match[version]": "all"}),
        (objects_path("amber"), {"match[type]": "identity,note"}),
    ):
        got = desk.taxii(path, next=cursor, **query)
        assert (got.status_code, "next" in got.json()["description"]) == (400, True)
    late = desk.taxii(
        objects_path(), next=cursor, added_after="2099-01-01T00:00:00Z", **{"match[type]": "identity,note"}
    )
    assert late.json() == {}


def test_no_cache_keeps_a_page(desk: TaxiiDesk) -> None:
    desk.tell(about(1))
    for path in ("objects/", "manifest/"):
        got = desk.taxii(f"/collections/clear/{path}")
        assert (got.status_code, got.headers["cache-control"]) == (200, "no-store")


def test_collections_that_lack_what_is_new_are_not_given_as_if_they_were_whole(desk: TaxiiDesk) -> None:
    desk.tell(about(1))
    desk.tell(about(2), export=False)
    for path in ("objects/", "manifest/"):
        assert desk.taxii(f"/collections/clear/{path}").status_code == 503
    desk.export()
    assert desk.taxii(objects_path()).status_code == 200


def test_a_cursor_that_was_made_for_no_place_is_a_400(desk: TaxiiDesk) -> None:
    desk.tell(about(1))
    cursor = desk.taxii(objects_path(), limit=1).json()["next"]
    binding = base64.urlsafe_b64decode(cursor + "==")[8:]
    for place in (b"\xff" * 8, b"\x7f" + b"\xff" * 7):
        forged = base64.urlsafe_b64encode(place + binding).decode().rstrip("=")
        assert desk.taxii(objects_path(), next=forged).status_code == 400


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "a" * 22, "é", "../..", "0" * 500, "%00"])
def test_what_is_no_cursor_is_a_400(desk: TaxiiDesk, cursor: str) -> None:
    desk.tell(about(1))
    assert desk.taxii(objects_path(), next=cursor).status_code == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", value) for value in ("0", "-1", "x", "1.5", "", "9" * 30, "1 OR 1=1")),
        *(
            ("added_after", value)
            for value in ("", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "2026-02-31T00:00Z")
        ),
        *(("match[version]", value) for value in ("", "newest", "last,newest", "2026")),
        ("match[type]", ""),
        ("match[type]", ",".join(f"t{n}" for n in range(MAX_FILTER_VALUES + 1))),
        ("match[id]", "x" * 9000),
        ("match[name]", "vault"),
        ("match[confidence-gte]", "50"),
    ],
)
def test_a_wrong_filter_is_a_400_that_names_it(desk: TaxiiDesk, name: str, value: str) -> None:
    got = desk.taxii(objects_path(), **{name: value})
    assert got.status_code == 400
    assert name in got.json()["description"]


def test_a_parameter_that_stands_twice_is_a_400(desk: TaxiiDesk) -> None:
    assert desk.ask("GET", ROOT + objects_path() + "?limit=1&limit=2").status_code == 400


@pytest.mark.parametrize("text", ["' OR 1=1 --", "identity'); DROP TABLE keys; --", "%", "_", "*", "\x00"])
def test_sql_in_a_filter_finds_nothing(desk: TaxiiDesk, text: str) -> None:
    desk.tell(about(1))
    assert desk.taxii(objects_path(), **{"match[id]": text}).json() == {}
    assert desk.taxii(objects_path(), **{"match[type]": text}).json() == {}
    assert desk.ask("GET", f"{ROOT}/collections/{text.replace(chr(0), '%00')}/objects/").status_code == 404
    assert len(desk.objects(Circle.CLEAR)) > 5


_WORDS = st.sampled_from(
    ["last", "all", "first", "indicator", "2.1", "0", "1", "10", stix_time(NOW_MS), "clear", "red", "inbox", "objects"]
) | st.text(st.characters(codec="utf-8"), max_size=30)
_NAMES = st.sampled_from(
    ["limit", "next", "added_after", "match[id]", "match[type]", "match[version]", "match[x]", "x"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    st.sampled_from(["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS"]),
    st.lists(_WORDS, max_size=5),
    st.lists(st.tuples(_NAMES, _WORDS), max_size=4),
    st.sampled_from(list(Scope)),
)
def test_whatever_is_asked_is_answered_in_taxiis_words(
    desk: TaxiiDesk, method: str, parts: list[str], query: list[tuple[str, str]], scope: Scope
) -> None:
    path = f"{ROOT}/collections/" + "/".join(quote(part, safe="") for part in parts)
    got = desk.ask(method, f"{path}?{urlencode(query)}", scope)
    assert got.status_code < 500
    if "/taxii2/" in path and method != "HEAD":
        assert got.headers["content-type"] == MEDIA
        assert got.status_code == 200 or got.json()["http_status"] == str(got.status_code)


def test_filters_find_what_they_say(desk: TaxiiDesk) -> None:
    desk.tell(about(1), about(2))
    everything = desk.objects(Circle.CLEAR)
    for kinds in ({"indicator"}, {"note", "incident"}, {"cryptocurrency-wallet"}):
        found = desk.objects(Circle.CLEAR, limit=1, **{"match[type]": ",".join(kinds)})
        assert found == [v for v in everything if v["type"] in kinds]
    ids = [everything[3]["id"], everything[7]["id"]]
    assert [v["id"] for v in desk.objects(Circle.CLEAR, **{"match[id]": ",".join(ids)})] == ids
    assert desk.objects(Circle.CLEAR, **{"match[id]": ids[0], "match[type]": "nothing"}) == []
    assert desk.objects(Circle.CLEAR, **{"match[spec_version]": "2.1"}) == everything
    assert desk.objects(Circle.CLEAR, **{"match[spec_version]": "2.0"}) == []
    assert desk.taxii(objects_path(), **{"match[spec_version]": "2.0"}).json() == {}


def test_added_after_leaves_out_the_object_of_that_very_time(desk: TaxiiDesk) -> None:
    desk.tell(about(1))
    page = desk.taxii(objects_path(), limit=3)
    last = page.headers["x-taxii-date-added-last"]
    rest = desk.objects(Circle.CLEAR, added_after=last)
    assert page.json()["objects"] + rest == desk.objects(Circle.CLEAR)
    assert desk.taxii(objects_path(), added_after="2099-01-01T00:00:00Z").json() == {}


def test_more_than_the_most_is_given_in_pages(desk: TaxiiDesk) -> None:
    desk.tell(about(1))
    assert "more" not in desk.taxii(objects_path(), limit=10**8).json()
    (clear,) = (c for c in read_collections(desk.feed.db) if c.alias == "clear")
    with closing(desk.feed.open_db()) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for number in range(MAX_LIMIT + 10):
            value = {"type": "url", "id": f"url--{number}", "value": "x"}
            add_object(connection, clear, value, NOW_MS)
        connection.execute("COMMIT")
    page = desk.taxii(objects_path(), limit=10**8).json()
    assert (len(page["objects"]), page["more"]) == (MAX_LIMIT, True)


def test_an_incident_has_versions_and_the_last_is_the_default(desk: TaxiiDesk) -> None:
    for place in range(3):
        desk.tell(about(1, text=f"more {place}"), at_ms=NOW_MS + 1000 * place)
    (incident,) = (v for v in desk.objects(Circle.CLEAR) if v["type"] == "incident")
    path = f"/collections/clear/objects/{incident['id']}/"
    versions = desk.taxii(path + "versions/").json()["versions"]
    assert versions == sorted(set(versions))
    assert len(versions) == 3
    assert incident["modified"] == versions[-1]

    def modified(which: str) -> list[str]:
        return [v["modified"] for v in desk.taxii(path, **{"match[version]": which}).json().get("objects", [])]

    assert modified("all") == versions
    assert modified("first") == versions[:1]
    assert modified("last") == versions[-1:]
    assert modified(versions[1]) == versions[1:2]
    assert modified(versions[1].replace("Z", "000Z")) == versions[1:2]
    assert modified(f"first,{versions[1]}") == versions[:2]
    assert modified("1999-01-01T00:00:00Z") == []
    assert incident["extensions"][INCIDENT_EXTENSION]["determination"] == "suspected"
    assert "3 signals of 1 members" in incident["description"]
    assert desk.taxii(path, **{"match[id]": incident["id"]}).status_code == 400


def test_a_restart_exports_nothing_twice_and_loses_nothing(desk: TaxiiDesk) -> None:
    desk.tell(about(1), about(2))
    before = desk.objects(Circle.RED, **{"match[version]": "all"})
    for _ in range(3):
        desk.export()
    assert desk.objects(Circle.RED, **{"match[version]": "all"}) == before
    desk.tell(about(3), export=False)
    desk.export()
    assert len(desk.objects(Circle.RED)) > len(before)


def test_a_record_that_is_shorter_than_before_is_read_anew_and_tells_nothing_twice(desk: TaxiiDesk) -> None:
    desk.tell(about(1), about(1, text="more"), about(2))
    before = desk.objects(Circle.RED, **{"match[version]": "all"})
    with closing(desk.feed.open_db()) as connection:
        connection.execute("UPDATE taxii_progress SET sequence = 100000")
    desk.tell(about(3))
    after = desk.objects(Circle.RED, **{"match[version]": "all"})
    assert after[: len(before)] == before
    assert sum(v["type"] == "indicator" for v in after) == 4
    assert sum(v["type"] == "incident" for v in after[len(before) :]) == 1


def test_a_page_of_the_record_that_fails_is_not_half_exported(desk: TaxiiDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    # what waits for its export may wait here
    monkeypatch.setattr(routes, "MAX_EXPORT_LAG_SECONDS", math.inf)
    desk.tell(about(1))
    before = desk.objects(Circle.RED, **{"match[version]": "all"})
    desk.tell(about(2), about(3), export=False)
    calls = 0
    original = Projection._export_signal

    def failing(self: Projection, *arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("power cut")
        original(self, *arguments)

    with monkeypatch.context() as during:
        during.setattr(Projection, "_export_signal", failing)
        with pytest.raises(RuntimeError, match="power cut"):
            desk.export()
    assert desk.objects(Circle.RED, **{"match[version]": "all"}) == before
    desk.export()
    assert sum(v["type"] == "indicator" for v in desk.objects(Circle.RED)) == 3


def test_drills_and_bodies_that_do_not_parse_are_not_told(desk: TaxiiDesk) -> None:
    desk.tell(about(1, drill=True), about(2, category=Category.META_DRILL))
    assert [v for v in desk.objects(Circle.RED) if v["type"] in ("indicator", "note", "incident")] == []


def test_what_is_taken_back_is_revoked(desk: TaxiiDesk) -> None:
    (first,) = desk.tell(about(1))
    taken_back = about(
        1,
        category=Category.META_RETRACTION,
        text="a mistake",
        subjects=about(1).subjects[1:],
        references=(Reference(Relation.RETRACTS, first.digest),),
    )
    desk.tell(taken_back, by="cedar")
    assert not [v for v in desk.objects(Circle.CLEAR) if v.get("revoked")]
    desk.tell(taken_back)
    (revoked,) = (v for v in desk.objects(Circle.CLEAR) if v.get("revoked"))
    versions = desk.taxii(f"/collections/clear/objects/{revoked['id']}/versions/").json()["versions"]
    assert (revoked["type"], len(versions), versions[-1]) == ("indicator", 2, revoked["modified"])


def test_nothing_holds_any_more_of_who_told_two_histories(desk: TaxiiDesk) -> None:
    desk.tell(about(1), about(2, tlp=Tlp.AMBER), about(3, subjects=about(3).subjects[1:]))
    desk.tell(about(4), by="cedar")
    other = Feed("brook")
    forged = other.seal(about(7))
    desk.file([forged], at_ms=NOW_MS + 100)
    desk.export()
    for circle, revoked in ((Circle.CLEAR, 2), (Circle.RED, 3)):
        told = [v for v in desk.objects(circle) if v.get("revoked")]
        assert len(told) == revoked
        assert {v["type"] for v in told} == {"indicator", "note"}
    (cedars,) = (v for v in desk.objects(Circle.CLEAR) if v["type"] == "indicator" and not v.get("revoked"))
    assert f"{4 + 2**32:x}" in cedars["pattern"].lower()


def test_findings_and_actions_are_told_to_the_operator_alone(desk: TaxiiDesk) -> None:
    (sealed,) = desk.tell(about(1))
    incident = Reader(desk.config.node.data_dir)
    with incident:
        (row,) = incident.incidents()
    from store_kit import make_rules
    from tocsin_protocol.containment.action import new_action

    action = new_action(
        ledger=b"\x01" * 16, hook="pause", target="vault", arm_epoch=1, incident_id=row.id, decision_id=bytes(32),
        payload=b"x", created_ms=NOW_MS, deadline_ms=NOW_MS + 1,
    )  # fmt: skip
    desk.write(lambda c: insert_intent(c, action, NOW_MS))
    finding = Adjudication(row.id, Category.ASSET_DRAIN, Finding.CONFIRMED, NOW_MS + 50)
    desk.write(lambda c: adjudicate(c, make_rules(), b"\x11" * 32, finding, ()))
    desk.export()
    red = desk.objects(Circle.RED)
    assert {"course-of-action", "opinion"} <= {v["type"] for v in red}
    (told,) = (v for v in red if v["type"] == "incident")
    assert told["extensions"][INCIDENT_EXTENSION]["determination"] == "confirmed"
    for circle in (Circle.CLEAR, Circle.GREEN, Circle.AMBER):
        objects = desk.objects(circle)
        assert not {"course-of-action", "opinion"} & {v["type"] for v in objects}
        assert "confirmed" not in json.dumps(objects)
    assert sealed.digest.hex() in json.dumps(red)


def test_who_tells_of_an_incident_is_our_own_member(desk: TaxiiDesk) -> None:
    desk.tell(about(1))
    objects = {v["id"]: v for v in desk.objects(Circle.CLEAR)}
    (incident,) = (v for v in objects.values() if v["type"] == "incident")
    (indicator,) = (v for v in objects.values() if v["type"] == "indicator")
    assert OWN in objects[incident["created_by_ref"]]["name"].lower()
    assert "brook" in objects[indicator["created_by_ref"]]["name"].lower()


# ----------------------------------------------------------------------------------------------------------------- #


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/taxii+json;version=2.1", 200),
        ("application/taxii+json; version=2.1", 200),
        ('application/taxii+json; version="2.1"', 200),
        ("application/taxii+json", 200),
        ("*/*", 200),
        ("text/html, application/*;q=0.1", 200),
        ("Application/TAXII+JSON;Version=2.1", 200),
        ("application/taxii+json;version=2.0", 406),
        ("application/vnd.oasis.taxii+json; version=2.0", 406),
        ("application/json", 406),
        ("text/html", 406),
        ("", 406),
    ],
)
def test_who_accepts_something_else_gets_a_406(desk: TaxiiDesk, accept: str, status: int) -> None:
    got = desk.ask("GET", "/taxii2/", headers={"accept": accept})
    assert (got.status_code, got.headers["content-type"]) == (status, MEDIA)


def test_a_wrong_key_is_a_401_that_says_how_to_show_one(desk: TaxiiDesk) -> None:
    for header in ("Bearer wrong", "Basic d3Jvbmc=", "Token x", "Basic ?"):
        got = desk.ask("GET", ROOT + objects_path(), Scope.PUBLIC, headers={"authorization": header})
        assert (got.status_code, got.json()["http_status"]) == (401, "401")
        assert "Basic" in got.headers["www-authenticate"]


def test_basic_takes_the_key_as_its_password(desk: TaxiiDesk) -> None:
    import base64

    value = base64.b64encode(f"analyst:{desk.secret(Scope.MEMBER)}".encode()).decode()
    got = desk.ask("GET", ROOT + "/collections/amber/", Scope.PUBLIC, headers={"authorization": f"Basic {value}"})
    assert got.status_code == 200


def test_nothing_can_be_deleted(desk: TaxiiDesk) -> None:
    desk.tell(about(1))
    named = desk.objects(Circle.CLEAR)[-1]["id"]
    assert desk.ask("DELETE", f"{ROOT}/collections/clear/objects/{named}/").status_code == 403
    assert desk.ask("DELETE", f"{ROOT}/collections/red/objects/{named}/", Scope.PUBLIC).status_code == 404
    assert desk.objects(Circle.CLEAR)[-1]["id"] == named


def test_the_host_of_discovery_is_one_that_can_be_one(desk: TaxiiDesk) -> None:
    assert (
        desk.ask("GET", "/taxii2/", headers={"host": "feed.example:8443"}).json()["default"]
        == "http://feed.example:8443/taxii2/tocsin/"
    )
    behind = desk.ask("GET", "/taxii2/", headers={"host": "feed.example", "x-forwarded-proto": "https"}).json()
    assert behind["api_roots"] == ["https://feed.example/taxii2/tocsin/"]
    for host in ('x"><script>', "a b", "evil/path", "a@b:c", "[::"):
        told = desk.ask("GET", "/taxii2/", headers={"host": host}).json()["default"]
        # the server's own name instead, for which this client has no port
        assert told == "http://feed:None/taxii2/tocsin/", host


def test_versions_sort_by_time_whatever_their_digits() -> None:
    versions = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.12Z", "2026-01-01T00:00:01.000Z"]
    assert sorted(versions, key=rank_of) == versions
    assert rank_of("2026-01-01T00:00:00.100Z") == rank_of("2026-01-01T00:00:00.1Z")
    assert taxii_time(NOW_MS) == stix_time(NOW_MS).replace("Z", "000Z")
    assert time_of("time", taxii_time(NOW_MS)) == NOW_MS


def test_versions_that_come_out_of_order_are_first_and_last_all_the_same(desk: TaxiiDesk) -> None:
    times = [stix_time(NOW_MS + shift) for shift in (2000, 0, 3000, 1000)]
    with closing(desk.feed.open_db()) as connection:
        archive = add_collection(connection, "x", alias="x", title="x", description="", tlp=Tlp.CLEAR)
        for at in times:
            value = {"type": "note", "id": "note--1", "created": times[1], "modified": at}
            assert add_object(connection, archive, value, NOW_MS) is not None
            assert add_object(connection, archive, value, NOW_MS) is None

        def versions(which: str) -> list[str]:
            return [e.version for e in read_entries(connection, archive, Filters(versions=(which,)), -1, 10)]

        assert versions("last") == [times[2]]
        assert versions("first") == [times[1]]
        assert versions("all") == times


def test_queries_use_an_index_of_what_they_ask_for(desk: TaxiiDesk) -> None:
    desk.tell(about(1))
    traced: list[str] = []
    with closing(desk.feed.open_db()) as connection:
        (clear,) = (c for c in read_collections(connection) if c.alias == "clear")
        connection.set_trace_callback(traced.append)
        for filters in (
            Filters(),
            Filters(versions=("all",)),
            Filters(types=("note", "incident")),
            Filters(ids=("note--1",)),
            Filters(versions=("first", stix_time(NOW_MS))),
        ):
            read_entries(connection, clear, filters, 0, 10)
        url = {"type": "url", "id": "url--1", "value": "x"}
        for value in (url, {"type": "note", "id": "note--1", "created": stix_time(1), "modified": stix_time(2)}):
            add_object(connection, clear, value, NOW_MS)
            add_object(connection, clear, value | {"modified": stix_time(3)}, NOW_MS)
            last_version(connection, clear, value["id"])
        connection.set_trace_callback(None)
        for query in [text for text in traced if text.startswith(("SELECT", "UPDATE"))]:
            for *_, detail in connection.execute("EXPLAIN QUERY PLAN " + query):
                assert "SCAN" not in detail, (query, detail)
                # the index of last versions is for pages; one object is found by its id
                assert "objects_last" not in detail or " id = " not in query, (query, detail)
                # an object's own versions may be sorted, a collection never is
                assert "TEMP B-TREE" not in detail or " id IN" in query, (query, detail)
