"""Connections that misbehave, and TLS: asked of a real server."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import urlsplit

import httpx
import pytest
from api_kit import SECONDS, Desk, about, make_certificate
from tocsin_node.api.access import Scope
from tocsin_node.api.bounds import MAX_BODY_BYTES
from tocsin_node.api.protocol import MAX_HEAD_BYTES, BoundedSocket
from tocsin_node.api.server import make_server, run_feed
from tocsin_node.errors import ConfigError
from tocsin_node.store.database import StoreError
from uvicorn.server import ServerState

HEAD = "tocsin_node.api.protocol.HEAD_SECONDS"


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as connection:
        yield connection


def tell(connection: socket.socket, data: bytes) -> None:
    """Send it; the other side may have lost its patience already."""
    with suppress(ConnectionError):
        connection.sendall(data)


def is_ended(connection: socket.socket) -> bool:
    """Whether the other side ends it, whatever it says first."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return True
    return True


def drip(connection: socket.socket, data: bytes, *, reading: bool = True) -> None:
    """Send byte by byte, until it is all sent; raises ConnectionError once the other side has ended."""
    connection.settimeout(0.05)
    for place in range(len(data)):
        connection.sendall(data[place : place + 1])
        if not reading:
            time.sleep(0.05)
            continue
        with suppress(TimeoutError):
            if connection.recv(1) == b"":
                raise ConnectionResetError


def test_a_head_that_never_ends_is_not_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HEAD, 0.2)
    with desk.served() as url:
        for sent in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nx: "):
            with connected(url) as connection:
                tell(connection, sent)
                assert is_ended(connection)


def test_a_head_that_comes_byte_by_byte_gets_no_more_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HEAD, 0.5)
    with desk.served() as url, connected(url) as connection, pytest.raises(ConnectionError):
        drip(connection, b"GET / HTTP/1.1\r\nx:" + b"x" * 10_000)


def test_a_body_that_never_comes_is_not_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.protocol.BODY_SECONDS", 0.2)
    with desk.served() as url, connected(url) as connection:
        key = desk.key(Scope.OPERATOR)["authorization"]
        lines = ("POST /v1/steps HTTP/1.1", "host: x", f"authorization: {key}", "content-type: application/json")
        tell(connection, "\r\n".join((*lines, "content-length: 100", "", "{")).encode())
        assert is_ended(connection)


def test_a_head_without_end_is_cut_off(desk: Desk) -> None:
    with desk.served() as url, connected(url) as connection:
        tell(connection, b"GET / HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):
            connection.sendall((b"x: " + b"y" * MAX_HEAD_BYTES + b"\r\n") * 1_000)
        assert is_ended(connection)


def test_a_body_that_is_too_large_is_refused_whatever_it_says_of_itself(desk: Desk) -> None:
    headers = desk.key(Scope.OPERATOR) | {"content-type": "application/json"}
    with desk.served() as url, httpx.Client(timeout=SECONDS, trust_env=False) as client:
        told = client.post(f"{url}/v1/steps", headers=headers, content=b" " * (MAX_BODY_BYTES + 1))
        assert told.status_code == 413
        assert told.headers["content-type"] == "application/problem+json"
        chunks = (b" " * 65536 for _ in range(MAX_BODY_BYTES // 65536 + 1))
        untold = client.post(f"{url}/v1/steps", headers=headers, content=chunks)
        assert untold.status_code == 413


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\xff\r\n\r\n",
        b"GET \xff HTTP/1.1\r\n\r\n",
        b"GET /%ff%00 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /v1/signals?subject=%ff HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /v1/signals HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\xfe\r\nconnection: close\r\n\r\n",
        b"POST /v1/signals HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /v1/live HTTP/1.1\r\nhost: x\r\nlast-event-id: 99999999999999999999\r\nconnection: close\r\n\r\n",
    ],
)
def test_what_is_no_request_ends_nothing_but_its_connection(desk: Desk, request_bytes: bytes) -> None:
    desk.say(about(1))
    with desk.served() as url:
        with connected(url) as connection:
            connection.sendall(request_bytes)
            answer = b""
            while data := connection.recv(65536):
                answer += data
            assert b" 500 " not in answer.split(b"\r\n")[0]
            assert b"Traceback" not in answer
        with httpx.Client(timeout=SECONDS, trust_env=False) as client:
            assert client.get(f"{url}/v1/signals").status_code == 200


def with_tls(desk: Desk, folder: Path) -> tuple[Path, Path]:
    cert, key = make_certificate(folder)
    section = desk.config.feed.model_copy(update={"tls_cert": cert, "tls_key": key})
    desk.config = desk.config.model_copy(update={"feed": section})
    return cert, key


def test_the_feed_is_served_over_tls(desk: Desk, tmp_path: Path) -> None:
    cert, _ = with_tls(desk, tmp_path)
    desk.say(about(1))
    with desk.served() as url:
        context = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(timeout=SECONDS, trust_env=False, verify=context) as client:
            answer = client.get(url.replace("http://127.0.0.1", "https://localhost") + "/v1/signals")
            assert len(answer.json()["signals"]) == 1


def test_a_tls_key_that_others_can_read_is_refused(desk: Desk, tmp_path: Path) -> None:
    _, key = with_tls(desk, tmp_path)
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="0600 is wanted"):
        run_feed(desk.config)


