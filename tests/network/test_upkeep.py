"""The mesh keeps whole: restarts, twelve nodes, IHAVE and IWANT, back-off; and what the stock library does."""

from __future__ import annotations

import time
from typing import Any

import trio
from host_kit import TOPIC, connected_hosts, id_of, introduce, running_host, seed_of
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.mcache import MessageCache
from libp2p.pubsub.pb import rpc_pb2
from libp2p_kit import stock_node
from mesh_kit import Node, make_nodes, make_roster, running_mesh
from mesh_kit import introduce as introduce_processes
from tocsin_node.mesh.hardening import Conduct
from tocsin_node.mesh.host import ring_neighbours
from tocsin_node.mesh.message_cache import MAX_CACHED_BYTES, IdKeyedCache
from tocsin_node.mesh.rpc_queue import Rank
from tocsin_node.mesh.upkeep import (
    BACK_OFF_SLACK_SECONDS,
    DEGREE_HIGH,
    MAX_IWANT_IDS,
    MAX_RETRANSMISSIONS,
    PRUNE_BACK_OFF_SECONDS,
    MeshRouter,
)


class FakeQueue:
    """What was pushed to one peer; stands where a peer's outbound queue stands."""

    def __init__(self) -> None:
        self.rpcs: list[rpc_pb2.RPC] = []
        self.ranks: list[Rank] = []

    def push(self, framed: bytes, rank: Rank = Rank.STANDARD) -> bool:
        self.ranks.append(rank)
        start = next(n for n, byte in enumerate(framed) if byte < 0x80) + 1
        self.rpcs.append(rpc_pb2.RPC.FromString(framed[start:]))
        return True

    def controls(self, kind: str) -> list[Any]:
        return [entry for rpc in self.rpcs for entry in getattr(rpc.control, kind)]


class Peers:
    """The state a router sees: who is subscribed, and a queue for each."""

    def __init__(self, count: int, seen: set[bytes] | None = None) -> None:
        self.ids = [ID.from_base58(id_of(n)) for n in range(count)]
        self.peer_topics = {TOPIC: set(self.ids)}
        self.peer_queues = {peer: FakeQueue() for peer in self.ids}
        self.conduct = Conduct()
        self.router = MeshRouter((), self.conduct, (seen or set()).__contains__)
        self.router.pubsub = self
        self.router.mesh[TOPIC] = set()
        for peer in self.ids:
            self.router.peer_protocol[peer] = self.router.protocols[0]


def _graft(*topics: str) -> rpc_pb2.ControlMessage:
    return rpc_pb2.ControlMessage(graft=[rpc_pb2.ControlGraft(topicID=topic) for topic in topics])


async def test_twelve_nodes_deliver_everything_from_the_first_second() -> None:
    async with connected_hosts(12) as hosts:
        for round_number in range(5):
            for number, local in enumerate(hosts):
                local.publish(b"%d from %d" % (round_number, number))
            await trio.sleep(0.05)
        for local in hosts:
            await local.wait_received(5 * 11)
        assert all(len(set(local.received)) == len(local.received) == 55 for local in hosts)


async def test_twelve_nodes_deliver_while_the_mesh_is_pruned_and_grafted() -> None:
    async with connected_hosts(12) as hosts:
        for local in hosts:
            local.host.router.mesh[TOPIC].clear()
        for _ in range(3):
            for local in hosts:
                local.host.router.beat()
        for number, local in enumerate(hosts):
            local.publish(b"%d" % number)
        for local in hosts:
            await local.wait_received(11)


async def test_a_restarted_node_is_heard_at_once() -> None:
    first, second = make_nodes(2)
    roster = make_roster([first, second])
    await _hear_over_restarts(first, second, roster)


async def _hear_over_restarts(first: Node, second: Node, roster: bytes) -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        async with running_mesh(first, roster, Path(folder)) as stays:
            for life in range(1, 4):
                async with running_mesh(second, roster, Path(folder), {first.peer_id: stays.listen}) as restarted:
                    await introduce_processes([stays, restarted], roster)
                    await restarted.wait_peers(1)
                    await restarted.link.send(*[second.message() for _ in range(20)])
                    await stays.wait_envelopes(20 * life)
                    before = len(restarted.envelopes())
                    await stays.link.send(first.message())
                    await restarted.wait_envelopes(before + 1)


