"""kill -9 at any moment of publishing and acting: no forked feed, no lost intent, at most one effect on chain."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trio
from e2e_kit import (
    SETTLE_SECONDS,
    check_feeds,
    guard,
    make_network,
    make_notes,
    make_signal,
    publish,
    restart,
    rounds,
    wait_held,
    wait_open,
)
from tocsin_node.chain.rpc import read_quantity
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.anvil import Anvil, open_anvil
from tocsin_node.demo.processes import NodeProcess, open_nodes
from tocsin_node.demo.scenario_chain import Guardians, Scenario, deploy_scenario, is_paused, unpause
from tocsin_node.errors import ControlError, NodeUnreachable
from tocsin_node.store.reader import MAX_PAGE
from tocsin_protocol.containment.life_cycle import State

HOOK = "pause-lender"
# From before the signal is sealed until after the pause is confirmed, on a slow machine too.
MAX_DELAY_SECONDS = 0.6
PAUSED_TOPIC = "0x62e78cea01bee320cd4e420270b5ea74000d11b0c9f74754ebdbfc544b05a258"


@dataclass
class Scene:
    """Three members and a chain; the first member's node pauses its own lender on anybody's word."""

    anvil: Anvil
    scenario: Scenario
    guardian: str
    nodes: list[NodeProcess]

    async def count_pauses(self) -> int:
        """Paused events since the first block: effects, whoever caused them."""
        query = {"address": self.scenario.lender, "topics": [PAUSED_TOPIC], "fromBlock": "0x0", "toBlock": "latest"}
        return len(await self.anvil.call("eth_getLogs", query))

    async def count_transactions(self) -> int:
        """The guardian's nonce: transactions of its that were mined, whatever became of them."""
        return read_quantity(await self.anvil.call("eth_getTransactionCount", self.guardian, "latest"))


@asynccontextmanager
async def open_scene(folder: Path) -> AsyncIterator[Scene]:
    async with open_anvil() as anvil:
        homes = make_network(folder)
        scenario = await deploy_scenario(anvil, Guardians(*(home.guardian_address for home in homes)))
        target = scenario.account(scenario.lender)
        with homes[0].config_path.open("a") as config:
            config.write(
                f'\n[[chain]]\nchain = "{scenario.chain}"\nendpoints = ["{anvil.url}"]\nconfirmations = 1\n'
                f'\n[[hook]]\nkind = "evm"\nname = "{HOOK}"\ntarget = "{target}"\nfunction = "pause()"\n'
            )
        guard(homes[0], target, HOOK)
        async with open_nodes(homes) as nodes:
            await wait_open(nodes, 2)
            yield Scene(anvil, scenario, homes[0].guardian_address, nodes)


@rounds(3, share=2)
async def test_killed_at_any_moment_a_node_forks_nothing_and_acts_once(tmp_path: Path, rounds: int) -> None:
    chance = random.Random(rounds)
    async with open_scene(tmp_path) as scene:
        target = scene.scenario.account(scene.scenario.lender)
        node, *peers = scene.nodes
        for number in range(rounds):
            epoch = (await node.ask(Verb.ARM, hook=HOOK))["epoch"]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep_publishing, node, number)
                nursery.start_soon(publish, peers[number % 2], [make_signal(target, text=f"drained, {number}")])
                await trio.sleep(chance.uniform(0, MAX_DELAY_SECONDS))
                node.kill()
            await restart(node)
            await wait_open([node], 1)
            # whether or not the signal came before the end, it comes again: the arm epoch bounds the effect
            await wait_held([node], await publish(peers[0], [make_signal(target, text=f"still drained, {number}")]))
            await wait_end(node, epoch)
            effects = number + 1
            assert await is_paused(scene.anvil, scene.scenario.lender)
            assert await scene.count_pauses() == effects
            assert await scene.count_transactions() == effects
            await unpause(scene.anvil, scene.scenario, scene.scenario.lender)
        await check_feeds(scene.nodes)
        check_intents(node)


async def keep_publishing(node: NodeProcess, number: int) -> None:
    """Publish without a pause until the node is killed under it."""
    with suppress(NodeUnreachable, ControlError):
        while True:
            await publish(node, make_notes(5, f"round {number}"))


async def wait_end(node: NodeProcess, epoch: int) -> None:
    """Wait until this arm epoch's one action has come to its end: confirmed."""
    with trio.fail_after(SETTLE_SECONDS):
        while True:
            with node.open_reader() as reader:
                found = [row.action for row in reader.actions() if row.action.arm_epoch == epoch]
            if found and found[0].is_settled:
                assert [action.state for action in found] == [State.EFFECTIVE], found
                return
            await trio.sleep(0.05)


def check_intents(node: NodeProcess) -> None:
    """Each decision that acts has its action, and each action is at an end."""
    with node.open_reader() as reader:
        actions = [row.action for row in reader.actions(limit=MAX_PAGE)]
        decided, before = 0, None
        while page := reader.incidents(before=before, limit=MAX_PAGE):
            decided += sum(decision.acts for row in page for decision in reader.decisions(row.id, limit=MAX_PAGE))
            before = (page[-1].first_ms, page[-1].id)
        assert decided == len(actions)
        assert all(action.is_settled for action in actions)
