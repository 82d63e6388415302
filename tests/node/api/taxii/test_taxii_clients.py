"""Real clients, and the ways of one that cannot be run here, walk the whole server on a real port."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import requests
import stix2
import stix_kit as kit
from api_kit import SECONDS
from cytaxii2.cytaxii2 import cytaxii2
from stix2 import Filter, TAXIICollectionSink, TAXIICollectionSource
from taxii2client import v21
from taxii2client.exceptions import AccessError
from taxii_kit import TaxiiDesk, about
from tocsin_node.api.access import Scope
from tocsin_node.api.suggestions import State, read_suggestions
from tocsin_protocol.stix.marking import Circle
from tocsin_protocol.stix.naming import stix_time, time_of
from tocsin_protocol.taxonomy import Tlp


@pytest.fixture
def url(desk: TaxiiDesk) -> Iterator[str]:
    desk.tell(*(about(place, text=f"note {place}") for place in range(1, 7)), about(9, tlp=Tlp.AMBER))
    desk.tell(about(1, text="more of it"))
    with desk.served() as address:
        yield address


@pytest.fixture
def operator(desk: TaxiiDesk) -> tuple[str, str]:
    return ("operator", desk.secret(Scope.OPERATOR))


def collection_of(server: v21.Server, alias: str) -> v21.Collection:
    return next(c for c in server.default.collections if c._raw["alias"] == alias)


def test_taxii2_client_walks_from_discovery_to_status(desk: TaxiiDesk, url: str, operator: tuple[str, str]) -> None:
    with v21.Server(f"{url}/taxii2/", user=operator[0], password=operator[1]) as server:
        assert server.title == "Tocsin"
        (root,) = server.api_roots
        assert (root.title, root.max_content_length) == ("Tocsin", 1024 * 1024)
        assert {c._raw["alias"] for c in root.collections} == {"clear", "green", "amber", "red", "inbox"}
        red = collection_of(server, "red")
        assert (red.can_read, red.can_write) == (True, False)
        whole = red.get_objects()["objects"]
        assert whole == desk.objects(Circle.RED)
        manifest = red.get_manifest()["objects"]
        assert [row["id"] for row in manifest] == [value["id"] for value in whole]
        named = next(value for value in whole if value["type"] == "incident")
        assert red.get_object(named["id"])["objects"] == [named]
        assert named["modified"] in red.object_versions(named["id"])["versions"]
        with pytest.raises(AccessError):
            red.delete_object(named["id"])
        inbox = collection_of(server, "inbox")
        status = inbox.add_objects({"objects": [kit.foreign_indicator(), {"type": "nothing"}]})
        assert (status.status, status.success_count, status.failure_count) == ("complete", 1, 1)
        assert root.get_status(status.id).failures == status.failures
        status.refresh()
        assert status.total_count == 2


def test_taxii2_client_changes_the_limit_between_pages(desk: TaxiiDesk, url: str) -> None:
    # as_pages takes on as limit whatever number the first page had
    with v21.Server(f"{url}/taxii2/") as server:
        clear = collection_of(server, "clear")
        pages = list(v21.as_pages(clear.get_objects, per_request=5))
        assert [value for page in pages for value in page["objects"]] == desk.objects(Circle.CLEAR)
        first = clear.get_objects(limit=2)
        rest = clear.get_objects(limit=1000, next=first["next"])
        assert first["objects"] + rest["objects"] == desk.objects(Circle.CLEAR)


def test_taxii2_client_shows_a_wrong_key_as_401(url: str) -> None:
    with (
        v21.Server(f"{url}/taxii2/", user="x", password="wrong") as server,
        pytest.raises(requests.HTTPError, match="401"),
    ):
        _ = server.title


def test_stix2_reads_and_filters_a_collection(desk: TaxiiDesk, url: str) -> None:
    with v21.Server(f"{url}/taxii2/") as server:
        source = TAXIICollectionSource(collection_of(server, "clear"), items_per_page=4)
        found = source.query([Filter("type", "=", "indicator")])
        assert len(found) == 7
        assert all(isinstance(value, stix2.v21.Indicator) for value in found)
        one = source.get(found[0].id)
        assert one == found[0]
        assert source.get("indicator--00000000-0000-4000-8000-000000000000") is None
        (incident,) = (
            v for v in desk.objects(Circle.CLEAR) if v["type"] == "incident" and "2 signals" in v["description"]
        )
        assert len(source.all_versions(incident["id"])) == 2
        after = source.query([Filter("added_after", "=", "2099-01-01T00:00:00Z")])
        assert after == []


def test_stix2_pushes_into_the_inbox_as_a_bundle(desk: TaxiiDesk, url: str, operator: tuple[str, str]) -> None:
    with v21.Server(f"{url}/taxii2/", user=operator[0], password=operator[1]) as server:
        sink = TAXIICollectionSink(collection_of(server, "inbox"), allow_custom=True)
        indicator = kit.foreign_indicator()
        sink.add(stix2.parse(indicator))
        sink.add([kit.foreign_indicator(modified="2026-05-05T00:00:00.000Z")])
        sink.add(json.dumps(kit.foreign_indicator(modified="2026-05-06T00:00:00.000Z")))
    waiting = read_suggestions(desk.feed.db, states=(State.OPEN,), limit=10)
    assert len(waiting) == 3


def test_cytaxii2_walks_the_whole_server(desk: TaxiiDesk, url: str, operator: tuple[str, str]) -> None:
    # it takes the API root's address as it stands, and reads every answer as JSON, errors too
    client = cytaxii2(f"{url}/taxii2/", *operator)
    assert client.discovery_request()["status_code"] == 200
    assert client.root_discovery()["response"]["title"] == "Tocsin"
    listed = client.collection_request()["response"]["collections"]
    red = next(c for c in listed if c["alias"] == "red")
    assert client.collection_data_request(red["id"])["response"] == red
    first = client.poll_request(red["id"], limit=10)["response"]
    rest = client.poll_request(red["id"], limit=500, next=first["next"])["response"]
    assert first["objects"] + rest["objects"] == desk.objects(Circle.RED)
    notes = client.poll_request(red["id"], object_type="note")["response"]["objects"]
    assert {value["type"] for value in notes} == {"note"}
    assert client.poll_request(red["id"], object_id=notes[0]["id"])["response"]["objects"] == notes[:1]
    assert client.poll_request(red["id"], added_after="2099-01-01T00:00:00Z")["response"] == {}
    inbox = next(c for c in listed if c["alias"] == "inbox")
    sent = client.inbox_request(inbox["id"], json.dumps({"objects": [kit.foreign_indicator()]}))
    assert (sent["status_code"], sent["response"]["status"]) == (202, "complete")
    wrong = cytaxii2(f"{url}/taxii2/", "x", "wrong").discovery_request()
    assert (wrong["status_code"], wrong["response"]["http_status"]) == (401, "401")


@dataclass
class OpenCti:
    """How OpenCTI's TAXII ingester asks: one page a round, its state kept over errors, dates cut to milliseconds."""

    root: str
    collection: str
    authorization: str | None = None
    limit: int | None = None
    added_after: str | None = None
    cursor: str | None = None
    kept: list[dict[str, Any]] = field(default_factory=list)

    def round(self) -> int:
        """One run of its scheduler; returns the HTTP status."""
        headers = {"accept": "application/taxii+json;version=2.1"}
        if self.authorization:
            headers["authorization"] = self.authorization
        told = {"next": self.cursor, "added_after": self.added_after, "limit": self.limit}
        params = {name: value for name, value in told.items() if value is not None}
        path = f"{self.root}/collections/{self.collection}/objects/"
        with httpx.Client(timeout=SECONDS, trust_env=False) as client:
            got = client.get(path, params=params, headers=headers)
        if got.status_code != 200:
            return got.status_code
        page = got.json()
        if page.get("objects"):
            self.kept += page["objects"]
            if page.get("more") and page.get("next"):
                self.cursor = page["next"]
            else:
                self.cursor = None
                # a JavaScript date has three digits of a second
                self.added_after = stix_time(time_of("header", got.headers["x-taxii-date-added-last"]))
        else:
            self.cursor = None
        return 200