async def test_sequence_numbers_rise_over_a_restart_after_a_busy_second() -> None:
    async with running_host("a", []) as local:
        used = [int.from_bytes(local.host.pubsub._next_seqno(), "big") for _ in range(5000)]
    async with running_host("a", []) as restarted:
        assert int.from_bytes(restarted.host.pubsub._next_seqno(), "big") > used[-1]


async def test_stock_repeats_its_sequence_numbers_after_a_restart() -> None:
    async with stock_node(seed_of("a")) as node:
        started = time.monotonic()
        used = {node.pubsub._next_seqno() for _ in range(5000)}
    async with stock_node(seed_of("a")) as restarted:
        assert time.monotonic() - started < 4000
        assert restarted.pubsub._next_seqno() in used


def test_the_cache_finds_what_it_offers() -> None:
    cache = IdKeyedCache()
    cache.remember(b"our id", TOPIC, b"framed")
    assert cache.window(TOPIC) == [b"our id"]
    assert cache.find(b"our id") == (b"framed", Rank.STANDARD)
    for _ in range(5):
        cache.shift()
    assert cache.find(b"our id") is None
    assert cache._bytes == 0


def test_the_cache_is_bounded() -> None:
    cache = IdKeyedCache()
    for n in range(40):
        cache.remember(b"%d" % n, TOPIC, b"x" * (MAX_CACHED_BYTES // 32))
    assert len(cache.msgs) == 32


def test_stock_offers_ids_nobody_else_knows() -> None:
    cache = MessageCache(3, 5)
    message = rpc_pb2.Message(from_id=b"from", seqno=b"12345678", topicIDs=[TOPIC], data=b"x")
    cache.put(message)
    assert b"our id" not in cache.window(TOPIC)
    assert cache.get(b"our id") is None


def test_ihave_is_offered_to_peers_in_back_off() -> None:
    peers = Peers(2)
    peers.router._add_back_off(peers.ids[0], TOPIC, False)
    peers.router.mesh[TOPIC] = {peers.ids[1]}
    peers.router.mcache.remember(b"id", TOPIC, b"framed")
    peers.router.beat()
    offered = peers.peer_queues[peers.ids[0]].controls("ihave")
    assert [list(ihave.messageIDs) for ihave in offered] == [[b"id"]]


def test_a_message_is_asked_of_one_peer_only() -> None:
    peers = Peers(2, seen={b"old"})
    ihave = rpc_pb2.ControlMessage(ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[b"new", b"old"])])
    for peer in peers.ids:
        peers.router.take_control(ihave, peer)
    asked = [peers.peer_queues[peer].controls("iwant") for peer in peers.ids]
    assert [[list(iwant.messageIDs) for iwant in wants] for wants in asked] == [[[b"new"]], []]


def test_ids_asked_of_one_peer_in_a_heartbeat_are_bounded() -> None:
    peers = Peers(1)
    for start in range(0, 5000, 1000):
        ids = [b"%d" % n for n in range(start, start + 1000)]
        ihave = rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=ids)
        peers.router.take_control(rpc_pb2.ControlMessage(ihave=[ihave]), peers.ids[0])
    wanted = peers.peer_queues[peers.ids[0]].controls("iwant")
    assert sum(len(iwant.messageIDs) for iwant in wanted) == MAX_IWANT_IDS


def test_a_message_is_sent_again_a_few_times_only() -> None:
    peers = Peers(1)
    message = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=b"x")]).SerializeToString()
    peers.router.mcache.remember(b"id", TOPIC, bytes([len(message)]) + message)
    iwant = rpc_pb2.ControlMessage(iwant=[rpc_pb2.ControlIWant(messageIDs=[b"id"] * 50)])
    for _ in range(3):
        peers.router.take_control(iwant, peers.ids[0])
    assert len(peers.peer_queues[peers.ids[0]].rpcs) == MAX_RETRANSMISSIONS


