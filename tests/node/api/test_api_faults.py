"""What goes wrong beneath the feed: it is told, nobody is answered from what is old, and nothing ends for ever."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_kit import SECONDS, Desk, about, wait_until
from tocsin_node.api import context
from tocsin_node.api.access import Scope
from tocsin_node.api.index import INDEX_NAME, catch_up
from tocsin_node.api.live import follower
from tocsin_node.clock import now_ms
from tocsin_node.store.database import DATABASE_NAME


def shown(url: str) -> int | None:
    """How many signals the public is shown; None where it is told that they cannot be shown now."""
    answer = httpx.get(f"{url}/v1/signals", params={"limit": 200}, timeout=SECONDS, trust_env=False)
    assert answer.status_code in (200, 503), answer.text
    return len(answer.json()["signals"]) if answer.status_code == 200 else None


def test_a_record_that_another_was_put_in_the_place_of_is_read_no_more(desk: Desk, tmp_path: Path) -> None:
    desk.say(about(1))
    kept, path = tmp_path / "kept.db", desk.config.node.data_dir / DATABASE_NAME
    with closing(sqlite3.connect(kept)) as copy:
        desk.connection.backup(copy)
    desk.say(about(2), about(3))
    with desk.served() as url:
        wait_until(lambda: shown(url) == 3)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        shutil.move(kept, path)
        wait_until(lambda: shown(url) == 1)


def test_a_damaged_index_is_made_anew(desk: Desk) -> None:
    desk.say(*(about(n) for n in range(30)))
    path = desk.config.node.data_dir / INDEX_NAME
    whole = path.read_bytes()
    # its head is whole, so that it opens
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with desk.served() as url:
        wait_until(lambda: shown(url) == 30)


def test_an_index_that_is_only_locked_is_not_thrown_away(desk: Desk) -> None:
    desk.say(about(1))
    path = desk.config.node.data_dir / INDEX_NAME
    before = path.stat().st_ino
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        assert len(desk.get("/v1/signals").json()["signals"]) == 1
    assert path.stat().st_ino == before


def test_a_signal_that_is_not_indexed_in_time_is_not_passed_over_in_silence(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "MAX_INDEX_LAG_SECONDS", SECONDS)
    desk.say(about(1))
    desk.say(about(2), index=False, at_ms=now_ms())
    assert len(desk.get("/v1/signals").json()["signals"]) == 1
    long_ms = int(1_001 * SECONDS)
    desk.connection.execute("UPDATE signals SET received_ms = received_ms - ? WHERE id = 2", (long_ms,))
    for path in ("/v1/signals", "/v1/incidents"):
        assert desk.get(path, Scope.PUBLIC).status_code == 503
    desk.index()
    assert len(desk.get("/v1/signals").json()["signals"]) == 2


def test_a_fault_in_following_cuts_off_who_listens_and_is_got_over(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "RETRY_SECONDS", 0.1)
    faults = [KeyError("unforeseen")]

    def failing(*values: Any) -> int:
        if faults and values[1].last_signal():
            raise faults[0]
        return catch_up(*values)

    monkeypatch.setattr(follower, "catch_up", failing)
    with desk.served() as url:
        with httpx.Client(timeout=SECONDS, trust_env=False) as client, client.stream("GET", f"{url}/v1/live") as stream:
            lines = stream.iter_lines()
            assert next(lines) == ": tocsin live"
            desk.say(about(1), index=False)
            wait_until(lambda: next(lines) == "event: cut")
            assert "cannot be read" in next(lines)
        # not before: what is got over at once cuts off nobody
        faults.clear()
        wait_until(lambda: shown(url) == 1)


def test_a_database_that_cannot_be_used_now_is_a_503(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_node.api.feed_db.BUSY_TIMEOUT_MS", 10)
    headers = desk.key(Scope.OPERATOR) | {"content-type": "application/taxii+json;version=2.1"}
    inbox = "/taxii2/tocsin/collections/inbox/objects/"
    assert desk.client is not None
    with closing(desk.feed.open_db()) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = desk.client.request("POST", inbox, headers=headers, json={"objects": [{"type": "x"}]})
        assert (answer.status_code, answer.json()["http_status"]) == (503, "503")
        other.execute("DROP TABLE keys")
        other.execute("COMMIT")
    answer = desk.client.request("GET", "/v1/signals", headers=desk.key(Scope.OPERATOR))
    assert (answer.status_code, answer.json()["status"]) == (503, 503)


@contextmanager
def hanging_relay(desk: Desk) -> Iterator[list[socket.socket]]:
    """A relay that takes every connection and says nothing; who it was asked by."""
    asked: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(desk.config.control_path))
        listening.listen(64)

        def take() -> None:
            while True:
                try:
                    asked.append(listening.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield asked
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in asked:
                one.close()


@contextmanager
def many(count: int, ask: Callable[[], int]) -> Iterator[list[int]]:
    """So many who ask at once, and the statuses they are answered with."""
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(ask())) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        for thread in threads:
            thread.join()


def test_a_relay_that_hangs_hangs_nobody_who_does_not_ask_it(desk: Desk) -> None:
    desk.say(about(1))
    key = desk.key(Scope.OPERATOR)
    with desk.served() as url, hanging_relay(desk) as asked:

        def status() -> int:
            return httpx.get(f"{url}/v1/status", headers=key, timeout=SECONDS, trust_env=False).status_code

        with many(60, status) as statuses:
            wait_until(lambda: len(statuses) == 60 - context.MAX_ASKING)
            assert shown(url) == 1
            wait_until(lambda: len(asked) == context.MAX_ASKING)
            for one in asked:
                one.close()
        assert set(statuses) == {503}


def test_however_many_ask_how_the_node_is_the_relay_is_asked_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "HEALTH_SECONDS", 1000.0)
    with desk.served() as url, hanging_relay(desk) as asked:

        def health() -> int:
            return httpx.get(f"{url}/healthz", timeout=SECONDS, trust_env=False).status_code

        with many(30, health) as statuses:
            wait_until(lambda: len(statuses) == 29)
            assert shown(url) == 0
            wait_until(lambda: len(asked) == 1)
            asked[0].sendall(b'{"result": {"healthy": true, "reasons": []}}\n')
        assert sorted(statuses) == [200, *[503] * 29]
        assert health() == 200
        assert len(asked) == 1
