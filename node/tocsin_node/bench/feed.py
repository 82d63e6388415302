"""The figures of the feed: asking beside bare SQL, asking while the relay admits, and five hundred who listen."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import decode_roster
from tocsin_protocol.taxonomy import Severity

from tocsin_node.api.access import Scope
from tocsin_node.api.context import Source
from tocsin_node.api.feed_db import open_feed_db
from tocsin_node.api.keys import create_key
from tocsin_node.clock import now_ms
from tocsin_node.config import NodeConfig, load_config
from tocsin_node.demo.network import create_local_network
from tocsin_node.errors import NodeError
from tocsin_node.keystore import open_keystore
from tocsin_node.private_files import write_new_file
from tocsin_node.roster_files import read_roster
from tocsin_node.store.reader import Reader
from tocsin_node.store.rosters import load_rosters
from tocsin_node.store.writer import Store

from .feed_asking import ask_beside_sql
from .feed_record import SIGNALS, fill_record
from .feed_relay import PacedRelay, open_relay
from .figures import percentile
from .py_mesh import process_usage
from .result import LOWER, Result, measured
from .spine import Part
from .workload import seal_feed

GROUP = "feed"
QUESTIONS = 2_000
ASKING_SECONDS = 20
ASKING_CLIENTS = 8
ADMITTED_PER_SECOND = 500
LISTENERS = 500
EVENTS_PER_SECOND = 50
EVENTS = 1_000
INDEX_SECONDS = 1_800.0
POLL_SECONDS = 0.5
STEPS = 5
GOAL_LOST = (LOWER, 0.0)
GOAL_RELAY = (LOWER, 1.5)


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured: a feed as a process, who may ask it, and the relay beside it."""

    group: str
    config: NodeConfig
    key_file: Path
    relay: PacedRelay
    envelopes: Iterator[Envelope]
    pid: int

    def take(self, count: int) -> Sequence[Envelope]:
        """The next signals to admit."""
        return [next(self.envelopes) for _ in range(count)]


@dataclass(frozen=True, slots=True)
class Load:
    """How much is done; the tests do less."""

    signals: int = SIGNALS
    questions: int = QUESTIONS
    asking_seconds: int = ASKING_SECONDS
    listeners: int = LISTENERS
    events: int = EVENTS


def feed_parts() -> list[Part]:
    """The one part: all of it is measured on the same record."""
    return [Part("a million signals", STEPS, lambda advance: bench_feed(GROUP, advance))]


async def bench_feed(group: str, advance: Callable[[], None], load: Load | None = None) -> list[Result]:
    """Fill a record, serve it, and measure; raises NodeError where an answer is wrong."""
    load = load or Load()
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        receiver, sender = create_local_network(Path(folder), ["receiver", "sender"], now_ms())
        config, speaking = load_config(receiver.config_path), load_config(sender.config_path)
        keys = open_keystore(config.keys.keystore, config.read_passphrase())
        secret = open_keystore(speaking.keys.keystore, speaking.read_passphrase()).publisher
        signed = read_roster(config.network.genesis)
        roster = RosterIndex(decode_roster(signed.body))
        network_id, publisher = roster.roster.network_id, receiver.entry.publisher.id
        store = Store(config.node.data_dir, publisher, network_id, keys.log)
        load_rosters(store.writer.connection, signed, now_ms())
        async with AsyncExitStack() as stack:
            stack.callback(store.close)
            nursery = await stack.enter_async_context(trio.open_nursery())
            stack.callback(nursery.cancel_scope.cancel)
            await nursery.start(store.writer.run_writer)
            made = await fill_record(store, network_id, now_ms(), load.signals)
            advance()
            count = load.asking_seconds * ADMITTED_PER_SECOND + 2 * load.events
            envelopes = iter(seal_feed(network_id, secret, count, now_ms(), lane_severity=Severity.HIGH))
            key_file = _make_key(config, Path(folder))
            pid = await stack.enter_async_context(_serving(receiver.directory, config, load.signals))
            advance()
            results = ask_beside_sql(group, config, key_file, made, load.questions)
            advance()
            relay = await stack.enter_async_context(open_relay(store, roster, publisher))
            stage = Measured(group, config, key_file, relay, envelopes, pid)
            results += await _ask_while_admitting(stage, load)
            advance()
            results += await _listen(stage, load)
            advance()
    return results


def _make_key(config: NodeConfig, folder: Path) -> Path:
    path = folder / "feed.key"
    with closing(open_feed_db(config.node.data_dir)) as database:
        key = create_key(database, Scope.OPERATOR, "bench", now_ms(), MAX_UINT)
    write_new_file(path, key.encode())
    return path


