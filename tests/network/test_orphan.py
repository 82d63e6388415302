"""A mesh never outlives its relay, whatever state it is in: the next relay needs its port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from tocsin_node.clock import now_ms
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.network import create_local_network
from tocsin_node.demo.processes import NodeProcess
from tocsin_node.mesh.__main__ import main
from tocsin_protocol.roster_model import RateClass

DEADLINE_SECONDS = 120
# Worker threads of trio that have nothing to do end after ten seconds.
IDLE_SECONDS = 12


async def _wait_mesh(node: NodeProcess) -> int:
    """Wait until a mesh of this node listens; its process id."""
    with trio.fail_after(DEADLINE_SECONDS):
        await node.wait_ready()
        while True:
            status = await node.ask("status")
            pid = node.mesh_pid()
            if status["mesh"]["listen"] and pid is not None:
                return pid
            await trio.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _started_by_first_thread(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


async def _wait_gone(pid: int) -> None:
    with trio.fail_after(DEADLINE_SECONDS):
        while _is_running(pid):  # noqa: ASYNC110 - no child of ours: nothing tells us of its end
            await trio.sleep(0.05)


@pytest.fixture
def node(tmp_path: Path) -> NodeProcess:
    homes = create_local_network(tmp_path, ("alba", "brook"), now_ms(), rate_class=RateClass.HIGH)
    return NodeProcess(homes[0])


async def test_a_frozen_mesh_ends_with_its_relay_and_leaves_the_port(node: NodeProcess) -> None:
    mesh = None
    node.start()
    try:
        mesh = await _wait_mesh(node)
        os.kill(mesh, signal.SIGSTOP)
        node.kill_relay()
        await _wait_gone(mesh)
        node.start()
        mesh = await _wait_mesh(node)
    finally:
        node.kill()
        if mesh is not None and _is_running(mesh):
            os.kill(mesh, signal.SIGKILL)


async def test_a_mesh_outlives_the_worker_threads_of_its_relay(node: NodeProcess) -> None:
    node.start()
    try:
        mesh = await _wait_mesh(node)
        # Bound to a thread that stays: a worker's end would end it, too.
        assert mesh in _started_by_first_thread(node.pid)
        await trio.sleep(IDLE_SECONDS)
        # One that looked frozen on a machine that stood still was replaced; it did not end by itself.
        metrics = (await node.ask(Verb.METRICS))["text"]
        assert 'tocsin_mesh_starts_total{why="first"} 1.0' in metrics
        assert 'tocsin_mesh_starts_total{why="died"}' not in metrics
    finally:
        node.kill()


def test_a_mesh_whose_relay_has_ended_does_not_start() -> None:
    command = [sys.executable, "-m", "tocsin_node.mesh", "nowhere.sock", "1" * 9]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert (done.returncode, done.stderr) == (1, "mesh: the relay is gone\n")


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "-1"], ["a", "1", "2"]])
def test_wrong_usage_says_what_is_right(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "SOCKET [PARENT]" in capsys.readouterr().err