def test_a_second_feed_of_a_node_is_refused(desk: Desk) -> None:
    assert desk.feed is not None
    with pytest.raises(StoreError, match="another feed of this node"):
        run_feed(desk.config)


def test_pages_of_configured_origins_may_ask(desk: Desk) -> None:
    section = desk.config.feed.model_copy(update={"cors_origins": ("https://desk.example.org",)})
    desk.config = desk.config.model_copy(update={"feed": section})
    answer = desk.get("/v1/signals", headers={"origin": "https://desk.example.org"})
    assert answer.headers["access-control-allow-origin"] == "https://desk.example.org"
    other = desk.get("/v1/signals", headers={"origin": "https://example.org"})
    assert "access-control-allow-origin" not in other.headers
    assert json.loads(other.content)["signals"] == []


def test_line_ends_after_a_request_are_no_request(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HEAD, SECONDS)
    with desk.served() as url, connected(url) as connection:
        connection.sendall(b"GET /v1/log HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(65536)
        monkeypatch.setattr(HEAD, 0.2)
        tell(connection, b"\r\n")
        assert is_ended(connection)


def test_who_takes_nothing_of_an_answer_is_disconnected(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.protocol.SEND_SECONDS", 0.5)
    desk.say(*(about(n, text="x" * 4_000) for n in range(200)))
    with desk.served() as url, socket.socket() as connection, httpx.Client(timeout=SECONDS, trust_env=False) as client:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(SECONDS)
        connection.connect((urlsplit(url).hostname, urlsplit(url).port))
        connection.sendall(b"GET /v1/signals?limit=200 HTTP/1.1\r\nhost: x\r\n\r\n" * 4)
        # what ends it is the kernel's own clock: he hears of it when he says something
        with pytest.raises(ConnectionError):
            drip(connection, b"\r\n" * 1_000, reading=False)
        assert client.get(f"{url}/v1/signals").status_code == 200


def test_pings_are_answered_only_to_who_takes_the_answers(desk: Desk) -> None:
    with closing(asyncio.new_event_loop()) as loop:
        config = make_server(desk.feed).config
        config.load()
        spoken = BoundedSocket(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        spoken.transport = Mock()
        spoken.pause_writing()
        for _ in range(3):
            spoken.handle_ping()
        assert not spoken.transport.write.called
        spoken.resume_writing()
        spoken.handle_ping()
        assert spoken.transport.write.called


def test_one_address_cannot_have_every_connection(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.protocol.MAX_CONNECTIONS_OF_ADDRESS", 3)
    monkeypatch.setattr(HEAD, 10 * SECONDS)
    with desk.served() as url, connected(url) as first, connected(url), connected(url):
        with connected(url) as fourth:
            assert is_ended(fourth)
        first.sendall(b"GET /v1/log HTTP/1.1\r\nhost: x\r\n\r\n")
        assert first.recv(65536)


def test_who_has_asked_nothing_for_longest_makes_room(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.server.MAX_CONCURRENT_REQUESTS", 4)
    monkeypatch.setattr(HEAD, 10 * SECONDS)
    desk.say(about(1))
    with desk.served() as url, connected(url) as asks, connected(url) as waits:
        asks.sendall(b"GET /v1/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert asks.recv(65536).startswith(b"HTTP/1.1 200")
        with connected(url), connected(url):
            assert is_ended(waits)
            with httpx.Client(timeout=SECONDS, trust_env=False) as client:
                assert client.get(f"{url}/v1/signals").status_code == 200
        asks.settimeout(0.1)
        with pytest.raises(TimeoutError):
            is_ended(asks)


@pytest.mark.parametrize("shown", ["", "authorization: Bearer none\r\n"])
def test_the_body_of_who_has_no_key_is_not_waited_for(desk: Desk, shown: str) -> None:
    with desk.served() as url:
        for told in ("content-length: 2000000", "transfer-encoding: chunked"):
            with connected(url) as connection:
                head = f"POST /v1/steps HTTP/1.1\r\nhost: x\r\n{shown}{told}\r\n\r\n"
                connection.sendall(head.encode())
                assert connection.recv(65536).startswith(b"HTTP/1.1 401")
