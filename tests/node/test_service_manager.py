"""What systemd is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from tocsin_node.service_manager import alive_seconds, notify, run_notify


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(60)
        yield listener


def test_a_state_is_told_where_somebody_listens(systemd: socket.socket) -> None:
    assert notify("READY=1", {"NOTIFY_SOCKET": systemd.getsockname()})
    assert systemd.recv(64) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}])
def test_nothing_is_told_where_nobody_asked(environment: dict[str, str]) -> None:
    assert not notify("READY=1", environment)


def test_a_socket_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    assert not notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})


def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("")  # the kernel chooses an abstract name
        listener.settimeout(60)
        name = "@" + listener.getsockname()[1:].decode()
        assert notify("WATCHDOG=1", {"NOTIFY_SOCKET": name})
        assert listener.recv(64) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_often_is_half_of_what_systemd_waits(environment: dict[str, str], seconds: float | None) -> None:
    assert alive_seconds(environment) == seconds


async def test_the_loop_says_that_it_turns(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    async with trio.open_nursery() as nursery:
        await nursery.start(run_notify)
        told = [await trio.to_thread.run_sync(systemd.recv, 64) for _ in range(3)]
        nursery.cancel_scope.cancel()
    assert told == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
