"""What waits for the relay is bounded, ordered and complete."""

from __future__ import annotations

from typing import Any

import trio
from tocsin_node.mesh.relay_queue import (
    MAX_MESSAGES_A_WRITE,
    MAX_RELAY_QUEUE_BYTES,
    RESERVED_RELAY_BYTES,
    RelayQueue,
)
from tocsin_node.meshlink import Admitted, PeerUp, Pulse


class Relay:
    """Stands where the link stands: takes writes when it is allowed to."""

    def __init__(self) -> None:
        self.writes: list[tuple[Any, ...]] = []
        self.reads = trio.Event()

    async def send(self, *messages: Any) -> None:
        await self.reads.wait()
        self.writes.append(messages)


async def test_messages_keep_their_order_and_go_many_at_once(nursery: trio.Nursery) -> None:
    queue, relay = RelayQueue(), Relay()
    sent = [PeerUp(str(n)) for n in range(1000)]
    for message in sent:
        assert queue.push(message)
    relay.reads.set()
    nursery.start_soon(queue.run_writer, relay)
    await trio.testing.wait_all_tasks_blocked()
    assert [message for write in relay.writes for message in write] == sent
    assert max(map(len, relay.writes)) == MAX_MESSAGES_A_WRITE
    assert queue.push(Pulse({}))
    await trio.testing.wait_all_tasks_blocked()
    assert relay.writes[-1] == (Pulse({}),)


async def test_what_a_slow_relay_has_not_read_counts_against_the_bound(nursery: trio.Nursery) -> None:
    queue, relay = RelayQueue(), Relay()
    nursery.start_soon(queue.run_writer, relay)
    frame = Admitted("peer", [b"x" * 100_000], [])
    taken = 0
    while queue.push(frame):
        taken += 1
        if taken % 100 == 0:
            await trio.testing.wait_all_tasks_blocked()
    assert taken == MAX_RELAY_QUEUE_BYTES // (100_000 + 64)
    relay.reads.set()
    await trio.testing.wait_all_tasks_blocked()
    assert sum(map(len, relay.writes)) == taken
    assert queue.push(frame)


async def test_what_is_urgent_overtakes_and_fits_however_much_else_waits(nursery: trio.Nursery) -> None:
    queue, relay = RelayQueue(), Relay()
    standard, critical = Admitted("standard", [b"x" * 100_000], []), Admitted("critical", [b"x" * 100_000], [])
    while queue.push(standard):
        pass
    fitted = 0
    while queue.push(critical, True):
        fitted += 1
    assert fitted >= RESERVED_RELAY_BYTES // (100_000 + 64)
    assert not queue.push(standard)
    relay.reads.set()
    nursery.start_soon(queue.run_writer, relay)
    await trio.testing.wait_all_tasks_blocked()
    told = [message.peer_id for write in relay.writes for message in write]
    assert told[:fitted] == ["critical"] * fitted
    assert set(told[fitted:]) == {"standard"}
