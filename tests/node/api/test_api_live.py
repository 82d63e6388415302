"""Listening to a real server: what is heard by whom, resuming, and what becomes of those who do not read."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from api_kit import SECONDS, Desk, about, account, wait_until
from protocol_kit import NOW_MS
from tocsin_node.api.access import Scope
from tocsin_node.api.context import Source
from tocsin_node.api.keys import revoke_key
from tocsin_node.api.live.events import LiveEvent, event_of
from tocsin_node.api.live.follower import read_history
from tocsin_node.clock import now_ms
from tocsin_protocol.audit import AuditEntry
from tocsin_protocol.taxonomy import Severity, Tlp
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

# Far more than the buffers of a connection hold.
BATCHES = 60


class Listener:
    """Reads events off a stream, one at a time."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()
        self.last_id: int | None = None

    def next(self) -> tuple[str, dict[str, Any]]:
        """The next event: its name and its data."""
        name, data = "", ""
        for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "id":
                self.last_id = int(value)
            elif field == "event":
                name = value
            elif field == "data":
                data = value
            elif not line and data:
                return name, json.loads(data)
        raise EOFError

    def signals(self, count: int) -> list[str]:
        """The digests of the next so many signals."""
        found: list[str] = []
        while len(found) < count:
            name, data = self.next()
            if name == "signal":
                found.append(data["signal"]["digest"])
        return found


@contextmanager
def listening(url: str, headers: dict[str, str], **query: Any) -> Iterator[Listener]:
    with (
        httpx.Client(timeout=SECONDS, trust_env=False) as client,
        client.stream("GET", f"{url}/v1/live", headers=headers, params=query) as response,
    ):
        assert response.status_code == 200, response.read()
        yield Listener(response)


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A connection whose buffer is small, and stays so."""
    parts = urlsplit(url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.connect((parts.hostname, parts.port))
        yield connection


def ask(connection: socket.socket, headers: dict[str, str]) -> None:
    """Listen, and read no more than that it began."""
    lines = ("GET /v1/live HTTP/1.1", "host: feed", f"authorization: {headers['authorization']}", "", "")
    connection.sendall("\r\n".join(lines).encode())
    assert connection.recv(15) == b"HTTP/1.1 200 OK"


def loud(desk: Desk) -> list[str]:
    """A batch of signals of one incident, as large as they may be; their digests."""
    sealed = [desk.publisher.seal(about(1, text="x" * 4_096)) for _ in range(20)]
    desk.file(sealed)
    return [envelope.digest.hex() for envelope in sealed]


def counted(desk: Desk, name: str, **labels: str) -> float:
    """What one of the feed's metrics says now."""
    return desk.feed.metrics.registry.get_sample_value(name, labels) or 0.0


def test_each_scope_hears_what_it_may_see(desk: Desk) -> None:
    with (
        desk.served() as url,
        listening(url, {}) as public,
        listening(url, desk.key(Scope.MEMBER)) as member,
        listening(url, desk.key(Scope.OPERATOR)) as operator,
    ):
        said = {
            tlp: e.digest.hex()
            for tlp, e in zip(
                Tlp, desk.say(*(about(n, tlp=tlp) for n, tlp in enumerate(Tlp)), index=False), strict=True
            )
        }
        last = desk.say(about(9), index=False)[0].digest.hex()
        assert operator.signals(6) == [*said.values(), last]
        assert member.signals(4) == [said[Tlp.CLEAR], said[Tlp.GREEN], said[Tlp.AMBER], last]
        assert public.signals(2) == [said[Tlp.CLEAR], last]


def test_a_listener_resumes_where_it_was(desk: Desk) -> None:
    with desk.served() as url:
        headers = desk.key(Scope.OPERATOR)
        with listening(url, headers, after=0) as first:
            said = [e.digest.hex() for e in desk.say(*(about(n) for n in range(3)), index=False)]
            assert first.signals(2) == said[:2]
        said += [e.digest.hex() for e in desk.say(*(about(n) for n in range(3, 300)), index=False)]
        with listening(url, headers | {"last-event-id": str(first.last_id)}) as second:
            assert second.signals(298) == said[2:]
        with listening(url, headers, after=0) as whole:
            assert whole.signals(300) == said


