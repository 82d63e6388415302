"""What a forwarder may bring that is nothing new."""

from __future__ import annotations

import pytest
import trio
from host_kit import connected_hosts
from tocsin_node.mesh import waste
from tocsin_node.mesh.waste import (
    MAX_UNSEEN_BYTES_A_MINUTE,
    MESSAGE_COST_BYTES,
    WASTE_BURST_BYTES,
    WASTE_BYTES_A_SECOND,
    WasteLimit,
)
from tocsin_protocol.admission import Verdict

SIGNAL_BYTES = 800
BURST = 10_000
FRAME_BYTES = 128 * 1024


async def test_bursts_of_five_peers_brought_again_are_within_the_limit() -> None:
    limit = WasteLimit()
    for peer in "abcde":
        for _ in range(BURST):
            assert not limit.is_over(peer)
            limit.charge(peer, SIGNAL_BYTES)
        assert not limit.is_over(peer)


async def test_a_flood_of_repetitions_is_over_and_passes_with_time(autojump_clock: trio.testing.MockClock) -> None:
    limit = WasteLimit()
    frames = 0
    while not limit.is_over("flooder"):
        limit.charge("flooder", FRAME_BYTES)
        frames += 1
    assert frames == WASTE_BURST_BYTES // (FRAME_BYTES + MESSAGE_COST_BYTES) + 1
    assert not limit.is_over("other")
    await trio.sleep((FRAME_BYTES + MESSAGE_COST_BYTES) / WASTE_BYTES_A_SECOND)
    assert not limit.is_over("flooder")


async def test_who_goes_on_is_told_once_a_minutes_worth(autojump_clock: trio.testing.MockClock) -> None:
    limit = WasteLimit()
    size = MAX_UNSEEN_BYTES_A_MINUTE // 10 - MESSAGE_COST_BYTES
    assert not any(limit.pass_over("flooder", size) for _ in range(10))
    assert limit.pass_over("flooder", size)
    assert not limit.pass_over("flooder", size)
    # What is long ago does not count.
    for _ in range(30):
        await trio.sleep(61)
        assert not limit.pass_over("slow", size)


async def test_peers_that_left_are_forgotten() -> None:
    limit = WasteLimit()
    limit.charge("gone", 2 * WASTE_BURST_BYTES)
    limit.forget_except(frozenset(["stays"]))
    assert not limit.is_over("gone")


async def test_a_peer_that_brings_nothing_new_is_not_looked_at_and_then_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waste, "WASTE_BURST_BYTES", 100 * MESSAGE_COST_BYTES)
    monkeypatch.setattr(waste, "WASTE_BYTES_A_SECOND", 0)
    monkeypatch.setattr(waste, "MAX_UNSEEN_BYTES_A_MINUTE", 100 * (MESSAGE_COST_BYTES + 10))
    async with connected_hosts(3) as (flooder, honest, victim):
        victim.verdict = lambda data: Verdict.IGNORE if data.startswith(b"old") else Verdict.ACCEPT
        honest.verdict = victim.verdict
        for n in range(90):
            flooder.publish(b"old %d" % n)
        await victim.wait_received(90)
        assert "forwarder-over-limit" not in victim.counters
        for n in range(300):
            flooder.publish(b"old again %d" % n)
        await victim.wait_for(lambda: victim.counters.get("peer-barred"))
        assert victim.counters["forwarder-over-limit"] >= 100
        # Nothing was looked at once the limit was reached.
        assert len(victim.received) <= 101
        honest.publish(b"new")
        await victim.wait_for(lambda: b"new" in victim.received)
        assert victim.host.is_allowed(honest.host.peer_id)