def test_openctis_ingester_gets_everything_once_in_every_size_of_page(desk: TaxiiDesk, url: str) -> None:
    secret, whole = desk.secret(Scope.MEMBER), desk.objects(Circle.AMBER)
    basic = base64.b64encode(f"opencti:{secret}".encode()).decode()
    for limit, authorization in ((None, f"Bearer {secret}"), (1, f"Bearer {secret}"), (7, f"Basic {basic}")):
        reader = OpenCti(f"{url}/taxii2/tocsin", "amber", authorization, limit)
        rounds = 0
        while len(reader.kept) < len(whole):
            assert reader.round() == 200
            rounds += 1
            assert rounds < 500
        assert reader.kept == whole
        # nothing new: it asks again from where it was, and gets nothing
        assert (reader.round(), reader.cursor, len(reader.kept)) == (200, None, len(whole))


def test_openctis_ingester_goes_on_with_its_cursor_over_errors_and_restarts(desk: TaxiiDesk, url: str) -> None:
    secret = desk.secret(Scope.MEMBER)
    reader = OpenCti(f"{url}/taxii2/tocsin", "amber", f"Bearer {secret}", 5, added_after="2026-01-01T00:00:00.000Z")
    assert reader.round() == 200
    kept = reader.cursor
    assert kept is not None
    reader.authorization = "Bearer wrong"
    assert (reader.round(), reader.cursor) == (401, kept)
    reader.authorization = f"Bearer {secret}"
    with desk.served() as other:  # another server over the same feed.db
        reader.root = f"{other}/taxii2/tocsin"
        desk.tell(about(20))
        # its operator changes where it begins while it holds a cursor
        reader.added_after = "2026-02-02T00:00:00.000Z"
        while reader.round() == 200 and reader.cursor is not None:
            pass
    assert {v["id"] for v in reader.kept} >= {v["id"] for v in desk.objects(Circle.AMBER)}


def test_openctis_ingester_sees_what_is_added_within_one_millisecond(desk: TaxiiDesk, url: str) -> None:
    reader = OpenCti(f"{url}/taxii2/tocsin", "clear", limit=1000)
    assert reader.round() == 200
    desk.tell(*(about(place) for place in range(30, 36)))
    assert reader.round() == 200
    assert {v["id"] for v in reader.kept} == {v["id"] for v in desk.objects(Circle.CLEAR)}
