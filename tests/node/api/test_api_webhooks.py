"""Webhooks to real receivers: in order, signed, again after a fault, given up after many, and to nobody else."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_kit import SECONDS, Desk, about, make_certificate, wait_until
from standardwebhooks.webhooks import Webhook as Judge
from tocsin_node.api.access import Scope
from tocsin_node.api.live import delivering, outward
from tocsin_node.api.live.events import LiveFilter
from tocsin_node.api.live.outward import NotAllowed, Reach, open_client, post
from tocsin_node.api.subscriptions import (
    Webhook,
    WebhookState,
    add_webhook,
    dead_letters,
    list_webhooks,
    remove_webhook,
    resume_webhook,
    retry_dead,
)
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.taxonomy import Category, Severity, Tlp

SECRET = b"s" * 32
SIGNALS = LiveFilter(frozenset((EntryKind.SIGNAL,)))
LOCAL = ("127.0.0.0/8",)
ARRIVED = ("tocsin_feed_webhook_tries_total", {"outcome": "arrived"})


@dataclass
class Receiver:
    """A server that keeps what it is sent and answers as it is told to."""

    url: str = ""
    got: queue.Queue[tuple[dict[str, str], bytes]] = field(default_factory=queue.Queue)
    statuses: list[int] = field(default_factory=list)

    def next(self) -> dict[str, Any]:
        """The next event, once its signature is found right."""
        headers, body = self.got.get(timeout=SECONDS)
        return Judge(SECRET).verify(body, headers)  # type: ignore[no-any-return]


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = receiver.statuses.pop(0) if receiver.statuses else 204
            if status < 300:
                receiver.got.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"{receiver.url}/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def delivering_desk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """One whose webhooks may reach this machine, are tried again at once, and never for its being slow."""
    monkeypatch.setattr(outward, "POST_SECONDS", SECONDS)
    monkeypatch.setattr(delivering, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(delivering, "MAX_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(delivering, "LOOK_SECONDS", 0.05)
    section = desk.config.feed.model_copy(update={"webhook_networks": LOCAL})
    desk.config = desk.config.model_copy(update={"feed": section})
    return desk


def subscribe(desk: Desk, url: str, scope: Scope = Scope.OPERATOR, wanted: LiveFilter = SIGNALS, after: int = 0) -> str:
    return add_webhook(desk.feed.db, url, "test", scope, wanted, SECRET, 1, after)


def wait_arrived(desk: Desk, count: int) -> None:
    """Until the feed has the answers to so many events that arrived: the receiver has them before it does."""
    wait_until(lambda: desk.feed.metrics.registry.get_sample_value(*ARRIVED) == count)


def only(desk: Desk) -> Webhook:
    (webhook,) = list_webhooks(desk.feed.db)
    return webhook


def test_events_arrive_in_order_as_signed_cloud_events(delivering_desk: Desk) -> None:
    desk = delivering_desk
    early = desk.say(about(1))
    with receiving() as receiver, desk.served():
        subscribe(desk, receiver.url)
        late = desk.say(about(2), about(3), index=False)
        events = [receiver.next() for _ in range(3)]
    assert [e["data"]["signal"]["digest"] for e in events] == [e.digest.hex() for e in (*early, *late)]
    first = events[0]
    assert first["specversion"] == "1.0"
    assert first["type"] == "tocsin.signal"
    assert first["id"] == str(first["data"]["sequence"])
    assert first["source"].startswith("tocsin/")
    assert first["time"].endswith("Z")


def test_a_receiver_is_sent_what_its_scope_may_see(delivering_desk: Desk) -> None:
    desk = delivering_desk
    with receiving() as receiver, desk.served():
        subscribe(desk, receiver.url, Scope.INSURER)
        sealed = desk.say(*(about(n, tlp=tlp) for n, tlp in enumerate(Tlp)), about(9, tlp=Tlp.GREEN), index=False)
        wanted = [sealed[0], sealed[1], sealed[5]]
        assert [receiver.next()["data"]["signal"]["digest"] for _ in range(3)] == [e.digest.hex() for e in wanted]


def test_a_receiver_that_is_away_gets_everything_later_in_order(delivering_desk: Desk) -> None:
    desk = delivering_desk
    with receiving() as receiver, desk.served():
        receiver.statuses = [503, 500, 429, 302]
        subscribe(desk, receiver.url)
        sealed = desk.say(about(1), about(2), index=False)
        assert [receiver.next()["data"]["signal"]["digest"] for _ in range(2)] == [e.digest.hex() for e in sealed]
        assert only(desk).state is WebhookState.ACTIVE


def test_a_receiver_that_stays_away_is_suspended_and_resumed_without_loss(
    delivering_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = delivering_desk
    monkeypatch.setattr(delivering, "MAX_TRIES_AWAY", 3)
    with receiving() as receiver, desk.served():
        receiver.statuses = [204, 503, 503, 503]
        hook = subscribe(desk, receiver.url)
        sealed = desk.say(about(1), about(2), about(3), index=False)
        assert receiver.next()["data"]["signal"]["digest"] == sealed[0].digest.hex()
        wait_until(lambda: only(desk).state is WebhookState.SUSPENDED)
        assert "503" in only(desk).reason
        assert resume_webhook(desk.feed.db, hook)
        assert [receiver.next()["data"]["signal"]["digest"] for _ in range(2)] == [e.digest.hex() for e in sealed[1:]]
        assert resume_webhook(desk.feed.db, hook, 0)
        assert receiver.next()["data"]["signal"]["digest"] == sealed[0].digest.hex()


def test_what_is_refused_is_kept_and_sent_again_when_wanted(delivering_desk: Desk) -> None:
    desk = delivering_desk
    with receiving() as receiver, desk.served():
        receiver.statuses = [400] * delivering.MAX_TRIES_REFUSED
        hook = subscribe(desk, receiver.url)
        sealed = desk.say(about(1), about(2), index=False)
        # the next one is not held up by it
        assert receiver.next()["data"]["signal"]["digest"] == sealed[1].digest.hex()
        (letter,) = dead_letters(desk.feed.db, hook)
        assert letter.reason == "answered 400"
        assert retry_dead(desk.feed.db, hook) == 1
        assert receiver.next()["data"]["signal"]["digest"] == sealed[0].digest.hex()
        wait_until(lambda: not dead_letters(desk.feed.db, hook))


def test_a_receiver_that_is_gone_is_sent_nothing_more(delivering_desk: Desk) -> None:
    desk = delivering_desk
    with receiving() as receiver, desk.served():
        receiver.statuses = [410]
        subscribe(desk, receiver.url)
        desk.say(about(1), about(2), index=False)
        wait_until(lambda: only(desk).state is WebhookState.SUSPENDED)
        assert receiver.got.empty()


def test_a_dead_receiver_holds_up_nobody(delivering_desk: Desk) -> None:
    desk = delivering_desk
    with receiving() as receiver, receiving() as dead, desk.served():
        dead.statuses = [503] * 100_000
        subscribe(desk, dead.url)
        hook = subscribe(desk, receiver.url)
        sealed = desk.say(*(about(n) for n in range(20)), index=False)
        assert [receiver.next()["data"]["signal"]["digest"] for _ in range(20)] == [e.digest.hex() for e in sealed]
        assert remove_webhook(desk.feed.db, hook)


def test_delivery_goes_on_where_it_was_when_the_feed_starts_again(delivering_desk: Desk) -> None:
    desk = delivering_desk
    with receiving() as receiver:
        subscribe(desk, receiver.url)
        with desk.served():
            first = desk.say(about(1), index=False)
            assert receiver.next()["data"]["signal"]["digest"] == first[0].digest.hex()
            wait_arrived(desk, 1)
        second = desk.say(about(2))
        with desk.served():
            assert receiver.next()["data"]["signal"]["digest"] == second[0].digest.hex()


PRIVATE = (
    *("127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),  # noqa: S104
    *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1"),
    *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"),
)


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public_are_not_reached(address: str) -> None:
    with pytest.raises(NotAllowed):
        Reach().check("https", ip_address(address))


def test_without_tls_only_configured_networks_are_reached() -> None:
    Reach().check("https", ip_address("1.1.1.1"))
    with pytest.raises(NotAllowed, match="TLS"):
        Reach().check("http", ip_address("1.1.1.1"))
    Reach(("10.1.0.0/16",)).check("http", ip_address("10.1.2.3"))
    with pytest.raises(NotAllowed):
        Reach(("10.1.0.0/16",)).check("http", ip_address("10.2.2.3"))


@pytest.mark.parametrize(
    "address",
    ["::7f00:1", "::ffff:0:7f00:1", "fec0::1", "64:ff9b::7f00:1", "5f00::1", "2002:7f00:1::", "::", "ff02::1"],
)
def test_no_address_of_ipv6_that_is_not_the_worlds_is_posted_to(address: str) -> None:
    with pytest.raises(NotAllowed):
        Reach().check("https", ip_address(address))


@pytest.mark.parametrize("url", ["https://x:99999/", "https://x:0/", "https://[x/", "https://:secret@x/", "https:///"])
def test_an_address_that_cannot_be_posted_to_is_refused(desk: Desk, url: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        subscribe(desk, url)


def test_a_fault_ends_no_delivery(delivering_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = delivering_desk
    monkeypatch.setattr("tocsin_node.api.live.following.RESTART_SECONDS", 0.05)
    faults: list[Exception] = [sqlite3.OperationalError("locked"), KeyError("unforeseen"), sqlite3.DatabaseError()]

    async def failing(*values: Any) -> int:
        if faults:
            raise faults.pop()
        return await post(*values)

    def listing(database: sqlite3.Connection) -> list[Webhook]:
        if len(faults) == 3:
            raise faults.pop()
        return list(list_webhooks(database))

    monkeypatch.setattr(delivering, "post", failing)
    monkeypatch.setattr(delivering, "list_webhooks", listing)
    with receiving() as receiver, desk.served():
        subscribe(desk, receiver.url)
        (envelope,) = desk.say(about(1), index=False)
        assert receiver.next()["data"]["signal"]["digest"] == envelope.digest.hex()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1"])
def test_no_spelling_of_this_machine_is_posted_to(host: str) -> None:
    with receiving() as receiver:
        port = receiver.url.rpartition(":")[2]

        async def try_it() -> None:
            async with open_client() as client:
                await post(client, Reach(), f"https://{host}:{port}/", b"{}", {})

        with pytest.raises((NotAllowed, OSError)):
            asyncio.run(try_it())
        assert receiver.got.empty()


def test_a_name_is_asked_once_and_its_address_is_the_one_that_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        port = int(receiver.url.rpartition(":")[2])
        asked: list[str] = []

        async def resolve(host: str, port: int) -> list[Any]:
            asked.append(host)
            return [ip_address("127.0.0.1")]

        monkeypatch.setattr("tocsin_node.api.live.outward._resolve", resolve)

        async def try_it() -> int:
            async with open_client() as client:
                return await post(client, Reach(LOCAL), f"http://desk.example.org:{port}/x", b"{}", {})

        assert asyncio.run(try_it()) == 204
        headers, _ = receiver.got.get(timeout=SECONDS)
        assert headers["host"] == f"desk.example.org:{port}"
        assert asked == ["desk.example.org"]


@pytest.mark.parametrize(
    "url", ["ftp://x/", "https://", "x", "https://user:secret@example.org/", "https://" + "x" * 2048]
)
def test_an_address_that_is_none_is_refused(desk: Desk, url: str) -> None:
    with pytest.raises(ValueError):
        subscribe(desk, url)


def test_filters_are_kept_as_they_were(desk: Desk) -> None:
    wanted = LiveFilter(frozenset((EntryKind.SIGNAL,)), "eip155:1:x", (Category.ASSET_DRAIN,), Severity.HIGH)
    subscribe(desk, "https://example.org/", Scope.MEMBER, wanted, 7)
    kept = only(desk)
    assert (kept.wanted, kept.scope, kept.cursor) == (wanted, Scope.MEMBER, 7)


def test_over_tls_the_name_is_checked_and_not_the_address(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=str(cert))

    async def try_it(url: str) -> int:
        async with httpx.AsyncClient(verify=trusting, trust_env=False, timeout=SECONDS) as client:
            return await post(client, Reach((*LOCAL, "::1/128")), url, b"{}", {})

    with receiving(context) as receiver:
        port = receiver.url.rpartition(":")[2]
        assert asyncio.run(try_it(f"https://localhost:{port}/")) == 204
        # the certificate names localhost, and no address
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            asyncio.run(try_it(f"https://127.0.0.1:{port}/"))
