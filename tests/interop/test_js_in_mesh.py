"""A js-libp2p peer is a member like any other: connections, signals and sync, both ways, with real mesh processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
from js_peer import JsPeer, running_js
from mesh_kit import NETWORK_ID, Node, Running, introduce, make_nodes, make_roster, running_mesh
from relay_stand_in import RelayStandIn
from tocsin_node.meshlink import Publish, UseRoster
from tocsin_protocol.envelope import decode_envelope
from tocsin_protocol.feed import is_valid_signature
from tocsin_protocol.frame import encode_frame
from tocsin_protocol.signing import Domain
from tocsin_protocol.sync import RangeRequest

TRAFFIC_SECONDS = 15
TRAFFIC_PER_SECOND = 10


@dataclass
class World:
    """Two mesh processes of ours and a js peer: it dials one of them, the other dials it."""

    dialled: Running
    dialling: Running
    js: JsPeer
    js_node: Node
    relays: dict[str, RelayStandIn]

    @property
    def ours(self) -> tuple[Running, Running]:
        return self.dialled, self.dialling

    @property
    def our_peers(self) -> set[str]:
        return {self.dialled.node.peer_id, self.dialling.node.peer_id}


@asynccontextmanager
async def mesh_with_js(tmp_path: Path, js_dir: Path, held: int = 0) -> AsyncIterator[World]:
    """Everybody connected and subscribed. `held`: signals of ours that are stored and were never gossiped."""
    first, second, js_node = make_nodes(3, "interop")
    roster = make_roster([first, second, js_node])
    async with (
        running_mesh(first, roster, tmp_path) as dialled,
        running_mesh(second, roster, tmp_path) as dialling,
    ):
        relays = {running.node.name: RelayStandIn(running) for running in (dialled, dialling)}
        relays[first.name].hold([first.seal() for _ in range(held)])
        async with trio.open_nursery() as nursery:
            for relay in relays.values():
                nursery.start_soon(relay.run)
            await introduce([dialled, dialling], roster)
            # The js peer knows the first alone; the second knows the js peer.
            dial = {first.peer_id: dialled.listen}
            async with running_js(js_node, roster, js_dir, dial) as js:
                known = {first.peer_id: dialled.listen, js.peer_id: js.listen}
                await dialling.link.send(UseRoster(roster, known))
                world = World(dialled, dialling, js, js_node, relays)
                await dialled.wait_peers(2)
                await dialling.wait_peers(2)
                await js.poll(lambda state: set(state["subscribers"]) == world.our_peers)
                yield world
            nursery.cancel_scope.cancel()


async def test_js_dials_us_and_we_dial_js(tmp_path: Path, js_dir: Path) -> None:
    async with mesh_with_js(tmp_path, js_dir) as world:
        assert world.js.peer_id == world.js_node.peer_id
        assert world.js.peer_id in world.dialled.peers_up()
        assert world.js.peer_id in world.dialling.peers_up()
        assert set((await world.js.call("state"))["connected"]) == world.our_peers


async def test_signals_pass_both_ways_and_verify_on_both_sides(tmp_path: Path, js_dir: Path) -> None:
    async with mesh_with_js(tmp_path, js_dir) as world:
        domain = Domain(NETWORK_ID)
        for lane in (0, 1):
            ours = [world.dialled.node.seal(f"ours {n}".encode(), lane) for n in range(20)]
            await world.dialled.link.send(*(Publish(e.lane, e.sequence, e.encoded) for e in ours))
            publisher = world.dialled.node.publisher
            await world.js.wait_for(lambda lane=lane, p=publisher: len(world.js.signals(p, lane)) == 20)
            told = {e["digest"]: e["position"] for e in world.js.events if e["event"] == "signal"}
            assert {told[envelope.digest.hex()] for envelope in ours} == {"linked"}

            bodies = [f"theirs {n}".encode().hex() for n in range(20)]
            signed = (await world.js.call("publish", lane=lane, bodies=bodies))["signals"]
            for running in world.ours:
                relay = world.relays[running.node.name]
                await running.wait_for(
                    lambda relay=relay, lane=lane: len(relay.sequences(world.js_node.publisher, lane)) == 20
                )
                theirs = [decode_envelope(domain, item) for item in running.envelopes()]
                theirs = [e for e in theirs if e.publisher == world.js_node.publisher and e.lane == lane]
                assert {e.digest.hex() for e in theirs} == {signal["digest"] for signal in signed}
                assert all(is_valid_signature(e, world.js_node.key) for e in theirs)


async def test_js_fetches_what_it_missed(tmp_path: Path, js_dir: Path) -> None:
    async with mesh_with_js(tmp_path, js_dir, held=1500) as world:
        publisher = world.dialled.node.publisher
        await world.js.wait_for(lambda: len(world.js.signals(publisher)) == 1500)
        assert {e["via"] for e in world.js.events if e["event"] == "signal"} == {"sync"}
        assert (await world.js.call("state"))["linked"][f"{publisher.hex()}/1"] == 1500
        asked = [r for r in world.relays[world.dialled.node.name].served if isinstance(r, RangeRequest)]
        assert len(asked) >= 2, "1500 signals do not fit one bounded range"


async def test_we_fetch_what_we_missed_from_js(tmp_path: Path, js_dir: Path) -> None:
    async with mesh_with_js(tmp_path, js_dir) as world:
        bodies = [f"kept {n}".encode().hex() for n in range(1100)]
        signed = (await world.js.call("publish", lane=1, bodies=bodies, gossip=False))["signals"]
        for running in world.ours:
            fetched = await world.relays[running.node.name].fetch(world.js.peer_id, world.js_node.publisher)
            assert [e.digest.hex() for e in fetched] == [signal["digest"] for signal in signed]
            assert all(is_valid_signature(e, world.js_node.key) for e in fetched[::50])


async def test_js_refuses_a_forged_frame_of_ours_and_says_why(tmp_path: Path, js_dir: Path) -> None:
    async with mesh_with_js(tmp_path, js_dir) as world:
        sealed = world.dialled.node.seal()
        forged = bytearray(sealed.encoded)
        forged[-1] ^= 1
        # Our own mesh process publishes what its relay hands it: the receivers are the judges.
        await world.dialled.link.send(Publish(1, 1, bytes(forged)))
        await world.js.poll(lambda state: state["counters"].get("frames bad-signature"))
        assert world.js.signals(world.dialled.node.publisher) == []


async def test_we_refuse_a_forged_frame_of_js_and_keep_its_honest_ones(tmp_path: Path, js_dir: Path) -> None:
    async with mesh_with_js(tmp_path, js_dir) as world:
        sealed = world.js_node.seal(b"honest")
        forged = bytearray(sealed.encoded)
        forged[-1] ^= 1
        await world.js.call("frame", data=encode_frame([bytes(forged)]).hex())
        for running in world.ours:
            await running.wait_for(lambda running=running: running.counters.get("frame-bad-signature"))
        await world.js.call("frame", data=encode_frame([sealed.encoded]).hex())
        for running in world.ours:
            assert (await running.wait_envelopes(1))[-1] == sealed.encoded


async def test_js_scores_us_well_through_steady_traffic(tmp_path: Path, js_dir: Path) -> None:
    async with mesh_with_js(tmp_path, js_dir) as world:
        samples: list[dict[str, Any]] = []
        sent = round(TRAFFIC_SECONDS * TRAFFIC_PER_SECOND)
        began = trio.current_time()
        for number in range(sent):
            await world.ours[number % 2].link.send(world.ours[number % 2].node.message(lane=number % 4 // 2))
            if number % 3 == 0:
                await world.js.call("publish", lane=1, bodies=[f"traffic {number}".encode().hex()])
            if number % TRAFFIC_PER_SECOND == 0:
                samples.append(await world.js.call("state"))
            await trio.sleep_until(began + (number + 1) / TRAFFIC_PER_SECOND)
        for running in world.ours:
            of_js = (world.js_node.publisher, 1)
            relay = world.relays[running.node.name]
            await running.wait_for(lambda relay=relay, of_js=of_js: len(relay.sequences(*of_js)) == -(-sent // 3))
        of_ours = [(running.node.publisher, lane) for running in world.ours for lane in (0, 1)]
        await world.js.wait_for(lambda: sum(len(world.js.signals(*feed)) for feed in of_ours) == sent)
        samples.append(await world.js.call("state"))
        scores = [score for sample in samples for score in sample["scores"].values()]
        # A machine that stands still may cost a connection; peers that cannot live together lose one every few seconds.
        assert sum(event["event"] == "peer-down" for event in world.js.events) <= 1 + TRAFFIC_SECONDS // 60
        assert min(scores) >= 0
        # A high score could hide a penalty: there was none of any kind.
        for stats in samples[-1]["scoreParts"].values():
            assert stats["behaviourPenalty"] == 0
            assert all(topic["invalidMessageDeliveries"] == 0 for topic in stats["topics"].values())
