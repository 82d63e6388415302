"""A js-libp2p member beside two whole nodes of ours, relay and mesh: signals, sync, heartbeats and proofs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from js_peer import JsPeer, running_js
from mesh_kit import Node
from tocsin_node.clock import now_ms
from tocsin_node.config import load_config
from tocsin_node.control_verbs import Verb
from tocsin_node.demo.network import create_local_network
from tocsin_node.demo.processes import NodeProcess, open_nodes
from tocsin_node.keystore import open_keystore
from tocsin_node.roster_files import read_roster
from tocsin_node.setup_node import NodeHome
from tocsin_node.store.database import open_reader
from tocsin_protocol.body import decode_body, encode_body
from tocsin_protocol.envelope import Envelope, decode_envelope, seal_envelope
from tocsin_protocol.frame import encode_frame
from tocsin_protocol.ids import NO_DIGEST
from tocsin_protocol.roster_encoding import decode_roster
from tocsin_protocol.signing import Domain
from tocsin_protocol.sync import MAX_RANGE_BYTES, MAX_RANGE_ENVELOPES

VICTIM = "eip155:1:0x" + "5a" * 20
DEADLINE_SECONDS = 90
# `make interop` sets ten minutes, `make soak` runs the long form.
TRAFFIC_SECONDS = float(os.environ.get("TOCSIN_INTEROP_SECONDS", "20"))
SOAK_SECONDS = 600.0
TRAFFIC_PER_SECOND = 10
# As many incidents at once; each gets its share of the traffic.
VICTIMS = 200


@dataclass
class Network:
    """Two nodes of ours, and the keys and address of the third member, which js will be."""

    nodes: list[NodeProcess]
    js_node: Node
    js_listen: str
    roster: bytes

    @property
    def domain(self) -> Domain:
        return Domain(decode_roster(self.roster).network_id)

    @asynccontextmanager
    async def js(self, js_dir: Path) -> AsyncIterator[JsPeer]:
        """Start the third member, at the address in the roster; wait until all are connected and may publish."""
        dial = {}
        for node in self.nodes:
            status = await node.ask(Verb.STATUS)
            dial[status["peer_id"]] = list(node.config.mesh.listen)
        async with running_js(self.js_node, self.roster, js_dir, dial, self.js_listen) as js:
            await js.poll(lambda state: set(state["subscribers"]) == set(dial))
            for node in self.nodes:
                await node.wait_status(lambda s: s["mesh"]["peers"] >= 2 and s["publishing"].startswith("open"))
            yield js

    def stored(self, node: NodeProcess, publisher: bytes, lane: int) -> list[Envelope]:
        """What a node's database holds of a feed."""
        with node.open_reader() as reader:
            items = reader.feed_range(publisher, lane, 1, 10_000, most=MAX_RANGE_ENVELOPES, max_bytes=MAX_RANGE_BYTES)
        return [decode_envelope(self.domain, item) for item in items]

    async def wait_stored(self, publisher: bytes, lane: int, count: int) -> list[Envelope]:
        """Wait until both nodes hold this many signals of a feed; returns what the last one holds."""
        for node in self.nodes:
            await wait_until(lambda node=node: len(self.stored(node, publisher, lane)) >= count)
        return self.stored(self.nodes[-1], publisher, lane)


@asynccontextmanager
async def two_nodes(tmp_path: Path) -> AsyncIterator[Network]:
    homes: list[NodeHome] = create_local_network(tmp_path, ["alba", "brook", "jay"], now_ms())
    config = load_config(homes[2].config_path)
    keys = open_keystore(config.keys.keystore, config.read_passphrase())
    js_node = Node("jay", keys.transport, keys.publisher)
    roster = read_roster(config.network.genesis).body
    with trio.fail_after(DEADLINE_SECONDS + SOAK_SECONDS):
        async with open_nodes(homes[:2]) as nodes:
            yield Network(nodes, js_node, config.mesh.listen[0], roster)


async def wait_until(found: Callable[[], bool]) -> None:
    """Look again and again, within the deadline, until `found`."""
    with trio.fail_after(DEADLINE_SECONDS):
        while True:
            if found():
                return
            await trio.sleep(0.1)


