"""Acting, heartbeats, the roster in force, and the answering side of sync."""

from __future__ import annotations

from pathlib import Path as FilePath

import pytest
import trio
import trio.testing
from protocol_kit import NAMES, NETWORK_ID, NOW_MS, Feed, follow, make_member, make_roster, make_signal, signed_by
from relay_kit import Hand, genesis_pin, open_bench, wait_until
from store_kit import LOG_SECRET, OWN, Lever, arm
from tocsin_node.hooks.hook import Journal
from tocsin_node.meshlink import Asked, HeartbeatSeen, PublishHeartbeat, Reply, UseEquivocators, UseHeads, UseRoster
from tocsin_node.relay.acting import FIRST_RETRY_SECONDS
from tocsin_node.relay.heartbeats import Heartbeats
from tocsin_node.relay.metrics import Metrics
from tocsin_node.relay.network import Network
from tocsin_node.relay.serving_sync import MAX_WAITING_REQUESTS, ServingSync
from tocsin_node.store.arrivals import Path
from tocsin_node.store.database import StoreError
from tocsin_node.store.reader import Reader
from tocsin_node.store.writer import Store
from tocsin_protocol.containment.action import Action
from tocsin_protocol.errors import RosterError
from tocsin_protocol.feed import FeedHead
from tocsin_protocol.heartbeat import Heartbeat, decode_heartbeat, encode_heartbeat
from tocsin_protocol.roster_encoding import encode_roster
from tocsin_protocol.sync import HeadsRequest, RangeRequest, decode_heads, decode_items, encode_request
from tocsin_protocol.taxonomy import STANDARD, Category

BROOK = "brook"


class Shaky(Lever):
    """A lever that fails with a fault of its own until it has been tried `faults` times."""

    faults = 1

    async def run(self, action: Action, journal: Journal) -> Action:
        if self.faults > 0:
            self.faults -= 1
            raise ZeroDivisionError("a fault of the hook")
        return await super().run(action, journal)


async def test_a_hook_that_fails_is_taken_up_again_and_the_node_lives(tmp_path: FilePath) -> None:
    lever = Shaky()
    async with open_bench(tmp_path, organisations=1, lever=lever) as bench:
        await bench.store.writer.submit(arm)
        began = trio.current_time()
        await bench.intake.admit([Feed(BROOK).seal(make_signal()).encoded], Path.GOSSIP)
        await wait_until(lever.done.is_set)
        assert trio.current_time() - began >= FIRST_RETRY_SECONDS
        assert bench.counted("tocsin_dropped", reason="hook-fault") == 1
        assert len(lever.ran) == 1


async def test_an_open_action_whose_hook_is_gone_waits_for_it(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, organisations=1, tasks=False) as bench:
        await bench.store.writer.submit(arm)
        await bench.intake.admit([Feed(BROOK).seal(make_signal()).encoded], Path.GOSSIP)
    async with open_bench(tmp_path, lever=Lever("another")) as bench:
        await trio.testing.wait_all_tasks_blocked()
        assert bench.lever.ran == []
    async with open_bench(tmp_path) as bench:
        await wait_until(bench.lever.done.is_set)


async def test_heartbeats_tell_our_own_heads_and_nothing_of_arms(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path) as bench:
        await bench.publishing.allow("test")
        (envelope,) = (await bench.publishing.publish([make_signal()])).envelopes
        await bench.intake.admit([Feed(BROOK).seal().encoded], Path.GOSSIP)
        mesh = UpHand()
        heartbeats = make_heartbeats(bench.store, bench.network, mesh, bench.metrics)
        async with trio.open_nursery() as nursery:
            await nursery.start(heartbeats.run_heartbeats)
            await mesh.wait_sent(bool)
            nursery.cancel_scope.cancel()
        (message,) = mesh.sent
        assert isinstance(message, PublishHeartbeat)
        assert decode_heartbeat(message.heartbeat) == Heartbeat(
            sent_ms=NOW_MS,
            epoch=0,
            heads=(FeedHead(bench.store.publisher, envelope.lane, 1, envelope.digest),),
            heights=(("eip155:1", 7),),
            coverage=(Category.ASSET_DRAIN,),
        )


async def test_heartbeats_are_remembered_by_publisher_and_garbage_counted(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, tasks=False) as bench:
        heartbeats = make_heartbeats(bench.store, bench.network, UpHand(), bench.metrics)
        beat = Heartbeat(NOW_MS - 7, 0, (), (), ())
        peer = make_member(BROOK).publishers[0].peer_id
        assert heartbeats.take(HeartbeatSeen(peer, encode_heartbeat(beat))) == beat
        assert heartbeats.heard[Feed(BROOK).publisher].beat == beat
        assert heartbeats.take(HeartbeatSeen(peer, b"garbage")) is None
        assert heartbeats.take(HeartbeatSeen("a stranger", encode_heartbeat(beat))) is None
        assert bench.counted("tocsin_dropped", reason="heartbeat-malformed") == 1
        assert list(heartbeats.heard) == [Feed(BROOK).publisher]