def test_the_newest_events_go_on_and_one_who_is_left_behind_is_told_where_to_resume(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin_node.api.live.ring.MAX_EVENTS", 50)
    # by the events alone, however long they take
    for place in ("routes.live", "protocol"):
        monkeypatch.setattr(f"tocsin_node.api.{place}.SEND_SECONDS", 10 * SECONDS)
    with desk.served() as url:
        headers = desk.key(Scope.OPERATOR)
        with connected(url) as slow, listening(url, headers) as quick:
            # it takes nothing more: what is sent to it fills the buffers, and then the server waits
            ask(slow, headers)
            heard: list[str] = []
            said: list[str] = []
            for _ in range(BATCHES):
                sealed = loud(desk)
                said += sealed
                heard += quick.signals(len(sealed))
            assert heard == said
            slow.settimeout(SECONDS)
            received = b""
            while b"event: cut" not in received[-200_000:]:
                data = slow.recv(1_000_000)
                assert data
                received += data
            tail = received[received.rindex(b"event: cut") :].split(b"data: ")[1].split(b"\n")[0]
            cut = json.loads(tail)
        assert cut["kind"] == "cut"
        got = received.count(b"event: signal")
        assert 0 < got < len(said)
        with listening(url, headers | {"last-event-id": str(cut["resume"])}) as again:
            assert again.signals(1) == [said[got]]


def test_one_who_reads_nothing_at_all_is_disconnected(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.routes.live.SEND_SECONDS", 0.5)
    with desk.served() as url, connected(url) as deaf:
        ask(deaf, desk.key(Scope.OPERATOR))
        for _ in range(BATCHES):
            loud(desk)
        wait_until(lambda: counted(desk, "tocsin_feed_listeners_cut_total", why="deaf") > 0)
        deaf.settimeout(SECONDS)
        # what was sent before is read, and then there is nothing but the end
        with suppress(ConnectionResetError):
            while deaf.recv(1_000_000):
                pass


def test_nothing_is_rendered_for_those_who_do_not_listen(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.live.listeners.LINGER_SECONDS", 0.0)
    monkeypatch.setattr("tocsin_node.api.live.listeners.KEEP_ALIVE_SECONDS", 0.1)
    rendered: list[frozenset[Scope]] = []

    def rendering(source: Source, entry: AuditEntry, scopes: frozenset[Scope]) -> LiveEvent:
        rendered.append(scopes)
        return event_of(source, entry, scopes)

    monkeypatch.setattr("tocsin_node.api.live.follower.event_of", rendering)
    with desk.served() as url:
        with listening(url, desk.key(Scope.MEMBER), kind="signal") as member:
            first = desk.say(about(1), index=False)
            assert member.signals(1) == [first[0].digest.hex()]
            with listening(url, {}, kind="signal") as public:
                second = desk.say(about(2), index=False)
                # each hears it, whenever the one who renders has heard of them
                assert member.signals(1) == public.signals(1) == [second[0].digest.hex()]
        assert Scope.INSURER not in frozenset().union(*rendered)
        wait_until(lambda: counted(desk, "tocsin_feed_listeners", scope="member") == 0)
        third = desk.say(about(3), index=False)
        with listening(url, desk.key(Scope.MEMBER), kind="signal", after=0) as again:
            assert again.signals(3) == [e.digest.hex() for e in (*first, *second, *third)]
        assert counted(desk, "tocsin_feed_events_sent_total") == 6


def test_the_record_is_read_no_further_than_the_ring_has_come(desk: Desk) -> None:
    desk.say(about(1), about(2))
    with desk.feed.source() as source:
        head = source.reader.audit_head()
    desk.say(about(3), index=False)
    for up_to in (1, head):
        events = read_history(desk.feed, 0, up_to, Scope.OPERATOR)
        assert [event.sequence for event in events] == list(range(1, up_to + 1))
    assert read_history(desk.feed, head, head, Scope.OPERATOR) == []


def test_a_filter_keeps_signals_and_nothing_else(desk: Desk) -> None:
    with desk.served() as url:
        headers = desk.key(Scope.OPERATOR)
        with (
            listening(url, headers, subject=account(2)) as by_subject,
            listening(url, headers, severity="critical") as by_severity,
            listening(url, headers, kind="incident") as by_kind,
        ):
            said = [
                e.digest.hex() for e in desk.say(about(1), about(2), about(3, severity=Severity.CRITICAL), index=False)
            ]
            assert by_subject.next()[1]["signal"]["digest"] == said[1]
            assert by_severity.next()[1]["signal"]["digest"] == said[2]
            assert [by_kind.next()[0] for _ in range(3)] == ["incident"] * 3


def test_an_incident_is_heard_of_by_who_may_see_something_of_it(desk: Desk) -> None:
    with desk.served() as url, listening(url, {}, kind="incident") as public:
        desk.say(about(1, tlp=Tlp.AMBER), about(2), index=False)
        _, data = public.next()
        assert (data["incident"]["signals"], data["incident"]["first_ms"]) == (1, NOW_MS + 1)


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"authorization": "Bearer x"}, {}, 401),
        ({}, {"after": 10**6}, 400),
        ({"last-event-id": "1" * 9}, {}, 400),
        ({"last-event-id": "x"}, {}, 422),
        ({"last-event-id": "-1"}, {}, 422),
        ({}, {"kind": "secret"}, 422),
        ({}, {"category": "nothing"}, 400),
        ({}, {"x": 1}, 422),
    ],
)
def test_who_cannot_listen_is_told_why(desk: Desk, headers: dict[str, str], query: dict[str, Any], status: int) -> None:
    with desk.served() as url, httpx.Client(timeout=SECONDS, trust_env=False) as client:
        answer = client.get(f"{url}/v1/live", headers=headers, params=query)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


