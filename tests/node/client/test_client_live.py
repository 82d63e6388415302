"""Following: whatever the connection does, each event comes once and in order."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
import tocsin_client.client as blocking
import tocsin_client.following as following
from api_kit import SECONDS, about
from client_kit import PIN, PIN_WITH_ROSTERS, Node
from hypothesis import given
from hypothesis import strategies as st
from lying_feed import raw_server
from tocsin_client import BadAnswer, FeedClient, LiveEvent, NotVerified, Problem, RecordReplaced, Unreachable
from tocsin_client.errors import ClientError
from tocsin_client.following import Cut, Following
from tocsin_client.results import ShownEvent
from tocsin_client.sse import MAX_EVENT_BYTES, EventParser, ServerEvent
from tocsin_node.api.access import Scope


def take(events: Iterator[LiveEvent], many: int) -> list[LiveEvent]:
    ends, found = time.monotonic() + SECONDS, []
    for event in events:
        found.append(event)
        assert time.monotonic() < ends
        if len(found) == many:
            break
    return found


def test_a_follower_with_a_state_goes_on_where_he_was(node: Node, tmp_path: Path) -> None:
    sealed = node.say(*(about(n) for n in range(1, 6)))
    state = tmp_path / "state"
    with node.served() as url:
        with FeedClient(url, PIN_WITH_ROSTERS, state=state) as client:
            with closing(client.live(after=0, kind=["signal"])) as events:
                first = take(events, 3)
            client.keep(first[-1])
        with FeedClient(url, PIN_WITH_ROSTERS, state=state) as client:
            events = client.live(kind=["signal"])
            second = take(events, 2)
            sealed += node.say(about(6))
            second += take(events, 1)
            events.close()
    found = [event.signal.envelope for event in (*first, *second) if event.signal]
    assert found == sealed


def test_what_the_state_holds_is_at_most_the_last_event_behind(node: Node, tmp_path: Path) -> None:
    node.say(*(about(n) for n in range(1, 4)))
    state = tmp_path / "state"
    with (
        node.served() as url,
        FeedClient(url, PIN_WITH_ROSTERS, state=state) as client,
        closing(client.live(after=0, kind=["signal"])) as events,
    ):
        found = take(events, 3)
    assert json.loads(state.read_bytes())["cursor"] == found[1].sequence


def test_the_operator_is_handed_every_kind_of_entry(node: Node) -> None:
    (sealed,) = node.say(about(1))
    node.show_log()
    with node.served() as url, FeedClient(url, PIN, key=node.feed_key(Scope.OPERATOR)) as client:
        with closing(client.live(after=0)) as events:
            found = {event.kind: event for event in take(events, node.get("/v1/log").json()["size"])}
        incident = found["incident"].incident
        assert incident is not None
        assert client.incident(incident.id).members == ("brook",)
        assert found["roster"].more is not None
        assert found["signal"].about == sealed.digest.hex()


def test_a_stream_begins_with_its_place(node: Node) -> None:
    node.say(about(1))
    node.show_log()
    size = node.get("/v1/log").json()["size"]
    with node.served() as url, httpx.stream("GET", url + "/v1/live", timeout=SECONDS) as answer:
        assert next(answer.iter_raw()) == f": tocsin live\nid: {size}\n\n".encode()


class Script(BaseHTTPRequestHandler):
    """Answers each request to /v1/live with the next part of a script, and closes."""

    parts: list[tuple[int, dict[str, str], bytes]]
    asked: list[str | None]

    def do_GET(self) -> None:
        cls = type(self)
        cls.asked.append(self.headers.get("last-event-id"))
        status, headers, body = cls.parts.pop(0) if cls.parts else (404, {}, b"")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def event(sequence: int, /, **changes: Any) -> bytes:
    shown = {"sequence": sequence, "at_ms": 1, "kind": "node", "about": ""} | changes
    return f"id: {sequence}\nevent: node\ndata: {json.dumps(shown)}\n\n".encode()


def cut(resume: int) -> bytes:
    return (
        b"event: cut\ndata: " + json.dumps({"kind": "cut", "reason": "it stops", "resume": resume}).encode() + b"\n\n"
    )


def script(*parts: tuple[int, dict[str, str], bytes]) -> type[Script]:
    return type("Scripted", (Script,), {"parts": list(parts), "asked": []})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FIRST_PAUSE_SECONDS", 0.001)


@pytest.mark.usefixtures("quick")
def test_a_stream_is_taken_up_again_and_what_comes_twice_is_dropped() -> None:
    handler = script(
        (200, {}, b": tocsin live\nid: 4\n\n"),
        (200, {}, event(5) + event(6) + event(7)[:-3]),
        (503, {}, b'{"title": "x", "status": 503, "detail": "the index is made"}'),
        (200, {}, event(6) + event(7) + event(5) + cut(9)),
        (200, {}, b": still here\nid: 11\n\n" + event(12)),
        (429, {"retry-after": "0"}, b"no json"),
    )
    away: list[ClientError] = []
    with raw_server(handler) as url, FeedClient(url, None) as client:
        events = client.live(away=lambda error, pause: away.append(error))
        assert [one.sequence for one in take(events, 4)] == [5, 6, 7, 12]
        with pytest.raises(Problem, match="404"):
            next(events)
    assert handler.asked == [None, "4", "6", "6", "9", "12", "12"]
    assert [type(error) for error in away] == [Unreachable, Unreachable, Problem, Cut, Unreachable, Problem]
    assert "the index is made" in str(away[2])


@pytest.mark.usefixtures("quick")
def test_a_stream_on_which_nothing_comes_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "LIVE_TIMEOUT", httpx.Timeout(0.2))
    ended = threading.Event()

    class Silent(Script):
        def do_GET(self) -> None:
            self.asked.append(None)
            self.send_response(200)
            self.end_headers()
            if len(self.asked) == 1:
                ended.wait(SECONDS)
            else:
                self.wfile.write(event(1))

    Silent.asked, Silent.parts = [], []
    away: list[ClientError] = []

    def note(error: ClientError, pause: float) -> None:
        away.append(error)
        # the next one gets as long as it takes
        monkeypatch.setattr(blocking, "LIVE_TIMEOUT", httpx.Timeout(2 * SECONDS))

    with raw_server(Silent) as url, FeedClient(url, None) as client:
        try:
            events = client.live(away=note)
            assert next(events).sequence == 1
            assert isinstance(away[0], Unreachable)
        finally:
            ended.set()
            events.close()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (event(3) + cut(2), RecordReplaced),
        (b"id: 3\ndata: {\n\n", BadAnswer),
        (b"id: three\ndata: {}\n\n", BadAnswer),
        (b"data: {}\n\n", BadAnswer),
        (event(3, sequence=4), BadAnswer),
        (b"event: cut\ndata: {}\n\n", BadAnswer),
        (b"data: " + bytes(MAX_EVENT_BYTES + 1), BadAnswer),
        (b"data: x\n" * (MAX_EVENT_BYTES // 7 + 1), BadAnswer),
    ],
)
def test_a_stream_that_makes_no_sense_ends_with_its_reason(body: bytes, error: type[ClientError]) -> None:
    with raw_server(script((200, {}, body))) as url, FeedClient(url, None) as client, pytest.raises(error):
        list(client.live())


def test_a_signal_in_the_stream_that_is_not_verified_is_refused_and_the_next_one_comes(node: Node) -> None:
    one, two = node.say(about(1), about(2))

    def shown(sequence: int, digest: bytes, encoded: bytes) -> bytes:
        signal = {"encoded": encoded.hex(), "digest": digest.hex(), "received_ms": 1, "path": "gossip"}
        signal |= {"standing": "admitted", "incident": None}
        return event(sequence, kind="signal", about=digest.hex(), signal=signal)

    body = (
        shown(1, one.digest, two.encoded)
        + shown(2, two.digest, two.encoded[:-1] + b"\0")
        + shown(3, two.digest, two.encoded)
    )
    told: list[NotVerified] = []
    with raw_server(script((200, {}, body))) as url, FeedClient(url, PIN_WITH_ROSTERS) as client:
        assert next(client.live(refused=told.append)).sequence == 3
    assert len(told) == 2
    with (
        raw_server(script((200, {}, body))) as url,
        FeedClient(url, PIN_WITH_ROSTERS) as client,
        pytest.raises(NotVerified),
    ):
        next(client.live())


def test_pauses_double_up_to_a_bound_and_begin_anew_when_something_comes() -> None:
    follow, error = Following(None), Unreachable("away")
    assert [follow.after(error, 0.5) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    follow.begin()
    assert list(follow.take(event(1))) == [ShownEvent(sequence=1, at_ms=1, kind="node", about="")]
    assert follow.after(error, 0.5) == 1
    # what the feed asks for is kept to, up to a bound
    assert follow.after(Problem(429, "slow down", retry_after_s=7.0), 0.0) == 7
    assert follow.after(Problem(503, "away", retry_after_s=1e9), 0.0) == following.MAX_ASKED_PAUSE_SECONDS
    with pytest.raises(Problem):
        follow.after(Problem(401, "the key has expired"), 0.0)


@given(st.data())
def test_events_are_the_same_however_the_bytes_are_cut(data: st.DataObject) -> None:
    text = b": hello\nid: 1\n\nid: 2\nevent: a\ndata: x\ndata:y\r\n\r\nretry: 5\nid: 3\ndata\n\n:\n\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    parser, found = EventParser(), []
    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += parser.take(text[begin:end])
    assert found == [ServerEvent("1", "message", b""), ServerEvent("2", "a", b"x\ny"), ServerEvent("3", "message", b"")]
