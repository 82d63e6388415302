"""Gossip between real hosts: verdicts, bursts, forwarding, and what the stock library does instead."""

from __future__ import annotations

import pytest
import trio
from host_kit import TOPIC, connected_hosts, id_of, introduce_in_a_row, running_host, seed_of
from libp2p.peer.id import ID
from libp2p_kit import stock_node
from tocsin_node.mesh import gossip, signatures, streams
from tocsin_node.mesh.rpc_queue import OutgoingRpcs
from tocsin_node.mesh.streams import FastPath
from tocsin_protocol.admission import Verdict


async def test_a_message_reaches_everybody_once() -> None:
    async with connected_hosts(4) as hosts:
        hosts[0].publish(b"hello")
        for local in hosts[1:]:
            await local.wait_received(1)
        hosts[1].publish(b"after")
        for local in (hosts[0], *hosts[2:]):
            await local.wait_for(lambda local=local: b"after" in local.received)
        assert [local.received.count(b"hello") for local in hosts] == [0, 1, 1, 1]


async def test_a_message_travels_through_a_third_node() -> None:
    async with (
        running_host("a", "abc") as first,
        running_host("b", "abc") as middle,
        running_host("c", "abc") as last,
    ):
        introduce_in_a_row(first, middle, last)
        await first.wait_hears(1)
        await last.wait_hears(1)
        await middle.wait_hears(2)
        for n in range(50):
            first.publish(b"%d" % n)
        await last.wait_received(50)
        assert set(last.came_from) == {id_of("b")}


@pytest.mark.parametrize("verdict", [Verdict.IGNORE, Verdict.REJECT])
async def test_what_is_not_accepted_is_not_forwarded(verdict: Verdict) -> None:
    async with (
        running_host("a", "abc") as first,
        running_host("b", "abc") as middle,
        running_host("c", "abc") as last,
    ):
        introduce_in_a_row(first, middle, last)
        await first.wait_hears(1)
        await last.wait_hears(1)
        await middle.wait_hears(2)
        middle.verdict = lambda data: verdict if data == b"no" else Verdict.ACCEPT
        first.publish(b"no")
        first.publish(b"yes")
        await last.wait_received(1)
        assert last.received == [b"yes"]
        assert middle.counters.get("rejected", 0) == (1 if verdict is Verdict.REJECT else 0)


async def test_a_message_of_no_member_is_ignored_unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        running_host("a", "abc") as first,
        running_host("b", "abc") as middle,
        running_host("c", "b") as last,
    ):
        introduce_in_a_row(first, middle, last)
        await middle.wait_hears(2)
        await last.wait_hears(1)
        await first.wait_hears(1)
        verified: list[bytes] = []
        monkeypatch.setattr(
            gossip, "is_signed", lambda message: verified.append(message.data) or signatures.is_signed(message)
        )
        first.publish(b"by a stranger to the last")
        await last.wait_for(lambda: last.counters.get("unknown-origin"))
        assert verified == [b"by a stranger to the last"]
        assert not last.received
        assert "rejected" not in last.counters


async def test_ignored_messages_are_never_held_against_the_forwarder() -> None:
    async with connected_hosts(2) as (sender, receiver):
        receiver.verdict = lambda data: Verdict.IGNORE
        for n in range(200):
            sender.publish(b"%d" % n)
        await receiver.wait_received(200)
        receiver.verdict = lambda data: Verdict.ACCEPT
        sender.publish(b"accepted")
        await receiver.wait_received(201)
        assert "rejected" not in receiver.counters
        assert "peer-barred" not in receiver.counters


@pytest.mark.usefixtures("long_bars")
async def test_rejected_messages_cost_the_forwarder_its_place() -> None:
    async with connected_hosts(2) as (sender, receiver):
        receiver.verdict = lambda data: Verdict.REJECT
        for n in range(40):
            sender.publish(b"%d" % n)
        await receiver.wait_for(lambda: receiver.counters.get("peer-barred"))
        await receiver.wait_for(lambda: not receiver.hears)
        assert not receiver.host.is_allowed(sender.host.peer_id)


