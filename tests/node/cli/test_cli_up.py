"""`tocsin up`: relay, mesh and feed together; what stops it before it starts."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tocsin_node.demo.network import free_ports
from tocsin_node.roster_files import create_genesis, genesis_hash
from tocsin_node.setup_node import NodeHome, pin_genesis

START_SECONDS = 120
STOP_SECONDS = 60
Homes = Callable[..., list[NodeHome]]


@pytest.fixture
def home(make_homes: Homes) -> NodeHome:
    """A node of a network of its own, whose feed has a free port."""
    (made,) = make_homes("lender")
    (port,) = free_ports(1)
    made.config_path.write_text(made.config_path.read_text().replace("127.0.0.1:9480", f"127.0.0.1:{port}"))
    signed = create_genesis([made.entry], secrets.token_bytes(32))
    pin_genesis(made.config_path, signed, genesis_hash(signed))
    return made


def start(command: str, home: NodeHome) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-m", "tocsin_node.cli", command, "--home", str(home.directory)]
    with (home.directory / "log").open("wb") as log:
        return subprocess.Popen(arguments, stdout=log, stderr=log)


def wait_for_feed(home: NodeHome, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What /healthz says once it answers, healthy or not."""
    listen = home.config_path.read_text().split("[feed]")[1].split('"')[1]
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://{listen}/healthz", timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as answer:
            with answer:
                return dict(json.load(answer))
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail((home.directory / "log").read_text()[-3000:])
            time.sleep(0.1)


def wait_for_children(process: subprocess.Popen[bytes]) -> list[int]:
    """The mesh and the feed, once both are there."""
    deadline = time.monotonic() + START_SECONDS
    while len(children := children_of(process.pid)) != 2:
        assert time.monotonic() < deadline, children
        time.sleep(0.05)
    return children


def children_of(pid: int) -> list[int]:
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # a thread that has ended meanwhile
            children += [int(child) for child in (task / "children").read_text().split()]
    return children


def test_all_processes_start_and_end_together(home: NodeHome) -> None:
    process = start("up", home)
    try:
        assert "healthy" in wait_for_feed(home, process)
        children = wait_for_children(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0
        assert not any(Path(f"/proc/{child}").exists() for child in children)
    finally:
        process.kill()
        process.wait()


def test_feed_that_died_is_started_again(home: NodeHome) -> None:
    process = start("up", home)
    try:
        wait_for_feed(home, process)
        (feed,) = [pid for pid in children_of(process.pid) if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(feed, signal.SIGKILL)
        deadline = time.monotonic() + START_SECONDS
        while b"the feed ended" not in (home.directory / "log").read_bytes():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        wait_for_feed(home, process)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_SECONDS) == 0
    finally:
        process.kill()
        process.wait()


def test_nothing_is_left_of_a_killed_node(home: NodeHome) -> None:
    process = start("up", home)
    try:
        wait_for_feed(home, process)
        children = wait_for_children(process)
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + STOP_SECONDS
    while any(is_running(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        # an ended process stays as a zombie where nobody takes in orphans
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("command", ["run", "up"])
def test_wrong_passphrase_stops_the_start(home: NodeHome, command: str) -> None:
    (home.directory / "passphrase").write_text("another passphrase\n")
    process = start(command, home)
    assert process.wait(START_SECONDS) == 78
    (line,) = (home.directory / "log").read_text().splitlines()
    assert (
        line
        == f"Error: {home.directory / 'keystore.json'}: does not open: the passphrase is wrong or the file is damaged"
    )


def test_wrong_policy_and_roster_stop_the_start(home: NodeHome) -> None:
    home.policy_path.write_text("[[lever]]\nhook = 1\n")
    process = start("run", home)
    assert process.wait(START_SECONDS) == 78
    assert "policy.toml:2: lever[0].hook = 1: a valid string is wanted" in (home.directory / "log").read_text()
    home.policy_path.write_text("")
    (home.directory / "genesis.roster").write_bytes(b"\x90")
    process = start("run", home)
    assert process.wait(START_SECONDS) == 78
    assert "genesis.roster: is not a roster" in (home.directory / "log").read_text()


def test_feed_without_a_database_says_so(home: NodeHome) -> None:
    process = start("serve", home)
    assert process.wait(START_SECONDS) == 1
    assert "no database yet; start the node once" in (home.directory / "log").read_text()
