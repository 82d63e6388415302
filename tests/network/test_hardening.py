"""Each cure of hardening.py on real sockets, and the fault of the stock library it answers."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack, suppress
from functools import partial

import pytest
import trio
from host_kit import DEADLINE_SECONDS, TOPIC, Local, connected_hosts, id_of, introduce, running_host, seed_of
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb import rpc_pb2
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.transport.exceptions import SecurityUpgradeFailure
from libp2p.transport.tcp.tcp import TCP
from libp2p_kit import LOOPBACK, framed, hello, raw_peer, send_until_dropped, stock_node, stock_swarm_limit, uvarint
from multiaddr import Multiaddr
from tocsin_node.mesh import host
from tocsin_node.mesh.hardening import (
    FIRST_BAR_SECONDS,
    MAX_REJECTS_A_MINUTE,
    MAX_RPC_CONTROLS,
    MAX_RPC_MESSAGES,
    Conduct,
    MalformedRpc,
    check_port_free,
    decode_rpc,
)

INBOUND = 400


@pytest.fixture
def no_handshake_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that what ends is not ended by waiting.
    monkeypatch.setattr(host, "HANDSHAKE_SECONDS", 10 * DEADLINE_SECONDS)


async def _connect_afresh(listen: str, peer_id: str, seed: bytes) -> bool:
    async with raw_peer(seed) as peer:
        with trio.move_on_after(DEADLINE_SECONDS):
            try:
                await peer.connect(listen, peer_id)
            except Exception:  # noqa: BLE001 - the library raises many things when it is refused
                return False
            return peer.is_connected(peer_id)
    return False


async def test_400_inbound_connections_one_after_another_all_succeed() -> None:
    async with running_host("a", ["b"]) as local, raw_peer(seed_of("b")) as peer:
        address = Multiaddr(local.host.listen_addresses()[0])
        swarm, upgrader = local.host.swarm, peer.host.get_network().upgrader
        for n in range(INBOUND):
            raw = await TCP().dial(address)
            secure = await upgrader.upgrade_security(raw, True, local.host.id)
            await upgrader.upgrade_connection(secure, local.host.id)
            await local.wait_for(swarm.get_connections)
            await raw.close()
            await local.wait_for(lambda: not swarm.get_connections())
            assert swarm._inbound_limiter.borrowed_tokens <= 10, f"after connection {n}"


async def test_stock_never_gives_an_inbound_slot_back() -> None:
    async with stock_node(seed_of("a")) as node:
        stock_swarm_limit(node, 5)
        outcomes = [await _connect_afresh(node.listen, node.peer_id, seed_of(n)) for n in range(7)]
        assert outcomes == [True] * 5 + [False] * 2


async def _dial_in_plaintext(listen: str, peer_id: str) -> None:
    keys = create_new_key_pair(seed_of("b"))
    host = new_host(key_pair=keys, sec_opt={PLAINTEXT_PROTOCOL_ID: InsecureTransport(keys)})
    async with host.run([Multiaddr(LOOPBACK)]):
        await host.connect(info_from_p2p_addr(Multiaddr(f"{listen}/p2p/{peer_id}")))


async def test_plaintext_is_refused() -> None:
    async with running_host("a", ["b"]) as local:
        with pytest.raises((SwarmException, BaseExceptionGroup)):
            await _dial_in_plaintext(local.host.listen_addresses()[0], local.host.peer_id)
        assert not local.watch.up


async def test_a_stock_host_with_defaults_accepts_plaintext() -> None:
    stock = new_host(key_pair=create_new_key_pair(seed_of("a")))
    async with stock.run([Multiaddr(LOOPBACK)]):
        await _dial_in_plaintext(str(stock.get_transport_addrs()[0]), str(stock.get_id()))


async def test_a_stranger_is_refused_when_it_dials() -> None:
    async with running_host("a", ["b"]) as local, raw_peer(seed_of("stranger")) as stranger:
        try:
            await stranger.connect(local.host.listen_addresses()[0], local.host.peer_id)
        except Exception:  # noqa: BLE001 - refused before or just after its side thinks it is connected
            assert not stranger.is_connected(local.host.peer_id)
        await stranger.wait_dropped(local.host.peer_id)
        await local.wait_for(lambda: local.counters.get("peer-refused") and not local.host.swarm.connections)
        assert not local.watch.up


async def test_a_stranger_is_not_dialled_and_not_kept() -> None:
    async with running_host("a", ["b"]) as local, raw_peer(seed_of("stranger")) as stranger:
        address = Multiaddr(str(stranger.host.get_transport_addrs()[0]))
        with pytest.raises(SwarmException):
            await local.host.swarm.dial_addr(address, stranger.host.get_id())
        assert not local.host.swarm.connections


async def _claim_in_negotiation(listen: str, length: int, seconds: float) -> bool:
    """Claim a length before any handshake and send a little; whether the connection is still held so much later."""
    port = int(Multiaddr(listen).value_for_protocol("tcp") or 0)
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(b"\x13/multistream/1.0.0\n" + uvarint(length) + b"x" * 1000)
        with trio.move_on_after(seconds):
            try:
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                return False
            return False
        return True


async def test_a_length_claimed_by_a_stranger_is_not_read(no_handshake_timeout: None) -> None:
    async with running_host("a", ["b"]) as local:
        assert not await _claim_in_negotiation(local.host.listen_addresses()[0], 2**27, DEADLINE_SECONDS)


async def test_stock_reads_whatever_a_stranger_claims() -> None:
    async with stock_node(seed_of("a")) as node:
        assert await _claim_in_negotiation(node.listen, 2**27, 1)


async def test_one_silent_address_does_not_hold_all_inbound_slots() -> None:
    async with running_host("a", ["b"]) as local, raw_peer(seed_of("b")) as peer, AsyncExitStack() as stack:
        listen = local.host.listen_addresses()[0]
        port = int(Multiaddr(listen).value_for_protocol("tcp") or 0)
        slots = int(local.host.swarm._inbound_limiter.total_tokens)
        for _ in range(slots + 20):
            silent = await trio.open_tcp_stream("127.0.0.1", port, local_address="127.0.0.2")
            await stack.enter_async_context(silent)
        await peer.connect(listen, local.host.peer_id)
        await local.wait_for(lambda: local.watch.up)
        await local.wait_for(lambda: local.counters["inbound-failed"] >= slots)


async def test_who_answers_a_dial_is_a_stranger_at_first(no_handshake_timeout: None) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(b"\x13/multistream/1.0.0\n" + uvarint(2**27) + b"x" * 1000)
            await trio.sleep_forever()

    async with running_host("a", ["b"]) as local, trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(DEADLINE_SECONDS), pytest.raises(SwarmException):
            await local.host.swarm.dial_addr(Multiaddr(f"/ip4/127.0.0.1/tcp/{port}"), ID.from_base58(id_of("b")))
        nursery.cancel_scope.cancel()


async def test_a_peer_that_leaves_the_roster_is_dropped() -> None:
    async with connected_hosts(2) as (stays, leaves):
        await stays.host.set_members([])
        await leaves.wait_for(lambda: not leaves.watch.up)
        await stays.wait_for(lambda: not stays.watch.up)


async def test_a_port_in_use_is_refused() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            check_port_free("127.0.0.1", port)
        with pytest.raises(OSError, match="in use"):
            await _start(f"/ip4/127.0.0.1/tcp/{port}")
    check_port_free("127.0.0.1", port)


async def _start(listen: str) -> None:
    async with running_host("a", [], listen=listen):
        pass


async def test_stock_shares_a_port_silently() -> None:
    async with stock_node(seed_of("a")) as first:
        port = first.host.get_transport_addrs()[0].value_for_protocol("tcp")
        second = new_host(key_pair=create_new_key_pair(seed_of("b")))
        async with second.run([Multiaddr(f"/ip4/127.0.0.1/tcp/{port}")]):
            assert second.get_transport_addrs()[0].value_for_protocol("tcp") == port


async def test_a_reset_gossip_stream_starts_both_sides_afresh() -> None:
    async with connected_hosts(2) as (first, second):
        peer = ID.from_base58(second.host.peer_id)
        await first.host.pubsub.peers[peer].reset()
        await second.wait_for(lambda: second.counters.get("stream-closed"))
        await _hear_each_other(first, second)


async def test_stock_is_deaf_on_one_side_after_a_reset_stream() -> None:
    async with stock_node(seed_of("a")) as first, stock_node(seed_of("b")) as second:
        for node in (first, second):
            await node.pubsub.subscribe(TOPIC)
        await first.host.connect(info_from_p2p_addr(Multiaddr(f"{second.listen}/p2p/{second.peer_id}")))
        await second.pubsub.wait_for_subscription(first.host.get_id(), TOPIC)
        await first.pubsub.wait_for_subscription(second.host.get_id(), TOPIC)
        await trio.sleep(1)
        await first.pubsub.peers[second.host.get_id()].reset()
        with trio.fail_after(DEADLINE_SECONDS):
            while second.host.get_id() in first.pubsub.peer_topics.get(TOPIC, ()):
                await first.pubsub.publish(TOPIC, b"into the dark")
                await trio.sleep(0.1)
        # Connected, registered, and never told again what the other is subscribed to.
        await trio.sleep(3)
        assert second.host.get_id() not in first.pubsub.peer_topics.get(TOPIC, ())
        assert first.host.get_network().get_connections(second.host.get_id())


async def _hear_each_other(first: Local, second: Local) -> None:
    for sender, receiver in ((first, second), (second, first)):
        await sender.wait_hears(1)
        before = len(receiver.received)
        with trio.fail_after(DEADLINE_SECONDS):
            while len(receiver.received) == before:
                sender.publish(b"are you there")
                with trio.move_on_after(0.2):
                    await receiver.changed.wait()


async def test_two_hosts_that_dial_each_other_at_once_keep_one_connection() -> None:
    async with running_host("a", ["b"]) as first, running_host("b", ["a"]) as second:
        async with trio.open_nursery() as nursery:
            for local, other in ((first, second), (second, first)):
                nursery.start_soon(_dial, local, other)
        await _hear_each_other(first, second)
        await first.wait_for(
            lambda: len(first.host.swarm.get_connections()) == len(second.host.swarm.get_connections()) == 1
        )


async def _dial(local: Local, other: Local) -> None:
    try:
        address = Multiaddr(other.host.listen_addresses()[0])
        await local.host.swarm.dial_addr(address, ID.from_base58(other.host.peer_id))
    except SwarmException:
        await trio.lowlevel.checkpoint()


async def test_a_flood_of_grafts_does_not_freeze_the_loop() -> None:
    async with running_host("a", ["b"]) as local, raw_peer(seed_of("b")) as flooder:
        await flooder.connect(local.host.listen_addresses()[0], local.host.peer_id)
        stream = await flooder.open_gossip(local.host.peer_id)
        graft = rpc_pb2.ControlGraft(topicID=TOPIC)
        rpc = framed(rpc_pb2.RPC(control=rpc_pb2.ControlMessage(graft=[graft] * MAX_RPC_CONTROLS)).SerializeToString())
        await stream.write(hello(TOPIC))
        for _ in range(100):
            await send_until_dropped(stream, rpc)
        await local.wait_for(lambda: local.counters.get("graft-refused", 0) > 5000)
        # A heartbeat's worth of GRAFTs is looked at, the rest is only counted.
        assert len(local.host.router.mesh[TOPIC]) <= 1


def test_an_rpc_at_the_bounds_is_read_and_one_beyond_is_not() -> None:
    message, graft = rpc_pb2.Message(data=b"x"), rpc_pb2.ControlGraft(topicID="t")

    def rpc(messages: int, grafts: int) -> bytes:
        control = rpc_pb2.ControlMessage(graft=[graft] * grafts)
        return bytes(rpc_pb2.RPC(publish=[message] * messages, control=control).SerializeToString())

    assert len(decode_rpc(rpc(MAX_RPC_MESSAGES, MAX_RPC_CONTROLS)).publish) == MAX_RPC_MESSAGES
    with pytest.raises(MalformedRpc, match="513 messages"):
        decode_rpc(rpc(MAX_RPC_MESSAGES + 1, 0))
    with pytest.raises(MalformedRpc, match="65 control entries"):
        decode_rpc(rpc(0, MAX_RPC_CONTROLS + 1))
    with pytest.raises(MalformedRpc, match="not a protobuf"):
        decode_rpc(b"\xff\xff")


async def test_a_bar_lasts_longer_each_time(autojump_clock: trio.testing.MockClock) -> None:
    conduct = Conduct()
    for expected in (FIRST_BAR_SECONDS, 2 * FIRST_BAR_SECONDS, 4 * FIRST_BAR_SECONDS):
        conduct.bar("peer")
        await trio.sleep(expected - 0.1)
        assert conduct.is_barred("peer")
        await trio.sleep(0.2)
        assert not conduct.is_barred("peer")


@pytest.mark.usefixtures("long_bars")
async def test_a_dropped_peer_stays_out_for_a_while() -> None:
    async with running_host("a", ["b"]) as local, raw_peer(seed_of("b")) as culprit:
        address, upgrader = Multiaddr(local.host.listen_addresses()[0]), culprit.host.get_network().upgrader
        await culprit.connect(str(address), local.host.peer_id)
        stream = await culprit.open_gossip(local.host.peer_id)
        await stream.write(framed(b"\xff\xff\xff\xff"))
        await culprit.wait_dropped(local.host.peer_id)
        for tries in range(1, 6):
            raw = await TCP().dial(address)
            # It may think for a moment that it is let in.
            with suppress(SecurityUpgradeFailure):
                await upgrader.upgrade_security(raw, True, local.host.id)
            await local.wait_for(lambda tries=tries: local.counters["peer-refused"] == tries)
            await raw.close()
        assert local.counters["peer-barred"] == 1
        await local.wait_for(lambda: not local.watch.up)


async def test_rejects_are_counted_by_the_minute(autojump_clock: trio.testing.MockClock) -> None:
    conduct = Conduct()
    assert not any(conduct.hold_reject("peer") for _ in range(MAX_REJECTS_A_MINUTE))
    assert conduct.hold_reject("peer")
    await trio.sleep(61)
    assert not conduct.hold_reject("peer")
    assert not conduct.is_barred(id_of("b"))


async def test_a_peer_hears_again_after_it_was_introduced_anew() -> None:
    async with connected_hosts(2) as (first, second):
        await first.host.host.disconnect(ID.from_base58(second.host.peer_id))
        introduce(first, second)
        await _hear_each_other(first, second)
