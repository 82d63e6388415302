"""Archives that are imported, and other servers' collections that are read: duplicates and disorder are harmless."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import stix_kit as kit
from taxii_kit import MEDIA, TaxiiDesk, about
from tocsin_node.api.access import Scope
from tocsin_node.api.suggestions import State, read_suggestions
from tocsin_node.api.taxii.importing import MAX_LINE_BYTES, Imported, import_dump
from tocsin_node.api.taxii.inbox import OWN_ALIASES
from tocsin_node.api.taxii.pulling import MAX_PAGES, Pulled, pull_collection
from tocsin_node.clock import now_ms
from tocsin_node.errors import NodeError
from tocsin_protocol.stix.marking import TLP_MARKINGS, Circle
from tocsin_protocol.stix.naming import stix_time
from tocsin_protocol.taxonomy import Tlp

DAY_MS = 86_400_000


def row(number: int, at_ms: int, **changes: Any) -> dict[str, Any]:
    """A line of a dump: an indicator of its own, added at a time."""
    named = f"indicator--00000000-0000-4000-8000-{number:012d}"
    return {"date_added": stix_time(at_ms), "object": kit.foreign_indicator(id=named, **changes)}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in rows))
    return path


def bring(desk: TaxiiDesk, path: Path, tlp: Tlp = Tlp.GREEN, alias: str = "old") -> Imported:
    with closing(desk.feed.open_db()) as connection:
        return import_dump(connection, path, alias=alias, title="Old feed", tlp=tlp, known=OWN_ALIASES)


def dates(desk: TaxiiDesk, alias: str = "old") -> list[tuple[str, str]]:
    listed = desk.taxii(f"/collections/{alias}/manifest/", limit=1000, **{"match[version]": "all"}).json()
    return [(item["id"][-3:], item["date_added"]) for item in listed.get("objects", [])]


def shown(at_ms: int) -> str:
    return stix_time(at_ms).replace("Z", "000Z")


def test_a_dump_is_served_with_its_dates_in_their_order(desk: TaxiiDesk, tmp_path: Path) -> None:
    path = write(tmp_path / "dump", row(1, 1000), "", row(3, 3000), row(2, 2000), row(4, 4000))
    done = bring(desk, path)
    assert (done.added, done.duplicates, done.out_of_order, done.late, done.refused) == (4, 0, 1, 0, 0)
    assert dates(desk) == [(f"00{n}", shown(1000 * n)) for n in (1, 2, 3, 4)]
    again = bring(desk, path)
    assert (again.added, again.duplicates) == (0, 4)
    assert len(dates(desk)) == 4


def test_objects_of_one_moment_get_moments_of_their_own(desk: TaxiiDesk, tmp_path: Path) -> None:
    done = bring(desk, write(tmp_path / "dump", *(row(n, 1000) for n in (1, 2, 3))))
    assert (done.added, done.late) == (3, 2)
    assert dates(desk) == [("001", shown(1000)), ("002", shown(1001)), ("003", shown(1002))]


def test_a_line_that_is_dated_later_than_now_is_refused(desk: TaxiiDesk, tmp_path: Path) -> None:
    done = bring(desk, write(tmp_path / "dump", row(1, 1000), row(2, now_ms() + DAY_MS)))
    assert (done.added, done.refused) == (1, 1)
    assert "still to come" in done.refusals[0]


def test_what_has_no_versions_is_known_by_no_text_of_a_stranger(desk: TaxiiDesk, tmp_path: Path) -> None:
    named = "software--00000000-0000-4000-8000-000000000001"
    value = {"type": "software", "id": named, "spec_version": "2.1", "name": "x", "modified": "<script>"}
    assert bring(desk, write(tmp_path / "dump", {"date_added": stix_time(1000), "object": value})).added == 1
    (told,) = desk.taxii("/collections/old/manifest/", limit=1000).json()["objects"]
    assert told["version"] == told["date_added"]


def test_a_later_dump_adds_what_is_new_and_what_is_late_comes_after_it(desk: TaxiiDesk, tmp_path: Path) -> None:
    bring(desk, write(tmp_path / "first", row(1, 1000), row(3, 3000)))
    later = kit.foreign_indicator()["modified"].replace("06.000", "07.000")
    done = bring(desk, write(tmp_path / "second", row(1, 1000), row(2, 2000), row(3, 5000, modified=later)))
    assert (done.added, done.duplicates, done.late) == (2, 1, 1)
    assert dates(desk) == [("001", shown(1000)), ("003", shown(3000)), ("002", shown(3001)), ("003", shown(5000))]
    # who has read up to the third second sees the late one
    late = desk.taxii("/collections/old/objects/", added_after=stix_time(3000)).json()["objects"]
    assert [value["id"][-3:] for value in late] == ["002", "003"]


def test_who_may_read_an_archive_is_said_when_it_is_imported(desk: TaxiiDesk, tmp_path: Path) -> None:
    bring(desk, write(tmp_path / "dump", row(1, 1000)), Tlp.GREEN)
    for scope, status in ((Scope.PUBLIC, 404), (Scope.INSURER, 200), (Scope.MEMBER, 200), (Scope.OPERATOR, 200)):
        assert desk.taxii("/collections/old/objects/", scope).status_code == status
    with pytest.raises(NodeError, match="is TLP:GREEN already"):
        bring(desk, tmp_path / "dump", Tlp.CLEAR)


def test_an_archive_takes_nothing_that_is_marked_above_it(desk: TaxiiDesk, tmp_path: Path) -> None:
    amber, unknown = [TLP_MARKINGS[Tlp.AMBER]], ["marking-definition--of-somebody"]
    clear = [TLP_MARKINGS[Tlp.CLEAR]]
    rows = (row(n, n, object_marking_refs=refs) for n, refs in enumerate((amber, unknown, clear), 1))
    done = bring(desk, write(tmp_path / "dump", *rows))
    assert (done.added, done.refused) == (1, 2)
    assert "is TLP:AMBER and the collection TLP:GREEN" in done.refusals[0]
    assert "is TLP:RED" in done.refusals[1]


def test_faulty_lines_are_refused_by_number_and_the_rest_is_kept(desk: TaxiiDesk, tmp_path: Path) -> None:
    faulty = [
        "{",
        "7",
        "{}",
        '{"date_added": 7, "object": {}}',
        json.dumps(row(1, 1000) | {"more": 1}),
        json.dumps({"date_added": stix_time(0), "object": {"type": "x"}}),
        "[" * 1000,
        "\ufffd\x00",
    ]
    done = bring(desk, write(tmp_path / "dump", row(1, 1000), *faulty, row(2, 2000)))
    assert (done.added, done.refused) == (2, len(faulty))
    assert [refusal.split(":")[0] for refusal in done.refusals] == [f"line {n}" for n in range(2, 2 + len(faulty))]


def test_what_is_no_dump_at_all_is_an_error(desk: TaxiiDesk, tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="longer than"):
        bring(desk, write(tmp_path / "long", "x" * (MAX_LINE_BYTES + 10)))
    with pytest.raises(NodeError, match="cannot be read"):
        bring(desk, tmp_path / "none")
    for alias in OWN_ALIASES:
        with pytest.raises(NodeError, match="one of the node's own"):
            bring(desk, tmp_path / "long", alias=alias)
    assert bring(desk, write(tmp_path / "empty")).added == 0


def test_stops_in_the_middle_lose_nothing(desk: TaxiiDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "dump", *(row(n, 1000 * n) for n in range(1, 8)))
    monkeypatch.setattr("tocsin_node.api.taxii.importing.LINES_AT_ONCE", 2)
    calls = 0

    def failing(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise RuntimeError("power cut")
        from tocsin_node.api.taxii.objects import add_object

        return add_object(*arguments)

    monkeypatch.setattr("tocsin_node.api.taxii.importing.add_object", failing)
    with pytest.raises(RuntimeError):
        bring(desk, path)
    monkeypatch.undo()
    done = bring(desk, path)
    assert (done.added, done.duplicates) == (3, 4)
    assert dates(desk) == [(f"00{n}", shown(1000 * n)) for n in range(1, 8)]


# ----------------------------------------------------------------------------------------------------------------- #


def pull(desk: TaxiiDesk, url: str, bearer: str | None = None, auth: Any = None) -> Pulled:
    with closing(desk.feed.open_db()) as connection:
        return pull_collection(connection, "other", url, auth, bearer)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[TaxiiDesk]:
    opened = TaxiiDesk(tmp_path / "other")
    yield opened
    opened.close()


def test_another_feed_is_read_to_its_end_and_then_only_what_is_new(desk: TaxiiDesk, other: TaxiiDesk) -> None:
    other.tell(*(about(place, text=f"note {place}", tlp=Tlp.AMBER) for place in range(1, 5)))
    with other.served() as url:
        address = f"{url}/taxii2/tocsin/collections/amber"
        first = pull(desk, address, other.secret(Scope.MEMBER))
        assert (first.new, first.faulty, first.objects) == (8, 0, len(other.objects(Circle.AMBER)))
        assert pull(desk, address, auth=("reader", other.secret(Scope.MEMBER))).objects == 0
        other.tell(about(9, tlp=Tlp.AMBER))
        assert pull(desk, address + "/", other.secret(Scope.MEMBER)).new > 0
        with pytest.raises(NodeError, match="answers 401"):
            pull(desk, address, "wrong")
        with pytest.raises(NodeError, match="answers 404"):
            pull(desk, address)
    waiting = read_suggestions(desk.feed.db, states=(State.OPEN,), limit=100)
    assert {s.source for s in waiting} == {"taxii:other"}
    assert {s.document["tlp"] for s in waiting} == {"amber"}
    assert "asset.drain" in {s.document["category"] for s in waiting}


@contextmanager
def answering(*pages: tuple[int, dict[str, str], bytes]) -> Iterator[str]:
    """A server that gives these pages, and then the last of them again and again."""
    told = list(pages)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = told.pop(0) if len(told) > 1 else told[0]
            self.send_response(status)
            for name, value in ({"content-type": MEDIA, "content-length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/root/collections/x"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def page(*objects: Any, **more: Any) -> bytes:
    return json.dumps({"objects": list(objects), **more}).encode()


def test_faulty_objects_are_counted_and_named_and_the_rest_is_kept(desk: TaxiiDesk) -> None:
    body = page(kit.foreign_indicator(), {"type": "x"}, 7, kit.foreign_indicator(spec_version="2.0"))
    with answering((200, {"x-taxii-date-added-last": "2026-01-01T00:00:00.000001Z"}, body)) as url:
        pulled = pull(desk, url)
        assert (pulled.new, pulled.faulty, pulled.pages) == (1, 3, 1)
        assert "spec_version" in pulled.faults[-1]
        assert pull(desk, url).known == 1


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (500, {}, b"{}", "answers 500"),
        (302, {"location": "http://127.0.0.1:1/"}, b"", "answers 302"),
        (200, {}, b"<html>", "no answer of TAXII"),
        (200, {}, b"[]", "a map is wanted"),
        (200, {}, b"[" * 100_000, "nested"),
        (200, {}, b'{"objects": 7}', "not a list"),
        (200, {}, page(1, more=True, next=7), "`next`"),
        (200, {}, page(1, more=True, next="x" * 5000), "`next`"),
        (200, {"x-taxii-date-added-last": "soon"}, page(1), "no answer of TAXII"),
    ],
)
def test_what_is_no_taxii_is_told_so(
    desk: TaxiiDesk, status: int, headers: dict[str, str], body: bytes, said: str
) -> None:
    with answering((status, headers, body)) as url, pytest.raises(NodeError, match=said):
        pull(desk, url)
    assert read_suggestions(desk.feed.db, states=(State.OPEN,), limit=10) == []


def test_a_server_that_never_ends_is_left(desk: TaxiiDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.taxii.pulling.MAX_PAGES", 5)
    assert MAX_PAGES > 5
    endless = page(kit.foreign_indicator(), more=True, next="again")
    with answering((200, {}, endless)) as url, pytest.raises(NodeError, match="more than 5 pages"):
        pull(desk, url)
    with answering((200, {}, page(more=True, next="again"))) as url:
        assert pull(desk, url).pages == 1


def test_a_page_that_comes_too_slowly_is_left(desk: TaxiiDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.taxii.pulling.PAGE_SECONDS", -1.0)
    with answering((200, {}, page())) as url, pytest.raises(NodeError, match="takes more than"):
        pull(desk, url)


def test_a_page_is_not_unfolded(desk: TaxiiDesk) -> None:
    packed = gzip.compress(b" " * 100_000_000)
    with answering((200, {"content-encoding": "gzip"}, packed)) as url, pytest.raises(NodeError, match="not JSON"):
        pull(desk, url)


def test_a_page_that_is_too_large_is_cut_off(desk: TaxiiDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.taxii.pulling.MAX_PAGE_BYTES", 1000)
    with answering((200, {}, page("x" * 2000))) as url, pytest.raises(NodeError, match="more than 1000 bytes"):
        pull(desk, url)


@pytest.mark.parametrize("url", ["ftp://x.example/c", "x", "http://", "file:///etc/passwd", "http://feed.example/c"])
def test_an_address_that_is_none_or_would_show_the_key_is_refused(desk: TaxiiDesk, url: str) -> None:
    with pytest.raises(NodeError, match="wanted"):
        pull(desk, url, "key")


def test_a_server_that_is_not_there_is_named(desk: TaxiiDesk) -> None:
    with pytest.raises(NodeError, match="does not answer"):
        pull(desk, "http://127.0.0.1:1/c")