@asynccontextmanager
async def _serving(home: Path, config: NodeConfig, signals: int) -> AsyncIterator[int]:
    """The feed as a process of its own, once its index is whole and it answers; its process id."""
    command = [sys.executable, "-m", "tocsin_node.cli", "serve", "--home", str(home)]
    process = _start(command, subprocess.DEVNULL)
    try:
        await _wait(process, partial(_is_indexed, config, signals))
        # The index is filled while the server starts.
        await _wait(process, partial(_is_open, config))
        yield process.pid
    finally:
        process.terminate()
        process.wait()


async def _wait(process: subprocess.Popen[str], is_so: Callable[[], bool]) -> None:
    """Look again and again at what the feed does; raises NodeError where it ended instead."""
    with trio.fail_after(INDEX_SECONDS):
        while not is_so():
            if process.poll() is not None:
                raise NodeError(f"the feed of the bench ended with {process.returncode}")
            await trio.sleep(POLL_SECONDS)


def _is_indexed(config: NodeConfig, signals: int) -> bool:
    try:
        source = Source(config.node.data_dir)
    except NodeError:
        return False
    with closing(source):
        row = source.index.execute("SELECT signal FROM position").fetchone()
        return row is not None and row[0] >= signals


def _is_open(config: NodeConfig) -> bool:
    with suppress(OSError), socket.create_connection((config.feed.host, config.feed.port)):
        return True
    return False


async def _ask_while_admitting(stage: Measured, load: Load) -> list[Result]:
    batch = stage.take(load.asking_seconds * ADMITTED_PER_SECOND)
    before = process_usage(stage.pid)
    began = time.perf_counter()
    async with _loading("ask", stage, ASKING_CLIENTS, load.asking_seconds) as answer:
        latencies = await stage.relay.admit(batch, ADMITTED_PER_SECOND)
        admitted = len(batch) / (time.perf_counter() - began)
        asked = await answer()
    cpu_seconds = (process_usage(stage.pid).cpu_ms - before.cpu_ms) / 1_000
    return [
        measured(stage.group, "relay admits meanwhile", admitted, "1/s"),
        measured(stage.group, "requests a second of one core", asked["requests"] / cpu_seconds, "1/s"),
        measured(stage.group, f"{ASKING_CLIENTS} clients beside it: p50", asked["p50_ms"], "ms"),
        measured(stage.group, f"{ASKING_CLIENTS} clients beside it: p99", asked["p99_ms"], "ms"),
        measured(stage.group, "until a signal is on disk meanwhile: p99", percentile(latencies, 99), "ms"),
    ]


async def _listen(stage: Measured, load: Load) -> list[Result]:
    idle = percentile(await stage.relay.admit(stage.take(load.events), EVENTS_PER_SECOND), 99)
    # A feed that is behind would tell the listeners of what came before them, too.
    with Reader(stage.config.node.data_dir) as reader:
        head = reader.audit_head()
    before = process_usage(stage.pid)
    async with _loading("listen", stage, load.listeners, load.events, head) as answer:
        busy = percentile(await stage.relay.admit(stage.take(load.events), EVENTS_PER_SECOND), 99)
        heard = await answer()
    cpu = (process_usage(stage.pid).cpu_ms - before.cpu_ms) / (load.events / EVENTS_PER_SECOND * 1_000)
    lost = load.listeners * load.events - heard["heard"]
    return [
        measured(stage.group, f"lost by {load.listeners} listeners, {EVENTS_PER_SECOND}/s", lost, "events", GOAL_LOST),
        measured(stage.group, "from commit to a listener: p50", heard["p50_ms"], "ms"),
        measured(stage.group, "from commit to a listener: p99", heard["p99_ms"], "ms"),
        measured(stage.group, "the feed's share of a core", cpu, "ratio"),
        measured(stage.group, "until a signal is on disk, nobody listens: p99", idle, "ms"),
        measured(stage.group, "until a signal is on disk meanwhile: p99", busy, "ms"),
        measured(stage.group, "relay's p99 over idle", busy / idle, "ratio", GOAL_RELAY),
    ]


def _start(command: Sequence[str], stdout: int) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=stdout, text=True)


@asynccontextmanager
async def _loading(what: str, stage: Measured, *numbers: int) -> AsyncIterator[Callable[[], Any]]:
    """The process that loads, once it says that it is ready; what is yielded waits for its answer."""
    command = [
        sys.executable,
        "-m",
        "tocsin_node.bench.feed_load",
        what,
        str(stage.config.feed.port),
        str(stage.key_file),
    ]
    process = _start([*command, *map(str, numbers)], subprocess.PIPE)
    assert process.stdout is not None  # noqa: S101 - it was asked for
    lines = process.stdout

    async def answer() -> Any:
        line = await trio.to_thread.run_sync(lines.readline)
        if not line:
            raise NodeError(f"what loads the feed ended with {process.wait()}")
        return json.loads(line)

    try:
        if (await trio.to_thread.run_sync(lines.readline)).strip() != "open":
            raise NodeError(f"what loads the feed ended with {process.wait()}")
        yield answer
    finally:
        process.kill()
        process.wait()
        lines.close()
