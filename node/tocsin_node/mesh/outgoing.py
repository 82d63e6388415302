"""Own envelopes become frames: sent at once when idle, what arrives meanwhile goes together in the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio
from tocsin_protocol.frame import MAX_FRAME_BYTES, MAX_FRAME_ENVELOPES, encode_frame
from tocsin_protocol.taxonomy import CRITICAL, LANES

# What waits here when no peer is in reach. The relay offers less than this at once and keeps the rest in its
# outbox: what does not fit is not answered, so a bound below the relay's would leave it waiting for an answer.
MAX_WAITING = 16_384
# With no peer in reach, how often that is looked at.
RETRY_SECONDS = 0.1
# msgpack's head of an array and of each byte string.
ARRAY_HEAD_BYTES, ITEM_HEAD_BYTES = 3, 3

# (lane, frame) -> how many peers it was queued for.
SendFrame = Callable[[int, bytes], int]
# (lane, sequences) of envelopes handed to gossip.
Handed = Callable[[int, list[int]], Awaitable[None]]


class FrameBuilder:
    """Collects envelopes by lane and hands out frames; CRITICAL (lane 0) first and never mixed."""

    def __init__(self) -> None:
        self._lanes: tuple[deque[tuple[int, bytes]], ...] = tuple(deque() for _ in LANES)
        self._ready = trio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def add(self, lane: int, sequence: int, envelope: bytes) -> bool:
        """Take an envelope; false when MAX_WAITING already wait."""
        if len(self) >= MAX_WAITING:
            return False
        self._lanes[lane].append((sequence, envelope))
        self._ready.set()
        return True

    @property
    def is_urgent(self) -> bool:
        """Whether the next frame is of the CRITICAL lane."""
        return bool(self._lanes[CRITICAL])

    async def wait(self) -> None:
        """Wait until there is something to send."""
        while not len(self):
            self._ready = trio.Event()
            await self._ready.wait()

    def peek(self) -> tuple[int, list[int], bytes]:
        """The next frame: its lane, its sequences, its bytes. It stays in place until `drop`."""
        lane = next(number for number, waiting in enumerate(self._lanes) if waiting)
        taken: list[tuple[int, bytes]] = []
        size = ARRAY_HEAD_BYTES
        for sequence, envelope in self._lanes[lane]:
            size += ITEM_HEAD_BYTES + len(envelope)
            if taken and (len(taken) == MAX_FRAME_ENVELOPES or size > MAX_FRAME_BYTES):
                break
            taken.append((sequence, envelope))
        return lane, [sequence for sequence, _ in taken], encode_frame([envelope for _, envelope in taken])

    def drop(self, lane: int, count: int) -> None:
        """Forget the first `count` envelopes of a lane: they were sent."""
        for _ in range(count):
            self._lanes[lane].popleft()


async def run_outgoing(
    builder: FrameBuilder,
    send: SendFrame,
    wait_room: Callable[[], Awaitable[None]],
    handed: Handed,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Send frames while there are envelopes; with no peer in reach they wait and are offered again."""
    task_status.started()
    while True:
        await builder.wait()
        await trio.lowlevel.checkpoint()
        # CRITICAL overtakes in every peer's queue and waits for no room.
        if not builder.is_urgent:
            await wait_room()
        lane, sequences, frame = builder.peek()
        if send(lane, frame):
            builder.drop(lane, len(sequences))
            await handed(lane, sequences)
        else:
            await trio.sleep(RETRY_SECONDS)