def draft(text: str, severity: str = "high", victim: str = VICTIM) -> dict[str, Any]:
    return {"category": "asset.drain", "severity": severity, "confidence": 80, "subjects": [
        {"role": "victim", "kind": "account", "value": victim}], "text": text}  # fmt: skip


def js_fields(text: str, severity: str = "high", victim: str = VICTIM) -> dict[str, Any]:
    """The fields of a body as they stand on the wire."""
    now = now_ms()
    return {"category": "asset.drain", "stage": "exploitation", "severity": severity, "confidence": 70,
            "credibility": 2, "detected": now, "issued": now, "expires": now + 3_600_000, "drill": False,
            "subjects": [["victim", "account", victim]], "evidence": [], "loss": [1, 2, 3], "refs": [], "tier": 0,
            "tlp": "amber", "text": text}  # fmt: skip


async def publisher_of(node: NodeProcess) -> bytes:
    return bytes.fromhex((await node.ask(Verb.STATUS))["publisher"].removeprefix("0x"))


async def test_signals_of_nodes_and_js_reach_each_other(tmp_path: Path, js_dir: Path) -> None:
    async with two_nodes(tmp_path) as network, network.js(js_dir) as js:
        alba = await publisher_of(network.nodes[0])
        for lane, severity in enumerate(("critical", "high")):
            published = await network.nodes[0].ask(
                Verb.PUBLISH, signals=[draft(f"from a node, {n}", severity) for n in range(5)]
            )
            # A frame may overtake another.
            await js.wait_for(lambda lane=lane: sorted(js.signals(alba, lane)) == [1, 2, 3, 4, 5])
            told = {e["digest"] for e in js.events if e["event"] == "signal" and e["lane"] == lane}
            assert {sealed["digest"].removeprefix("0x") for sealed in published["sealed"]} == told

            for n in range(5):
                await js.call("raise", signal=js_fields(f"from js, {n}", severity))
            held = await network.wait_stored(network.js_node.publisher, lane, 5)
            assert [decode_body(e.body).text for e in held] == [f"from js, {n}" for n in range(5)]


async def test_js_that_comes_late_fetches_what_it_missed(tmp_path: Path, js_dir: Path) -> None:
    async with two_nodes(tmp_path) as network:
        first = network.nodes[0]
        await first.wait_status(lambda s: s["mesh"]["peers"] >= 1 and s["publishing"].startswith("open"))
        await first.ask(Verb.PUBLISH, signals=[draft(f"early {n}") for n in range(50)])
        alba = await publisher_of(first)
        await network.wait_stored(alba, 1, 50)
        await wait_until(lambda: waiting_for_mesh(first) == 0)
        # Started again, they have nothing recent left to offer by gossip.
        for node in network.nodes:
            await node.stop()
        for node in network.nodes:
            node.start()
        for node in network.nodes:
            await node.wait_ready()
        async with network.js(js_dir) as js:
            await js.wait_for(lambda: len(js.signals(alba)) == 50)
            assert {event["via"] for event in js.events if event["event"] == "signal"} == {"sync"}
            assert (await js.call("state"))["linked"][f"{alba.hex()}/1"] == 50


def waiting_for_mesh(node: NodeProcess) -> int:
    """How many own signals a node would hand to the mesh again if it started now."""
    with closing(open_reader(node.config.node.data_dir)) as reader:
        (waiting,) = reader.execute("SELECT COUNT(*) FROM outbox").fetchone()
    return int(waiting)


async def test_nodes_fetch_from_js_what_was_never_gossiped(tmp_path: Path, js_dir: Path) -> None:
    async with two_nodes(tmp_path) as network, network.js(js_dir) as js:
        for n in range(30):
            await js.call("raise", signal=js_fields(f"kept back {n}"), gossip=False)
        # The next one is gossiped: it does not link, so the nodes ask for what lies before it.
        await js.call("raise", signal=js_fields("heard"))
        held = await network.wait_stored(network.js_node.publisher, 1, 31)
        assert [e.sequence for e in held] == list(range(1, 32))


