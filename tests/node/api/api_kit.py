"""A node's record, written as its relay writes it, and clients with keys of every scope."""

from __future__ import annotations

import asyncio
import datetime
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from protocol_kit import NETWORK_ID, NOW_MS, Feed, make_roster, make_standard, signed_by
from store_kit import LOG_SECRET, OWN, file
from tocsin_node.api.access import Scope
from tocsin_node.api.app import create_app
from tocsin_node.api.context import Feed as FeedContext
from tocsin_node.api.context import open_feed
from tocsin_node.api.index import catch_up, open_index
from tocsin_node.api.keys import create_key
from tocsin_node.api.server import FeedServer, make_server
from tocsin_node.clock import now_ms
from tocsin_node.config import KeysSection, NetworkSection, NodeConfig, NodeSection
from tocsin_node.store.reader import Reader
from tocsin_node.store.rosters import load_rosters
from tocsin_node.store.rules import Rules
from tocsin_node.store.shown_heads import show_head
from tocsin_node.store.writer import Store
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.model import Signal, Subject
from tocsin_protocol.taxonomy import Role, SubjectKind, Tlp

T = TypeVar("T")
# Deadlines are for what hangs, not for what is slow.
SECONDS = 120.0
# Who may read; a sender may not.
READERS = tuple(scope for scope in Scope if scope is not Scope.SENDER)


def make_config(data_dir: Path) -> NodeConfig:
    folder = data_dir.parent
    return NodeConfig(
        node=NodeSection(member=OWN, data_dir=data_dir),
        network=NetworkSection(genesis=folder / "genesis", genesis_hash="0" * 64),
        keys=KeysSection(keystore=folder / "keys", passphrase_file=folder / "pass"),
    )


def wait_until(is_so: Callable[[], bool]) -> None:
    """Until what another thread or process does has come so far."""
    ends = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.05)


def wait_served(server: FeedServer, thread: threading.Thread) -> None:
    """Until one may ask, and listen: the record is indexed and followed."""

    def is_followed() -> bool:
        assert thread.is_alive()
        return server.started and server.app.state.listeners.ring.started.is_set()

    wait_until(is_followed)


def account(number: int) -> str:
    return f"eip155:1:0x{number:040x}"


def about(number: int, **changes: Any) -> Signal:
    """A signal about an account of its own: an incident of its own."""
    subjects = (Subject(Role.VICTIM, SubjectKind.ACCOUNT, account(number)),)
    return make_standard(
        **({"subjects": subjects, "incident": f"n{number}", "evidence": (), "tlp": Tlp.CLEAR} | changes)
    )


class Client:
    """Asks the app as a server would, without one: from a test that has no event loop of its own."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._loop = asyncio.new_event_loop()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://feed")

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def request(self, method: str, path: str, **how: Any) -> httpx.Response:
        return self._loop.run_until_complete(self._client.request(method, path, **how))


class Desk:
    """The record of the first member, its feed, and who asks it."""

    def __init__(self, data_dir: Path) -> None:
        self.config = make_config(data_dir)
        self.store = Store(data_dir, Feed(OWN).publisher, NETWORK_ID, LOG_SECRET)
        self.connection: sqlite3.Connection = self.store.writer.connection
        self.connection.execute("PRAGMA synchronous = OFF")
        self.write(lambda c: load_rosters(c, signed_by(make_roster()), NOW_MS))
        self.publisher = Feed("brook")
        self._keys: dict[Scope, str] = {}

    def close(self) -> None:
        if "client" in self.__dict__:
            self.client.close()
        if "feed" in self.__dict__:
            self.feed.close()
        self.store.close()

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """One commit, as the relay's writer makes it: the log grows with it."""
        self.connection.execute("BEGIN IMMEDIATE")
        result = work(self.connection)
        edge = self.store.record.integrate(self.connection)
        self.connection.execute("COMMIT")
        self.store.record.keep(edge)
        return result

    def show_log(self) -> None:
        """Have the log's present head be one that others are shown, as the relay does with each heartbeat."""
        self.write(show_head)

    def file(self, envelopes: Iterable[Envelope], *, at_ms: int = NOW_MS, rules: Rules | None = None) -> None:
        self.write(lambda c: file(c, envelopes, now_ms=at_ms, rules=rules))

    def say(self, *signals: Signal, at_ms: int = NOW_MS, index: bool = True) -> list[Envelope]:
        """File signals of brook's, one batch each, and index them."""
        sealed = [self.publisher.seal(signal) for signal in signals]
        for place, envelope in enumerate(sealed):
            self.file([envelope], at_ms=at_ms + place)
        if index:
            self.index()
        return sealed

    def index(self) -> None:
        data_dir = self.config.node.data_dir
        with closing(open_index(data_dir)) as index, Reader(data_dir) as reader:
            while catch_up(index, reader):
                pass

    @cached_property
    def feed(self) -> FeedContext:
        return open_feed(self.config)

    @cached_property
    def client(self) -> Client:
        return Client(create_app(self.feed))

    @contextmanager
    def served(self) -> Iterator[str]:
        """The feed as its process runs it, on a port of its own; the URL."""
        server = make_server(replace(self.feed, config=self.config))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            try:
                wait_served(server, thread)
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join()

    def key(self, scope: Scope) -> dict[str, str]:
        """The headers of somebody with this scope."""
        if scope is Scope.PUBLIC:
            return {}
        if scope not in self._keys:
            self._keys[scope] = create_key(self.feed.db, scope, "test", now_ms(), MAX_UINT)
        return {"authorization": f"Bearer {self._keys[scope]}"}

    def get(self, path: str, scope: Scope = Scope.OPERATOR, headers: dict[str, str] | None = None, **query: Any) -> Any:
        """The answer to a question."""
        return self.client.request("GET", path, params=query, headers=self.key(scope) | (headers or {}))

    def pages(self, path: str, what: str, scope: Scope = Scope.OPERATOR, **query: Any) -> list[dict[str, Any]]:
        """Everything that a question finds, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            got = self.get(path, scope, **query)
            assert got.status_code == 200, got.text
            page = got.json()
            found += page[what]
            if page["next"] is None:
                return found
            query["before"] = page["next"]


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "feed")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / "feed.pem", folder / "feed-key.pem"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    key_path.chmod(0o600)
    return cert_path, key_path
