"""kill -9 at every await around publishing: what was sent is on disk, in one history, and no intent is lost."""

from __future__ import annotations

import os
import signal as signals
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import pytest
import trio
from protocol_kit import DOMAIN, NETWORK_ID, Feed, make_signal, make_standard
from relay_kit import DEADLINE_SECONDS, Hand, open_bench
from store_kit import HOOK, OWN, Lever, arm
from tocsin_node.hooks.hook import Journal
from tocsin_node.meshlink import Message, Publish
from tocsin_node.store.actions import count_actions_by_state, read_arms
from tocsin_node.store.database import StoreError, open_reader
from tocsin_node.store.feeds import read_feeds, read_range
from tocsin_node.store.outbox import read_outbox
from tocsin_node.store.reader import Reader
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import State
from tocsin_protocol.envelope import Envelope, decode_envelope
from tocsin_protocol.ids import NO_DIGEST

MAX_STEPS = 5_000
"""Far more than one run of the script has."""


@dataclass(eq=False)
class KillAt(trio.abc.Instrument):
    """Ends the process, as kill -9 does, before the n-th step of any task."""

    left: int

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signals.SIGKILL)


class Tape(Hand):
    """A mesh that writes down what it was given, where a killed process cannot take it back."""

    def __init__(self, path: FilePath) -> None:
        super().__init__()
        self._tape = path.open("ab", buffering=0)

    def send(self, *messages: Message) -> bool:
        for message in messages:
            if isinstance(message, Publish):
                self._tape.write(message.envelope.hex().encode() + b"\n")
        return super().send(*messages)


class LastingLever(Lever):
    """A lever whose effects are kept beside the database."""

    def __init__(self, path: FilePath) -> None:
        super().__init__()
        self._path = path

    async def run(self, action: Action, journal: Journal) -> Action:
        with self._path.open("ab", buffering=0) as effects:
            effects.write(action.action_id.hex().encode() + b"\n")
        return await super().run(action, journal)


async def run_script(folder: FilePath) -> None:
    """Arm once, publish in both lanes so that the hook fires, and end when the action has."""
    lever = LastingLever(folder / "effects")
    mesh = Tape(folder / "sent")
    async with open_bench(folder / "data", organisations=1, lever=lever, mesh=mesh) as bench:
        if not await bench.store.writer.submit(read_arms):
            await bench.store.writer.submit(arm)
        # as when the first mesh is ready
        bench.publishing.offer_again()
        await bench.publishing.publish([make_signal(text="a draft")])
        await bench.publishing.allow("test")
        for number in range(2):
            await bench.publishing.publish([make_standard(text=f"{number}"), make_signal(text=f"{number}")])
            bench.receipts()
        with trio.fail_after(DEADLINE_SECONDS):
            while await bench.store.writer.submit(count_actions_by_state) != {State.EFFECTIVE: 1}:  # noqa: ASYNC110
                await trio.sleep(0.001)
            while await bench.store.writer.submit(partial(read_outbox, publisher=bench.store.publisher)):
                bench.receipts()
                await trio.sleep(0.001)


def run_and_kill(folder: FilePath, steps: int) -> bool:
    """Run the script in a process that dies before its `steps`-th step; returns whether it ended before that."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            trio.run(run_script, folder, instruments=[KillAt(steps)])
            code = 0
        except BaseException:  # noqa: BLE001 - the child must not go on as a second pytest
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signals.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def sent(folder: FilePath) -> list[Envelope]:
    tape = folder / "sent"
    return [decode_envelope(DOMAIN, bytes.fromhex(line)) for line in lines(tape)]


def lines(path: FilePath) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def kill_points() -> Iterator[int]:
    """Every step at first, where everything happens for the first time; then every third."""
    step = 1
    while step < MAX_STEPS:
        yield step
        step += 1 if step < 120 else 3


def test_killed_at_every_await_it_tells_one_history_and_loses_no_intent(tmp_path: FilePath) -> None:
    for steps in kill_points():
        folder = tmp_path / str(steps)
        folder.mkdir()
        ended = run_and_kill(folder, steps)
        check_history(folder)
        if ended:
            break
        assert run_and_kill(folder, 10 * MAX_STEPS)
        check_history(folder)
        check_end(folder)
    else:
        pytest.fail(f"the script has more than {MAX_STEPS} steps")


def check_history(folder: FilePath) -> None:
    """Whatever the mesh was given is on disk, and the feeds are whole and linked."""
    if not (folder / "data" / "tocsin.db").exists():
        assert not lines(folder / "sent")
        return
    try:
        connection = open_reader(folder / "data")
    except StoreError:
        # killed before the schema was there
        assert not lines(folder / "sent")
        return
    held: dict[Any, bytes] = {}
    try:
        for feed in read_feeds(connection):
            assert not feed.has_gap
            previous = NO_DIGEST
            for item in read_range(connection, feed.publisher, feed.lane, 1, feed.head, most=100, max_bytes=10**6):
                envelope = decode_envelope(DOMAIN, item)
                assert envelope.previous == previous
                previous = envelope.digest
                held[envelope.lane, envelope.sequence] = envelope.digest
    finally:
        connection.close()
    for envelope in sent(folder):
        assert held[envelope.lane, envelope.sequence] == envelope.digest
    with_effect = set(lines(folder / "effects"))
    assert len(with_effect) <= 1


def check_end(folder: FilePath) -> None:
    """After one more run the intent has come to its end, once, and everything sealed was sent."""
    with Reader(folder / "data") as reader:
        (row,) = reader.actions()
        assert (row.action.hook, row.action.state) == (HOOK, State.EFFECTIVE)
        assert set(lines(folder / "effects")) == {row.action.action_id.hex()}
        decided = [decision for incident in reader.incidents() for decision in reader.decisions(incident.id)]
        assert sum(decision.acts for decision in decided) == 1
        stored = {signal.envelope.digest for signal in reader.signals(limit=1000)}
        assert reader.network_id == NETWORK_ID
        assert reader.publisher == Feed(OWN).publisher
    assert {envelope.digest for envelope in sent(folder)} == stored
