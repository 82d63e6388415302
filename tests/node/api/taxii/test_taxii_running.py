"""The feed as it runs: the record is exported while it serves, and goes on where it stopped."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from taxii_kit import MEDIA, ROOT, TaxiiDesk, about
from tocsin_node.api.access import Scope
from tocsin_node.api.app import create_app
from tocsin_node.api.taxii import running
from tocsin_node.api.taxii.__main__ import main, run_export
from tocsin_node.api.taxii.projecting import Projection
from tocsin_node.store.database import StoreError
from tocsin_protocol.stix.marking import Circle
from tocsin_protocol.taxonomy import Tlp

# An exporter gives way to everything else that runs on the machine.
DEADLINE_SECONDS = 600


async def wait_for(desk: TaxiiDesk, transport: httpx.ASGITransport, count: int, circle: Circle) -> list[dict[str, Any]]:
    """Indicators of a collection, once there are so many."""
    async with httpx.AsyncClient(transport=transport, base_url="http://feed") as client:
        path, query = f"{ROOT}/collections/{circle}/objects/", {"match[type]": "indicator", "limit": "1000"}
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                got = await client.get(path, params=query, headers={"accept": MEDIA} | desk.key(Scope.OPERATOR))
                found: list[dict[str, Any]] = got.json().get("objects", [])
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.1)


@contextmanager
def exporters(desk: TaxiiDesk, count: int) -> Iterator[None]:
    """So many that export at once, in threads of this process."""
    stop = threading.Event()
    threads = [threading.Thread(target=run_export, args=(desk.config.node.data_dir, stop)) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_an_exporter_that_cannot_be_started_now_is_started_later(
    desk: TaxiiDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "RESTART_SECONDS", 0.01)
    started, popen = asyncio.Event(), subprocess.Popen
    faults = [OSError("no descriptor is left")]

    def failing(*values: Any, **named: Any) -> subprocess.Popen[bytes]:
        if faults:
            raise faults.pop()
        started.set()
        return popen(*values, **named)

    monkeypatch.setattr(subprocess, "Popen", failing)

    async def run() -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            task = asyncio.create_task(running.run_exporter(desk.config.node.data_dir))
            await started.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_what_is_recorded_while_it_serves_is_exported_and_by_a_new_process_when_one_dies(
    desk: TaxiiDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **how: Any) -> None:
            super().__init__(*arguments, **how)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.setattr(running, "RESTART_SECONDS", 0.01)
    monkeypatch.setattr(running, "END_SECONDS", DEADLINE_SECONDS)

    async def run() -> None:
        app = create_app(desk.feed)
        transport = httpx.ASGITransport(app)
        desk.tell(about(1), export=False)
        async with app.router.lifespan_context(app):
            await wait_for(desk, transport, 1, Circle.CLEAR)
            started[0].kill()
            desk.tell(about(2), about(3, tlp=Tlp.RED), export=False)
            assert len(await wait_for(desk, transport, 2, Circle.CLEAR)) == 2
            assert len(await wait_for(desk, transport, 3, Circle.RED)) == 3

    asyncio.run(run())
    # the second ended by itself when the feed did
    assert [process.returncode for process in started] == [-9, 0]


def test_a_database_that_is_busy_delays_the_export_and_does_not_end_it(
    desk: TaxiiDesk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tocsin_node.api.taxii.__main__.RETRY_SECONDS", 0.01)
    steps = 0
    original = Projection.step

    def stumbling(self: Projection) -> bool:
        nonlocal steps
        steps += 1
        if steps < 4:
            raise StoreError("the disk is full")
        return original(self)

    monkeypatch.setattr(Projection, "step", stumbling)
    desk.tell(about(1), export=False)
    with exporters(desk, 1):
        asyncio.run(wait_for(desk, httpx.ASGITransport(create_app(desk.feed)), 1, Circle.CLEAR))
    assert capfd.readouterr().err.count("the disk is full") == 3


def test_several_who_export_at_once_tell_nothing_twice(desk: TaxiiDesk) -> None:
    desk.tell(*(about(place % 3) for place in range(1, 40)), export=False)
    with exporters(desk, 3):
        asyncio.run(wait_for(desk, httpx.ASGITransport(create_app(desk.feed)), 39, Circle.CLEAR))
    told = [v["description"] for v in desk.objects(Circle.CLEAR) if v["type"] == "incident"]
    assert told == ["13 signals of 1 members"] * 3


def test_the_exporter_ends_with_its_stdin_and_says_how_it_is_used(desk: TaxiiDesk) -> None:
    desk.tell(about(1), export=False)
    command = [sys.executable, "-m", "tocsin_node.api.taxii", str(desk.config.node.data_dir)]
    subprocess.run(command, input=b"", check=True, timeout=DEADLINE_SECONDS)
    assert main([]) == main(["a", "b"]) == 2
