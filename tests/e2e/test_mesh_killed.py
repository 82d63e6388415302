"""The mesh killed or frozen every few moments under traffic: it is back, no signal is lost, no decision is late."""

from __future__ import annotations

import itertools
import os
import signal as signals
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from e2e_kit import (
    SETTLE_SECONDS,
    VAULT,
    add_webhook,
    check_feeds,
    make_network,
    make_notes,
    make_signal,
    open_receiver,
    publish,
    rounds,
    wait_held,
    wait_open,
)
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.processes import NodeProcess, open_nodes
from tocsin_node.meshlink import PULSE_INTERVAL_SECONDS

BETWEEN_SECONDS = 3.0
# A mesh takes a second and more until it listens.
STRIKE_SECONDS = 0.02
HOOK = "page"


@rounds(3)
@pytest.mark.parametrize("number", [signals.SIGKILL, signals.SIGSTOP], ids=["killed", "frozen"])
async def test_no_signal_is_lost_and_no_action_late(tmp_path: Path, rounds: int, number: signals.Signals) -> None:
    async with open_receiver() as receiver:
        homes = make_network(tmp_path)
        add_webhook(homes[0], receiver.url, names=(HOOK,))
        async with open_nodes(homes) as nodes:
            await wait_open(nodes, 2)
            digests: list[bytes] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep_talking, nodes, digests)
                for round_number in range(rounds):
                    strike(nodes[1 + round_number % 2], number)
                    struck = {strike(nodes[0], number)}
                    # a relay that waited for its mesh would wait for ever
                    async with trio.open_nursery() as at_once:
                        at_once.start_soon(keep_away, nodes[0], number, struck)
                        await act_once(nodes[0], receiver.hooks)
                        at_once.cancel_scope.cancel()
                    await wait_back(nodes[0], struck)
                    await trio.sleep(BETWEEN_SECONDS)
                nursery.cancel_scope.cancel()
            # a mesh that is back hears and is heard
            await wait_open(nodes, 2)
            for node in nodes:
                digests += await publish(node, make_notes(1, "after"))
            await wait_held(nodes, digests)
            await check_feeds(nodes)
            with trio.fail_after(SETTLE_SECONDS):
                for node in nodes:
                    while not (await node.ask(Verb.HEALTH))["healthy"]:  # noqa: ASYNC110 - another process has no event
                        await trio.sleep(0.05)


async def act_once(node: NodeProcess, hooks: Callable[[], list[str]]) -> None:
    """Arm, publish what meets the rule, and wait for the webhook."""
    before = len(hooks())
    await node.ask(Verb.ARM, hook=HOOK)
    await publish(node, [make_signal(VAULT)])
    with trio.fail_after(SETTLE_SECONDS):
        while len(hooks()) == before:  # noqa: ASYNC110 - one poll for many callers
            await trio.sleep(0.005)


async def keep_away(node: NodeProcess, number: signals.Signals, struck: set[int | None]) -> None:
    """Strike every mesh that the node starts, long before it listens."""
    while True:
        struck.add(strike(node, number))
        await trio.sleep(STRIKE_SECONDS)


async def wait_back(node: NodeProcess, struck: set[int | None]) -> None:
    """Wait until the node has a mesh that listens, and that was not struck."""
    with trio.fail_after(SETTLE_SECONDS):
        await node.wait_status(lambda s: s["mesh"]["up"] and node.mesh_pid() not in {None, *struck})


def strike(node: NodeProcess, number: signals.Signals) -> int | None:
    """Signal the node's mesh, unless it is away from the last time; returns its process id."""
    mesh = node.mesh_pid()
    if mesh is not None:
        with suppress(ProcessLookupError):
            os.kill(mesh, number)
    return mesh


async def keep_talking(nodes: list[NodeProcess], digests: list[bytes]) -> None:
    """Traffic from every node, whatever becomes of its mesh."""
    for number in itertools.count():
        for node in nodes:
            digests += await publish(node, make_notes(3, f"{node.name} {number}"))
        await trio.sleep(PULSE_INTERVAL_SECONDS)
