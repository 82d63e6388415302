"""Staying connected to every member."""

from __future__ import annotations

import trio
from host_kit import Local, id_of, introduce, running_host, seed_of
from libp2p.peer.id import ID
from libp2p_kit import raw_peer
from tocsin_node.mesh import peers as peers_module


async def _disconnect(local: Local, other: Local) -> None:
    await local.host.host.disconnect(ID.from_base58(other.host.peer_id))


def _queue(local: Local, other: Local) -> object:
    return local.host.pubsub.peer_queues.get(ID.from_base58(other.host.peer_id))


async def test_a_lost_connection_comes_back_by_itself() -> None:
    async with running_host("a", ["b"]) as first, running_host("b", ["a"]) as second:
        introduce(first, second)
        for _ in range(3):
            await first.wait_hears(1)
            await second.wait_hears(1)
            lost = _queue(first, second)
            await _disconnect(first, second)
            # The next one may be there before anybody looks.
            await first.wait_for(lambda lost=lost: _queue(first, second) is not lost)
        await first.wait_hears(1)
        await second.wait_hears(1)


async def test_either_side_alone_knows_where_the_other_is() -> None:
    for knows in ("a", "b"):
        async with running_host("a", ["b"]) as first, running_host("b", ["a"]) as second:
            by_name = {"a": (first, second), "b": (second, first)}
            local, other = by_name[knows]
            local.dialer.set_addresses({other.host.peer_id: tuple(other.host.listen_addresses())})
            await first.wait_hears(1)
            await second.wait_hears(1)


async def test_the_second_address_is_tried_and_nonsense_is_skipped() -> None:
    async with running_host("a", ["b"]) as first, running_host("b", ["a"]) as second:
        listed = ("/ip4/127.0.0.1/tcp/1", "nonsense", *second.host.listen_addresses())
        first.dialer.set_addresses({second.host.peer_id: listed})
        await first.wait_hears(1)
        assert first.counters["dial-failed"] >= 2


async def test_an_address_with_its_peer_id_is_dialled_as_well() -> None:
    async with running_host("a", ["b"]) as first, running_host("b", ["a"]) as second:
        address = f"{second.host.listen_addresses()[0]}/p2p/{second.host.peer_id}"
        first.dialer.set_addresses({second.host.peer_id: (address,)})
        await first.wait_hears(1)


async def test_dials_to_a_dead_address_are_held_back() -> None:
    async with running_host("a", ["b"]) as first:
        first.dialer.set_addresses({id_of("b"): ("/ip4/127.0.0.1/tcp/1",)})
        await first.wait_for(lambda: first.counters["dial-failed"])
        await trio.sleep(3)
        # 0, 0.2, 0.6, 1.4, 3.0 s at most, and once more for the yield of the larger id.
        assert 1 <= first.counters["dial-failed"] <= 6
        assert peers_module.LONGEST_BACK_OFF_SECONDS <= 10


async def test_a_peer_that_ends_every_connection_is_dialled_less_and_less() -> None:
    async with running_host("a", ["b"]) as first, raw_peer(seed_of("b")) as peer:
        count = 0

        class Closer:
            async def connected(self, network: object, conn: object) -> None:
                nonlocal count
                count += 1
                await conn.close()  # type: ignore[attr-defined]

            async def ignore(self, *_: object) -> None:
                pass

            disconnected = opened_stream = closed_stream = listen = listen_close = ignore

        peer.host.get_network().register_notifee(Closer())
        address = str(peer.host.get_transport_addrs()[0])
        first.dialer.set_addresses({str(peer.host.get_id()): (address,)})
        await first.wait_for(lambda: count)
        await trio.sleep(4)
        assert 1 <= count <= 7


async def test_a_member_without_an_address_is_waited_for() -> None:
    async with running_host("a", ["b"]) as first:
        first.dialer.set_addresses({id_of("b"): ()})
        async with running_host("b", ["a"]) as second:
            second.dialer.set_addresses({first.host.peer_id: tuple(first.host.listen_addresses())})
            await first.wait_hears(1)
        await first.wait_for(lambda: not first.watch.up)


async def test_an_address_that_is_learned_later_is_dialled_at_once() -> None:
    async with running_host("a", ["b"]) as first, running_host("b", ["a"]) as second:
        introduce_dead = {second.host.peer_id: ("/ip4/127.0.0.1/tcp/1",)}
        first.dialer.set_addresses(introduce_dead)
        await first.wait_for(lambda: first.counters.get("dial-failed", 0) >= 3)
        introduce(first, second)
        await first.wait_hears(1)