def test_so_many_listen_from_one_address(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.live.listeners.MAX_OF_ADDRESS", 1)
    with desk.served() as url:
        with listening(url, {}), httpx.Client(timeout=SECONDS, trust_env=False) as client:
            assert client.get(f"{url}/v1/live").status_code == 429
            with listening(url, desk.key(Scope.MEMBER)):
                pass
        # its place is free again once the feed has seen that it left
        wait_until(lambda: counted(desk, "tocsin_feed_listeners", scope="public") == 0)
        with listening(url, {}):
            pass


def test_a_revoked_key_hears_nothing_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.live.listeners.KEEP_ALIVE_SECONDS", 0.1)
    with desk.served() as url:
        headers = desk.key(Scope.MEMBER)
        with listening(url, headers) as member:
            revoke_key(desk.feed.db, headers["authorization"].split("_")[1], now_ms())
            name, data = member.next()
            assert (name, data["kind"]) == ("cut", "cut")
            assert "revoked" in data["reason"]
            with pytest.raises(EOFError):
                member.next()


def socket_of(address: str, headers: dict[str, str] | None = None) -> ClientConnection:
    """A WebSocket of this machine."""
    return connect(address, additional_headers=headers, open_timeout=SECONDS, proxy=None)


def next_of(listener: ClientConnection) -> dict[str, Any]:
    """The next event; that it was quiet meanwhile is none."""
    while (heard := json.loads(listener.recv(SECONDS)))["kind"] == "quiet":
        pass
    return heard  # type: ignore[no-any-return]


def test_the_same_is_heard_over_a_websocket(desk: Desk) -> None:
    with desk.served() as url:
        address = url.replace("http", "ws") + "/v1/live/ws"
        with socket_of(f"{address}?kind=signal", desk.key(Scope.MEMBER)) as member:
            said = desk.say(about(1), about(2, tlp=Tlp.RED), about(3, tlp=Tlp.AMBER), index=False)
            heard = [next_of(member) for _ in range(2)]
            assert [event["signal"]["digest"] for event in heard] == [said[0].digest.hex(), said[2].digest.hex()]
            assert heard[0]["kind"] == "signal"
        with socket_of(f"{address}?after=0&kind=signal") as resumed:
            assert next_of(resumed) == heard[0]
        for query, headers, status in (
            ("", {"authorization": "Bearer x"}, 401),
            ("", {"origin": "https://example.org"}, 403),
            ("?after=99999999", {}, 400),
            ("?after=x", {}, 403),
        ):
            with pytest.raises(InvalidStatus) as caught, socket_of(address + query, headers):
                pass
            assert caught.value.response.status_code == status


def test_what_one_sends_over_a_websocket_is_not_read(desk: Desk) -> None:
    with desk.served() as url:
        address = url.replace("http", "ws") + "/v1/live/ws?kind=signal&after=0"
        with socket_of(address) as listener:
            for sent in ("text", b"bytes", ""):
                listener.send(sent)
            # answered behind them
            listener.ping().wait(SECONDS)
            (envelope,) = desk.say(about(1), index=False)
            assert next_of(listener)["signal"]["digest"] == envelope.digest.hex()
