"""Homes of a small network, the command as a function, and one real node that the commands talk to."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tocsin_node.cli import cli
from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.control import request_control
from tocsin_node.control_verbs import Verb
from tocsin_node.errors import NodeUnreachable
from tocsin_node.keystore import LEAST_COST
from tocsin_node.roster_files import create_genesis, genesis_hash
from tocsin_node.setup_node import NodeHome, NodePlan, create_node_home, pin_genesis

START_SECONDS = 120
STOP_SECONDS = 60
ACCOUNT = "eip155:31337:0x" + "11" * 20

CONFIG = """
[[hook]]
kind = "webhook"
name = "page"
target = "on-call"
url = "http://127.0.0.1:9/hook"
secret_file = "webhook.secret"
"""
# What others say is not enough to tighten, nor is our own detector: two independent groups freeze, with evidence.
POLICY = """
[pins]
dex = { min = 2.5, max = 3.9 }

[[lever]]
hook = "page"
tier = "freeze"
scopes = ["vault"]
effectiveness_percent = 90
cost_usd = 20_000
minutes = 60
"""
MANIFEST = f"""
protocol = "lender"

[[holding]]
name = "vault"
kind = "market"
subjects = ["{ACCOUNT}"]
amount = {{ usd = 8_000_000, read = 2026-01-01T00:00:00Z, source = "declared" }}
"""

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def tocsin() -> Run:
    """The command, in this process: `tocsin("status", "--home", home)`."""

    def run(*arguments: object, stdin: str | None = None) -> Result:
        result = CliRunner(env={"TOCSIN_HOME": None}).invoke(cli, [str(a) for a in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def make_homes(tmp_path: Path) -> Callable[..., list[NodeHome]]:
    """Homes of members who have not met yet."""

    def make(*members: str) -> list[NodeHome]:
        return [make_home(tmp_path / member, member) for member in members]

    return make


def make_home(directory: Path, member: str, config: str = "", policy: str = "", manifest: str = "") -> NodeHome:
    plan = NodePlan(member, f"{member} ltd", listen=("/ip4/127.0.0.1/tcp/0",))
    return create_node_home(
        directory, plan, now_ms(), cost=LEAST_COST, extra_config=config, policy=policy, manifest=manifest
    )


@dataclass(frozen=True)
class RunningNode:
    """A node of a network of three, alone in reach, started with `tocsin run`."""

    home: Path
    process: subprocess.Popen[bytes]

    def ask(self, verb: Verb, **arguments: Any) -> dict[str, Any]:
        return request_control(load_config(self.home / "node.toml").control_path, verb, arguments)


@pytest.fixture(scope="module")
def node(start_node: Callable[[str], RunningNode]) -> RunningNode:
    """A real node, for the tests of one module."""
    return start_node(POLICY)


@pytest.fixture(scope="module")
def start_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RunningNode]]:
    """Starts a real node with a policy, until the end of the module."""
    with ExitStack() as stack:
        yield lambda policy: stack.enter_context(run_node(tmp_path_factory.mktemp("node"), policy))


@contextmanager
def run_node(directory: Path, policy: str) -> Iterator[RunningNode]:
    homes = [make_home(directory / "lender", "lender", CONFIG, policy, MANIFEST)]
    homes += [make_home(directory / member, member) for member in ("dex", "watch")]
    secret = directory / "lender" / "webhook.secret"
    secret.write_text("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    secret.chmod(0o600)
    signed = create_genesis((home.entry for home in homes), secrets.token_bytes(32))
    pin_genesis(homes[0].config_path, signed, genesis_hash(signed))
    with run_home(directory / "lender", directory / "log") as running:
        yield running


@contextmanager
def run_home(home: Path, log_path: Path) -> Iterator[RunningNode]:
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tocsin_node.cli", "run", "--home", str(home)],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )
        running = RunningNode(home, process)
        try:
            wait_until_it_answers(running, log_path)
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            finally:
                process.kill()
                process.wait()


@pytest.fixture
def start_home() -> Iterator[Callable[[Path, Path], RunningNode]]:
    """Starts a node on a home that is there, until the end of the test."""
    with ExitStack() as stack:
        yield lambda home, log_path: stack.enter_context(run_home(home, log_path))


def wait_until_it_answers(running: RunningNode, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            running.ask(Verb.STATUS)
            return
        except NodeUnreachable:
            if running.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the node did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)


def lines_of(result: Result) -> list[dict[str, Any]]:
    """The JSON objects a command printed."""
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="session")
def lines() -> Callable[[Result], list[dict[str, Any]]]:
    return lines_of