def test_a_critical_message_keeps_its_rank_wherever_it_is_sent() -> None:
    peers = Peers(3)
    message = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=b"x")]).SerializeToString()
    framed = bytes([len(message)]) + message
    peers.router.mesh[TOPIC] = set(peers.ids)
    peers.router.mcache.remember(b"id", TOPIC, framed, Rank.CRITICAL)
    peers.router.publish_framed(TOPIC, framed, Rank.CRITICAL)
    peers.router.forward(TOPIC, framed, peers.ids[0], peers.ids[1], Rank.CRITICAL)
    iwant = rpc_pb2.ControlMessage(iwant=[rpc_pb2.ControlIWant(messageIDs=[b"id"])])
    peers.router.take_control(iwant, peers.ids[0])
    ranks = [rank for queue in peers.peer_queues.values() for rank in queue.ranks]
    assert ranks == [Rank.CRITICAL] * 5


def test_grafts_beyond_the_highest_degree_are_pruned_with_a_short_back_off() -> None:
    peers = Peers(DEGREE_HIGH + 1)
    for peer in peers.ids:
        peers.router.take_control(_graft(TOPIC), peer)
    assert len(peers.router.mesh[TOPIC]) == DEGREE_HIGH
    pruned = peers.peer_queues[peers.ids[-1]].controls("prune")
    assert [(prune.topicID, prune.backoff) for prune in pruned] == [(TOPIC, PRUNE_BACK_OFF_SECONDS)]


def test_a_pruned_peer_is_not_grafted_before_its_back_off_ends() -> None:
    peers = Peers(1)
    prune = rpc_pb2.ControlMessage(prune=[rpc_pb2.ControlPrune(topicID=TOPIC, backoff=60)])
    before = time.time()
    peers.router.take_control(prune, peers.ids[0])
    after = time.time()
    peers.router.beat()
    assert not peers.router.mesh[TOPIC]
    until = peers.router.back_off[TOPIC][peers.ids[0]]
    assert before + 60 <= until <= after + 60 + BACK_OFF_SLACK_SECONDS


def test_graft_lists_do_not_leak_between_peers() -> None:
    peers = Peers(4)
    peers.peer_topics["other"] = {peers.ids[0]}
    peers.router.mesh["other"] = set()
    peers.router.beat()
    grafts = {peer: [g.topicID for g in peers.peer_queues[peer].controls("graft")] for peer in peers.ids}
    assert sorted(grafts[peers.ids[0]]) == sorted(["other", TOPIC])
    assert all(grafts[peer] == [TOPIC] for peer in peers.ids[1:])


class StockRouter(GossipSub):
    """The library's router, with what it would send caught."""

    def __init__(self, peers: Peers) -> None:
        super().__init__(protocols=peers.router.protocols, degree=6, degree_low=4, degree_high=12, prune_back_off=60)
        self.pubsub = peers
        self.mesh[TOPIC] = set()
        self.peer_protocol.update(peers.router.peer_protocol)
        self.sent: dict[ID, list[str]] = {}

    async def emit_control_message(self, control_msg: rpc_pb2.ControlMessage, to_peer: ID) -> None:
        self.sent[to_peer] = [graft.topicID for graft in control_msg.graft]
        await trio.lowlevel.checkpoint()


async def test_stock_leaks_graft_lists_between_peers() -> None:
    peers = Peers(2)
    router = StockRouter(peers)
    await router._emit_control_msgs({peers.ids[0]: ["a"], peers.ids[1]: ["b"]}, {}, {})
    assert router.sent == {peers.ids[0]: ["a"], peers.ids[1]: ["a", "b"]}