async def test_two_histories_told_by_js_are_proven_to_everybody(tmp_path: Path, js_dir: Path) -> None:
    async with two_nodes(tmp_path) as network, network.js(js_dir) as js:
        told = (await js.call("raise", signal=js_fields("one history")))["signals"][0]
        await network.wait_stored(network.js_node.publisher, 1, 1)
        body = encode_body(decode_body(bytes.fromhex(told["body"])))
        js_node = network.js_node
        rival = seal_envelope(
            network.domain, js_node.secret, js_node.publisher, 1, 1, NO_DIGEST, body.replace(b"one", b"two")
        )
        await js.call("frame", data=encode_frame([rival.encoded]).hex())
        # The js member holds no proof against itself until a node gossips one, which it then verifies.
        await js.wait_for(lambda: [e for e in js.events if e["event"] == "proof"])
        for node in network.nodes:
            await wait_until(lambda node=node: is_proven(node, js_node.publisher))


def is_proven(node: NodeProcess, publisher: bytes) -> bool:
    """Whether a node's database holds a proof against a publisher."""
    with node.open_reader() as reader:
        return publisher in reader.equivocators()


@pytest.mark.parametrize("seconds", [TRAFFIC_SECONDS, pytest.param(SOAK_SECONDS, marks=pytest.mark.soak, id="soak")])
async def test_js_scores_nodes_well_through_steady_traffic(seconds: float, tmp_path: Path, js_dir: Path) -> None:
    async with two_nodes(tmp_path) as network, network.js(js_dir) as js:
        sent, samples = round(seconds * TRAFFIC_PER_SECOND), []
        began = trio.current_time()
        for number in range(sent):
            victim, severity = f"eip155:1:0x{number % VICTIMS:040x}", ("high", "critical")[number % 4 // 2]
            # Each of the three in turn.
            if number % 3 < 2:
                signal = draft(f"traffic {number}", severity, victim)
                await network.nodes[number % 3].ask(Verb.PUBLISH, signals=[signal])
            else:
                await js.call("raise", signal=js_fields(f"traffic {number}", severity, victim))
            if number % TRAFFIC_PER_SECOND == 0:
                samples.append(await js.call("state"))
            await trio.sleep_until(began + (number + 1) / TRAFFIC_PER_SECOND)
        publishers = [*[await publisher_of(node) for node in network.nodes], network.js_node.publisher]
        everything = {publisher: len(range(place, sent, 3)) for place, publisher in enumerate(publishers)}
        for node in network.nodes:
            await wait_until(lambda node=node: counts(node) == everything)
        for publisher in publishers[:2]:
            await js.wait_for(lambda p=publisher: sum(len(js.signals(p, lane)) for lane in (0, 1)) == everything[p])
        samples.append(await js.call("state"))
        # A machine that stands still may cost a connection; peers that cannot live together lose one every few seconds.
        assert sum(event["event"] == "peer-down" for event in js.events) <= 1 + seconds // 60
        assert min(score for sample in samples for score in sample["scores"].values()) >= 0
        # A high score could hide a penalty: there was none of any kind.
        for stats in samples[-1]["scoreParts"].values():
            assert stats["behaviourPenalty"] == 0
            assert all(topic["invalidMessageDeliveries"] == 0 for topic in stats["topics"].values())


def counts(node: NodeProcess) -> dict[bytes, int]:
    """How many signals of each publisher a node's database holds without a gap."""
    held: dict[bytes, int] = {}
    with node.open_reader() as reader:
        for feed in reader.feeds():
            held[feed.publisher] = held.get(feed.publisher, 0) + feed.contiguous
    return held


async def test_js_hears_heartbeats_and_thinks_well_of_us(tmp_path: Path, js_dir: Path) -> None:
    async with two_nodes(tmp_path) as network, network.js(js_dir) as js:
        peers = {(await node.ask(Verb.STATUS))["peer_id"] for node in network.nodes}
        await js.wait_for(lambda: {e["peer"] for e in js.events if e["event"] == "heartbeat"} == peers)
        state = await js.poll(lambda state: set(state["scores"]) == peers and state)
        assert min(state["scores"].values()) >= 0
        assert all(stats["behaviourPenalty"] == 0 for stats in state["scoreParts"].values())