async def test_a_raising_validator_costs_one_message() -> None:
    def fails(data: bytes) -> Verdict:
        raise RuntimeError("validator fault")

    async with connected_hosts(2) as (sender, receiver):
        receiver.verdict = fails
        sender.publish(b"first")
        await receiver.wait_for(lambda: receiver.counters.get("validator-failed"))
        receiver.verdict = lambda data: Verdict.ACCEPT
        sender.publish(b"second")
        await receiver.wait_received(1)
        assert receiver.received == [b"second"]


async def test_stock_dies_of_a_raising_validator() -> None:
    with pytest.raises(BaseExceptionGroup):
        await _publish_to_a_raising_validator()


async def _publish_to_a_raising_validator() -> None:
    def fails(peer: object, message: object) -> bool:
        raise RuntimeError("validator fault")

    async with stock_node(seed_of("a")) as sender, stock_node(seed_of("b")) as receiver:
        await receiver.pubsub.subscribe(TOPIC)
        receiver.pubsub.set_topic_validator(TOPIC, fails, False)
        await sender.pubsub.subscribe(TOPIC)
        await sender.host.connect(_info(receiver))
        await sender.pubsub.wait_for_subscription(receiver.host.get_id(), TOPIC)
        for n in range(30):
            await sender.pubsub.publish(TOPIC, b"%d" % n)
            await trio.sleep(1)


@pytest.mark.parametrize(
    "fast",
    [
        FastPath(),
        FastPath(buffered_noise=False),
        FastPath(buffered_yamux=False),
        FastPath(buffered_rpcs=False),
        FastPath(batched_writes=False),
        FastPath(False, False, False, False),
    ],
    ids=["all", "stock noise", "stock yamux", "stock reads", "single writes", "none"],
)
async def test_a_burst_arrives_with_any_part_of_the_fast_path(fast: FastPath) -> None:
    # The library's own reading byte by byte takes half a minute for 500.
    count = 500 if fast.buffered_rpcs else 60
    async with connected_hosts(2, fast=fast) as (sender, receiver):
        for n in range(count):
            sender.publish(b"%d" % n)
        await receiver.wait_received(count)
        assert receiver.received == [b"%d" % n for n in range(count)]


async def test_stock_loses_a_burst_silently() -> None:
    async with stock_node(seed_of("a")) as sender, stock_node(seed_of("b")) as receiver:
        subscription = await receiver.pubsub.subscribe(TOPIC)
        await sender.pubsub.subscribe(TOPIC)
        await sender.host.connect(_info(receiver))
        await sender.pubsub.wait_for_subscription(receiver.host.get_id(), TOPIC)
        await trio.sleep(2)
        for n in range(500):
            await sender.pubsub.publish(TOPIC, b"%d" % n)
        got = 0
        with trio.move_on_after(5):
            while got < 500:
                await subscription.get()
                got += 1
        assert got < 500


def _info(node: object) -> object:
    from libp2p.peer.peerinfo import info_from_p2p_addr
    from multiaddr import Multiaddr

    return info_from_p2p_addr(Multiaddr(f"{node.listen}/p2p/{node.peer_id}"))  # type: ignore[attr-defined]


async def test_large_messages_pass_while_small_ones_go_on() -> None:
    async with connected_hosts(2) as (sender, receiver):
        for n in range(20):
            sender.publish(bytes([n]) * 120_000)
            sender.publish(b"small %d" % n)
        await receiver.wait_received(40)
        assert sum(map(len, receiver.received)) == 20 * 120_000 + sum(len(b"small %d" % n) for n in range(20))


async def test_a_host_without_peers_queues_nothing() -> None:
    async with running_host("a", ["b"]) as alone:
        assert alone.publish(b"nobody hears") == 0


async def test_waiting_for_room_ends_when_something_urgent_comes(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    monkeypatch.setattr(streams, "MAX_ROOM_SECONDS", 1_000_000)
    ended = trio.Event()
    async with running_host("a", ["b"]) as local:
        queue = OutgoingRpcs(lambda: None)
        queue.push(b"what a slow peer has not taken")
        local.host.pubsub.peer_queues[ID.from_base58(id_of("b"))] = queue

        async def wait() -> None:
            await local.host.pubsub.wait_room()
            ended.set()

        nursery.start_soon(wait)
        await trio.sleep(0.1)
        assert not ended.is_set()
        local.host.pubsub.stop_waiting()
        with trio.fail_after(60):
            await ended.wait()