def test_stock_offers_nothing_to_peers_in_back_off() -> None:
    peers = Peers(2)
    router = StockRouter(peers)
    router.mesh[TOPIC] = {peers.ids[1]}
    router._add_back_off(peers.ids[0], TOPIC, False)
    router.mcache.put(rpc_pb2.Message(from_id=b"from", seqno=b"12345678", topicIDs=[TOPIC], data=b"x"))
    assert not router.gossip_heartbeat()
    router.back_off.clear()
    assert peers.ids[0] in router.gossip_heartbeat()


def test_the_mesh_is_never_filled_beyond_its_degree_by_a_heartbeat() -> None:
    peers = Peers(20)
    for _ in range(70):
        peers.router.beat()
    assert len(peers.router.mesh[TOPIC]) == 6


def test_ring_neighbours_are_mutual() -> None:
    members = [id_of(n) for n in range(9)]
    rings = {member: ring_neighbours(member, members) for member in members}
    assert all(len(ring) == 2 for ring in rings.values())
    assert all(member in rings[other] for member, ring in rings.items() for other in ring)
    assert ring_neighbours("a", ["a"]) == set()
    assert ring_neighbours("a", ["a", "b"]) == {"b"}


def _forwarded_to(peers: Peers, forwarder: int, origin: int) -> set[int]:
    peers.router.forward(TOPIC, b"\0", peers.ids[forwarder], peers.ids[origin], Rank.STANDARD)
    return {number for number, peer in enumerate(peers.ids) if peers.peer_queues[peer].rpcs}


def test_what_came_from_its_origin_goes_on_to_ring_neighbours_only() -> None:
    peers = Peers(6)
    peers.router.direct = {peers.ids[0], peers.ids[1]}
    peers.router.mesh[TOPIC] = set(peers.ids[2:])
    assert _forwarded_to(peers, forwarder=5, origin=5) == {0, 1}


def test_what_came_through_somebody_goes_to_the_whole_mesh() -> None:
    peers = Peers(6)
    peers.router.direct = {peers.ids[0], peers.ids[1]}
    peers.router.mesh[TOPIC] = set(peers.ids[2:])
    assert _forwarded_to(peers, forwarder=0, origin=5) == {1, 2, 3, 4}


def test_a_missing_ring_neighbour_is_made_up_for_by_the_mesh() -> None:
    peers = Peers(6)
    peers.router.direct = {peers.ids[0], ID.from_base58(id_of("away"))}
    peers.router.mesh[TOPIC] = set(peers.ids[2:])
    assert _forwarded_to(peers, forwarder=5, origin=5) == {0, 2, 3, 4}


def test_what_was_not_forwarded_is_offered_to_the_mesh_a_heartbeat_later() -> None:
    peers = Peers(1)
    peers.router.mesh[TOPIC] = {peers.ids[0]}
    peers.router.mcache.remember(b"id", TOPIC, b"framed")
    offered = []
    for _ in range(4):
        peers.router.beat()
        offered.append([list(i.messageIDs) for i in peers.peer_queues[peers.ids[0]].controls("ihave")])
    assert offered == [[], [[b"id"]], [[b"id"]], [[b"id"]]]


async def test_five_connected_nodes_see_few_duplicates() -> None:
    async with connected_hosts(5) as hosts:
        for n in range(100):
            hosts[n % 5].publish(b"%d" % n)
            await trio.sleep(0.005)
        for local in hosts:
            await local.wait_received(80)
        # Three a delivery if everybody forwarded to everybody.
        assert sum(local.counters.get("duplicate", 0) for local in hosts) <= 2 * 400


async def test_ring_neighbours_forward_to_each_other_without_any_mesh() -> None:
    names = ("a", "b", "c")
    async with running_host("a", names) as a, running_host("b", names) as b, running_host("c", names) as c:
        for local in (a, b, c):
            local.host.router.degree = local.host.router.degree_low = 0
        introduce(a, b)
        await a.wait_hears(1)
        introduce(b, c)
        await b.wait_hears(2)
        await c.wait_hears(1)
        for local in (a, b, c):
            local.host.router.mesh[TOPIC].clear()
        a.publish(b"over the ring")
        await c.wait_received(1)
        assert c.came_from == [b.host.peer_id]
