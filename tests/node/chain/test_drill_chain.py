"""A drill over a real mesh and a real chain: two nodes, each with a lever on one contract and a drill of its view."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import trio
from chain_kit import Bench
from tocsin_node.app import Relay, open_relay
from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.demo.network import create_local_network
from tocsin_node.demo.scenario_chain import is_paused
from tocsin_node.keystore import open_keystore
from tocsin_node.relay.publishing import Speech
from tocsin_node.setup_node import NodeHome
from tocsin_node.store.drills import read_records
from tocsin_protocol.drill import DrillRecord, DrillStage, decode_record, verify_record
from tocsin_protocol.taxonomy import Category

DEADLINE_SECONDS = 120
DRILL = {
    "category": str(Category.META_DRILL),
    "severity": "low",
    "confidence": 100,
    "drill": True,
    "subjects": [{"role": "related", "value": "drill"}],
}


async def prepare(home: NodeHome, bench: Bench, url: str, more: str) -> None:
    """Configure a lever and its drill, and give the guardian gas."""
    hooks = f"""
[[chain]]
chain = "{bench.anvil.chain}"
endpoints = ["{url}"]
poll_max_ms = 50

[[hook]]
kind = "evm"
name = "pause-pool"
target = "{bench.target}"
preset = "pausable"

[[hook]]
kind = "evm"
name = "drill-pool"
drill = true
target = "{bench.target}"
function = "paused()"
check = ""
{more}
"""
    with home.config_path.open("a") as file:
        file.write(hooks)
    config = load_config(home.config_path)
    guardian = open_keystore(config.keys.keystore, config.read_passphrase()).guardian_address
    await bench.anvil.call("anvil_setBalance", guardian, hex(10**19))


async def wait_record(relay: Relay, key: bytes) -> DrillRecord:
    with trio.fail_after(DEADLINE_SECONDS):
        while True:
            signed: Sequence[tuple[bytes, bytes]] = await relay.store.writer.submit(lambda c: read_records(c, 10))
            if signed:
                assert decode_record(signed[0][0]) == verify_record(key, *signed[0])
                return verify_record(key, *signed[0])
            await trio.sleep(0.05)


async def test_a_drill_goes_the_whole_way_on_the_node_and_on_its_peer(bench: Bench, tmp_path: Path) -> None:
    alba, brook = create_local_network(tmp_path, ("alba", "brook"), now_ms())
    await prepare(alba, bench, bench.anvil.url, "")
    await prepare(brook, bench, bench.anvil.url, "[drills]\nanswer_peers = true\n")
    async with AsyncExitStack() as stack:
        relays = [await stack.enter_async_context(open_relay(load_config(home.config_path))) for home in (alba, brook)]
        with trio.fail_after(DEADLINE_SECONDS):
            for relay in relays:
                while relay.publishing.speech is not Speech.OPEN or not relay.supervisor.peers:  # noqa: ASYNC110
                    await trio.sleep(0.05)
        await relays[0].operator.publish({"signals": [DRILL]})
        for relay in relays:
            publisher = relay.network.index.publisher(relay.store.publisher)
            assert publisher is not None
            record = await wait_record(relay, publisher.key)
            assert (record.hook, record.outcome) == ("drill-pool", "effective")
            assert [stage for stage, _ in record.stages] == list(DrillStage)
            assert record.publisher == relays[0].store.publisher
            assert record.ttc_ms is not None
    assert not await is_paused(bench.anvil, bench.scenario.dex)
