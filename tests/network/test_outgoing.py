"""Own envelopes become frames."""

from __future__ import annotations

import trio
from tocsin_node.mesh.outgoing import MAX_WAITING, FrameBuilder, run_outgoing
from tocsin_node.relay.publishing import MAX_OFFERED_PER_LANE
from tocsin_protocol.frame import MAX_FRAME_BYTES, MAX_FRAME_ENVELOPES, decode_frame
from tocsin_protocol.taxonomy import LANES


async def _room() -> None:
    await trio.lowlevel.checkpoint()


class Sent:
    def __init__(self, peers: int = 1) -> None:
        self.peers = peers
        self.frames: list[list[bytes]] = []
        self.handed: list[tuple[int, list[int]]] = []

    def send(self, lane: int, frame: bytes) -> int:
        if self.peers:
            self.frames.append(decode_frame(frame))
        return self.peers

    async def hand(self, lane: int, sequences: list[int]) -> None:
        self.handed.append((lane, sequences))
        await trio.lowlevel.checkpoint()


async def _run(builder: FrameBuilder, sent: Sent, room: object = _room) -> None:
    await run_outgoing(builder, sent.send, room, sent.hand)  # type: ignore[arg-type]


async def test_an_envelope_is_sent_at_once_when_idle(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    builder, sent = FrameBuilder(), Sent()
    nursery.start_soon(_run, builder, sent)
    started = trio.current_time()
    for n in range(3):
        builder.add(1, n, b"%d" % n)
        await trio.testing.wait_all_tasks_blocked()
    assert sent.frames == [[b"0"], [b"1"], [b"2"]]
    assert trio.current_time() == started


async def test_what_arrives_meanwhile_goes_together_in_the_next(nursery: trio.Nursery) -> None:
    builder, sent = FrameBuilder(), Sent()
    room = trio.Event()
    nursery.start_soon(_run, builder, sent, room.wait)
    for n in range(5):
        builder.add(1, n, b"%d" % n)
        await trio.testing.wait_all_tasks_blocked()
    assert sent.frames == []
    room.set()
    await trio.testing.wait_all_tasks_blocked()
    assert sent.frames == [[b"0", b"1", b"2", b"3", b"4"]]
    assert sent.handed == [(1, [0, 1, 2, 3, 4])]


async def test_critical_goes_first_and_is_never_mixed() -> None:
    builder = FrameBuilder()
    for n in range(3):
        builder.add(1, n, b"standard")
        builder.add(0, n, b"critical")
    lane, sequences, frame = builder.peek()
    assert (lane, sequences, decode_frame(frame)) == (0, [0, 1, 2], [b"critical"] * 3)
    builder.drop(lane, 3)
    assert builder.peek()[0] == 1


async def test_critical_waits_for_no_room(nursery: trio.Nursery) -> None:
    builder, sent = FrameBuilder(), Sent()
    room = trio.Event()
    nursery.start_soon(_run, builder, sent, room.wait)
    builder.add(0, 1, b"critical")
    await trio.testing.wait_all_tasks_blocked()
    assert sent.handed == [(0, [1])]
    builder.add(1, 1, b"standard")
    await trio.testing.wait_all_tasks_blocked()
    assert sent.handed == [(0, [1])]
    room.set()
    await trio.testing.wait_all_tasks_blocked()
    assert sent.handed == [(0, [1]), (1, [1])]


async def test_frames_stay_within_their_bounds(nursery: trio.Nursery) -> None:
    builder, sent = FrameBuilder(), Sent()
    for n in range(300):
        builder.add(1, n, b"x")
    for n in range(20):
        builder.add(1, 300 + n, b"y" * 16_000)
    nursery.start_soon(_run, builder, sent)
    await trio.testing.wait_all_tasks_blocked()
    sizes = [len(frame) for frame in sent.frames]
    assert sum(sizes) == 320
    assert max(sizes) == MAX_FRAME_ENVELOPES
    assert all(sum(map(len, frame)) < MAX_FRAME_BYTES for frame in sent.frames)


async def test_without_peers_nothing_is_lost(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    builder, sent = FrameBuilder(), Sent(peers=0)
    nursery.start_soon(_run, builder, sent)
    builder.add(1, 1, b"x")
    await trio.sleep(5)
    assert (sent.handed, len(builder)) == ([], 1)
    sent.peers = 2
    await trio.sleep(1)
    assert (sent.handed, len(builder)) == ([(1, [1])], 0)


def test_the_relay_never_offers_more_than_may_wait() -> None:
    assert MAX_OFFERED_PER_LANE * len(LANES) < MAX_WAITING


def test_what_waits_is_bounded() -> None:
    builder = FrameBuilder()
    assert all(builder.add(1, n, b"x") for n in range(MAX_WAITING))
    assert not builder.add(1, MAX_WAITING, b"x")