class UpHand(Hand):
    """A mesh that is up."""

    def __init__(self) -> None:
        super().__init__()
        self.up = trio.Event()
        self.up.set()


def make_heartbeats(store: Store, network: Network, mesh: Hand, metrics: Metrics) -> Heartbeats:
    return Heartbeats(
        store,
        network,
        mesh,  # type: ignore[arg-type]
        metrics,
        lambda: NOW_MS,
        lambda: [("eip155:1", 7)],
        [Category.ASSET_DRAIN],
        no_logs,
    )


async def no_logs() -> tuple[None, tuple[bytes, ...]]:
    return None, ()


async def test_a_new_roster_is_durable_used_and_told_to_the_mesh(tmp_path: FilePath) -> None:
    first = make_roster()
    second = follow(first, [*first.members, make_member("echo")])
    async with open_bench(tmp_path, tasks=False) as bench:
        signed = signed_by(second, *NAMES[:3])
        await bench.network.apply(signed)
        assert bench.network.index.roster == second
        assert UseRoster(encode_roster(second), {}) in bench.mesh.sent
        # the same again is no change
        assert await bench.network.apply(signed) == second
        with pytest.raises(RosterError):
            await bench.network.apply(signed_by(follow(second, second.members[:-2]), *NAMES))
        assert (await bench.intake.admit([Feed("echo").seal().encoded], Path.GOSSIP))[1].stored
    async with open_bench(tmp_path, tasks=False) as bench:
        assert bench.network.index.roster == second


async def test_a_database_of_another_genesis_is_refused(tmp_path: FilePath) -> None:
    async with open_bench(tmp_path, tasks=False):
        pass
    other = signed_by(make_roster([make_member(OWN)]))
    store = Store(tmp_path, Feed(OWN).publisher, NETWORK_ID, LOG_SECRET)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.writer.run_writer)
        network = Network(store, other, genesis_pin(other), lambda: NOW_MS)
        with pytest.raises(StoreError, match="another genesis roster than the config names"):
            await network.load()
        nursery.cancel_scope.cancel()
    store.close()


async def test_a_mesh_that_has_started_is_told_everything(tmp_path: FilePath) -> None:
    brook = Feed(BROOK)
    async with open_bench(tmp_path, tasks=False) as bench:
        await bench.intake.admit([e.encoded for e in brook.seal_many(3)], Path.GOSSIP)
        bench.mesh.sent.clear()
        bench.mesh_state.tell_all()
        assert bench.mesh.sent == [
            UseRoster(encode_roster(make_roster()), {}),
            UseHeads([[brook.publisher, STANDARD, 3]]),
            UseEquivocators([]),
        ]
        configure = bench.mesh_state.configure()
        assert (configure.publisher, configure.roster) == (bench.store.publisher, encode_roster(make_roster()))


async def test_requests_are_answered_refused_or_counted(tmp_path: FilePath) -> None:
    brook = Feed(BROOK)
    sealed = brook.seal_many(3)
    async with open_bench(tmp_path, tasks=False) as bench:
        await bench.intake.admit([e.encoded for e in sealed], Path.GOSSIP)
        with Reader(tmp_path) as reader:
            serving = ServingSync(reader, bench.mesh, bench.metrics)  # type: ignore[arg-type]
            for number in range(MAX_WAITING_REQUESTS + 2):
                serving.offer(Asked(number, "peer", encode_request(HeadsRequest())))
            # what does not fit is refused at once
            refused = [Reply(MAX_WAITING_REQUESTS + n, b"") for n in range(2)]
            assert bench.mesh.sent == refused
            assert bench.counted("tocsin_dropped", reason="sync-request-queue-full") == 2
            async with trio.open_nursery() as nursery:
                await nursery.start(serving.run_serving)
                await bench.mesh.wait_sent(lambda sent: len(sent) == MAX_WAITING_REQUESTS + 2)
                serving.offer(Asked(100, "peer", b"garbage"))
                serving.offer(Asked(101, "peer", encode_request(RangeRequest(brook.publisher, STANDARD, 2, 9))))
                await bench.mesh.wait_sent(lambda sent: len(sent) == MAX_WAITING_REQUESTS + 4)
                nursery.cancel_scope.cancel()
        replies = {m.request_id: m.response for m in bench.mesh.sent if isinstance(m, Reply)}
        assert [head.sequence for head in decode_heads(replies[0]).heads] == [3]
        assert replies[100] == b""
        assert bench.counted("tocsin_dropped", reason="sync-request-malformed") == 1
        assert decode_items(replies[101], 10).items == tuple(envelope.encoded for envelope in sealed[1:])
