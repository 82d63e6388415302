"""A member that is cut off: both sides go on, and afterwards all hold the same, and nobody acted twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from e2e_kit import (
    SETTLE_SECONDS,
    VAULT,
    Receiver,
    add_webhook,
    check_feeds,
    held_by,
    make_notes,
    make_signal,
    open_receiver,
    open_wired_network,
    publish,
    wait_held,
    wait_open,
)
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.processes import NodeProcess, open_nodes

SIGNALS = 1000
SOAK_SECONDS = 60


@pytest.mark.parametrize("seconds", [2, pytest.param(SOAK_SECONDS, marks=pytest.mark.soak)])
@pytest.mark.parametrize("is_noticed", [True, False], ids=["cut", "blocked"])
async def test_after_a_partition_all_hold_the_same_and_nobody_acts_twice(
    tmp_path: Path, seconds: int, *, is_noticed: bool
) -> None:
    async with open_receiver() as receiver, open_wired_network(tmp_path) as (homes, wires):
        for home in homes:
            add_webhook(home, receiver.url)
        async with open_nodes(homes) as nodes:
            await wait_open(nodes, 2)
            for node in nodes:
                await node.ask(Verb.ARM, hook="page")
            for wire in wires:
                wire.cut() if is_noticed else wire.block()
            *near, far = nodes
            if is_noticed:
                with trio.fail_after(SETTLE_SECONDS):
                    await far.wait_status(lambda s: s["mesh"]["peers"] == 0)
                    for node in near:
                        await node.wait_status(lambda s: s["mesh"]["peers"] == 1)
            digests = await talk_apart(near, far, receiver, seconds)
            for wire in wires:
                wire.mend()
            await wait_held(nodes, digests)
            # the far side knew of nothing; now of all
            await receiver.wait_calls(3)
            with trio.fail_after(SETTLE_SECONDS):
                for node in nodes:
                    await node.wait_status(lambda s: s["actions"] == {"effective": 1})
            await check_feeds(nodes)
            assert len(held_by(far)) == len(digests)
            # more of the same sets nothing off again
            await wait_held(nodes, await publish(far, [make_signal(VAULT, text="still")]))
            assert sorted(receiver.hooks()) == sorted(node.name for node in nodes)


async def talk_apart(near: list[NodeProcess], far: NodeProcess, receiver: Receiver, seconds: int) -> list[bytes]:
    """Spread the signals of both sides over the time of the partition; the near side sees the drain in it."""
    digests: list[bytes] = []
    batches = 10
    for number in range(batches):
        for node, count in ((near[0], 60), (near[1], 30), (far, 10)):
            digests += await publish(node, make_notes(count * SIGNALS // (100 * batches), f"{node.name} {number}"))
        await trio.sleep(seconds / batches)
    for node in near:
        digests += await publish(node, [make_signal(VAULT, text=f"{node.name} sees it")])
    await receiver.wait_calls(2)
    assert far.name not in receiver.hooks()
    with far.open_reader() as reader:
        assert len(reader.signals(limit=1000)) == SIGNALS // 10
    return digests
