"""From a signal published at one node to the pause mined by another, over a bare loop that signs, sends and waits."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import trio
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.ids import account_of
from tocsin_protocol.rates import CRITICAL_RATES
from tocsin_protocol.roster_model import RateClass
from tocsin_protocol.taxonomy import Severity

from tocsin_node.chain.abi import encode_call, parse_function
from tocsin_node.chain.client import ChainClient, open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.sender import Sender
from tocsin_node.clock import now_ms
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.anvil import Anvil, open_anvil
from tocsin_node.demo.network import create_local_network, write_guard
from tocsin_node.demo.processes import NodeProcess, open_nodes, wait_connected
from tocsin_node.demo.scenario_chain import Guardians, Scenario, deploy_scenario, unpause
from tocsin_node.keystore import open_keystore
from tocsin_node.signal_json import signal_to_json
from tocsin_node.store.reader import ActionEvent

from .figures import percentile
from .result import LOWER, Result, measured
from .workload import sample_signal

# What one publisher's words may set off is bounded, so there is a network for each hundred.
NETWORKS = 3
INCIDENTS = 100
GOAL = (LOWER, 4.0)
HOOK = "pause"
START_SECONDS = 90.0
ROUND_SECONDS = 60.0
# Before each of both, so that they start alike, and the speaker stays within its rate of CRITICAL signals: what is over
# it comes by sync, seconds later.
QUIET_SECONDS = 0.5 / CRITICAL_RATES[RateClass.STANDARD].per_second
POLL_SECONDS = 0.001
LOOK_SECONDS = 0.05

_PAUSE = encode_call(parse_function("pause()"))


async def bench_reaction(group: str, advance: Callable[[], None], incidents: int = INCIDENTS) -> list[Result]:
    """Both loops in one run, turn by turn, so that a busy moment of the machine hits both."""
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(NETWORKS):
        await _run_network(advance, incidents, bare, ours)
    return [
        measured(group, "bare sign, send, receipt: p50", median(bare), "ms"),
        measured(group, "signal to pause mined: p50", median(ours), "ms"),
        measured(group, "signal to pause mined: p99", percentile(ours, 99), "ms"),
        measured(group, "signal to pause mined over bare: p50", median(ours) / median(bare), "ratio", GOAL),
        measured(
            group, "signal to pause mined over bare: p99", percentile(ours, 99) / percentile(bare, 99), "ratio", GOAL
        ),
    ]


async def _run_network(advance: Callable[[], None], incidents: int, bare: list[float], ours: list[float]) -> None:
    """Add the times of so many incidents, in ms."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        async with open_anvil() as anvil:
            homes = create_local_network(Path(directory), ["speaker", "actor"], now_ms())
            actor = homes[1]
            scenario = await deploy_scenario(
                anvil, Guardians(actor.guardian_address, actor.guardian_address, actor.guardian_address)
            )
            target = account_of(scenario.chain, scenario.vault)
            with actor.config_path.open("a") as file:
                file.write(
                    f'\n[[chain]]\nchain = "{scenario.chain}"\nendpoints = ["{anvil.url}"]\nconfirmations = 1\n'
                    f'\n[[hook]]\nkind = "evm"\nname = "{HOOK}"\ntarget = "{target}"\nfunction = "pause()"\n'
                )
            write_guard(actor, target, HOOK, pinned=["speaker"])
            async with open_nodes(homes) as nodes:
                with trio.fail_after(START_SECONDS):
                    await wait_connected(nodes)
                config = nodes[1].config
                key = open_keystore(config.keys.keystore, config.read_passphrase()).guardian
                chain = ChainConfig(chain=scenario.chain, endpoints=[anvil.url])
                async with open_chain(chain) as client:
                    sender = Sender(client, Guardian(key))
                    for number in range(incidents):
                        with trio.fail_after(ROUND_SECONDS):
                            await trio.sleep(QUIET_SECONDS)
                            bare.append(await _bare_pause(anvil, scenario, client, sender))
                            await trio.sleep(QUIET_SECONDS)
                            ours.append(await _published_pause(anvil, scenario, nodes, target, number))
                        advance()


async def _bare_pause(anvil: Anvil, scenario: Scenario, client: ChainClient, sender: Sender) -> float:
    """ms to ask for the nonce and fees, sign, send, and see the receipt; the guardian's own next transaction."""
    began = time.perf_counter()
    preparation = await sender.prepare(scenario.vault, _PAUSE)
    signed = sender.sign_first(scenario.vault, _PAUSE, preparation.quote)
    await client.endpoints[0].call("eth_sendRawTransaction", "0x" + signed.raw.hex())
    while not await client.endpoints[0].call("eth_getTransactionReceipt", "0x" + signed.hash.hex()):  # noqa: ASYNC110
        await trio.sleep(POLL_SECONDS)
    took_ms = 1000 * (time.perf_counter() - began)
    await unpause(anvil, scenario, scenario.vault)
    return took_ms


async def _published_pause(
    anvil: Anvil, scenario: Scenario, nodes: list[NodeProcess], target: str, number: int
) -> float:
    """ms from handing the signal to one node until the other has journalled the receipt."""
    speaker, actor = nodes
    await actor.ask(Verb.ARM, hook=HOOK)
    document = signal_to_json(sample_signal(number, now_ms(), severity=Severity.CRITICAL, subject=target))
    began_ms = time.time_ns() / 1e6
    await speaker.ask(Verb.PUBLISH, signals=[document])
    event = await _wait_mined(actor, int(began_ms))
    await unpause(anvil, scenario, scenario.vault)
    return event.at_ms - began_ms


async def _wait_mined(actor: NodeProcess, since_ms: int) -> ActionEvent:
    """The event of the receipt, read in the database: a node that is asked meanwhile would be measured answering us."""
    with actor.open_reader() as reader:
        while True:
            await trio.sleep(LOOK_SECONDS)
            for row in reader.actions(limit=1):
                if row.action.created_ms >= since_ms and row.action.is_settled:
                    return next(event for event in row.events if event.event is Event.INCLUDE)
