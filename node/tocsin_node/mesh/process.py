"""The mesh process: a libp2p host on one side, the relay's Unix socket on the other.

It holds no state worth keeping. It ends when the relay's socket closes; the relay starts another when it dies or
its Pulse stops. An own envelope that is not answered by Published was not sent: the relay offers it again.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio
from tocsin_protocol.feed import FeedHead
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import decode_roster
from tocsin_protocol.taxonomy import CRITICAL
from tocsin_protocol.topics import topic_names

from tocsin_node.meshlink import (
    PULSE_INTERVAL_SECONDS,
    Answered,
    Ask,
    Asked,
    Configure,
    Link,
    LinkError,
    Message,
    PeerDown,
    PeerUp,
    Publish,
    Published,
    PublishHeartbeat,
    PublishProof,
    Pulse,
    Ready,
    Reply,
    UseEquivocators,
    UseHeads,
    UseRoster,
)

from .host import MeshHost, MeshSettings
from .judge import Judge
from .outgoing import FrameBuilder, run_outgoing
from .peers import Dialer, PeerWatch
from .relay_queue import RelayQueue
from .rpc_queue import rank_of_lane
from .sync_stream import SYNC_SECONDS, SyncError, SyncStreams

# Sync requests under way, of ours and of all peers together.
MAX_ASKS = 64
MAX_ASKED = 64
CONFIGURE_SECONDS = 30.0


class MeshProcess:
    """The wiring; `run` serves one relay until it closes the link."""

    def __init__(self, link: Link, configure: Configure, others: Sequence[Message] = ()) -> None:
        self._link = link
        self._others = others
        self._to_relay = RelayQueue()
        roster = RosterIndex(decode_roster(configure.roster))
        settings = MeshSettings(
            seed=configure.transport_seed,
            listen=tuple(configure.listen),
            topics=frozenset(topic_names(roster.roster.network_id)),
            topic_fault=lambda topic: self._judge.topic_fault(topic),
        )
        self._host = MeshHost(settings, lambda *args: self._judge.judge(*args))
        self._conduct = self._host.conduct
        self._judge = Judge(roster, self._conduct, self._tell_relay)
        self._watch = PeerWatch(
            self._host,
            lambda peer: self._note(PeerUp(peer)),
            lambda peer: self._note(PeerDown(peer)),
        )
        self._dialer = Dialer(self._host, self._watch)
        self._sync = SyncStreams(self._host, self._answer)
        self._builder = FrameBuilder()
        self._asking = 0
        self._next_request = 0
        self._replies: dict[int, trio.MemorySendChannel[bytes]] = {}
        self._first = configure

    async def run(self) -> None:
        """Serve until the relay closes the link; raises LinkError, or OSError when an address is in use."""
        async with self._host.run():
            # As urgent as any other, or one of those would come before it.
            self._note(Ready(self._host.listen_addresses()))
            await self._use_roster(self._first.roster, self._first.addresses)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._to_relay.run_writer, self._link)
                nursery.start_soon(self._dialer.run_dialer)
                nursery.start_soon(self._run_pulse)
                nursery.start_soon(
                    run_outgoing, self._builder, self._send_frame, self._host.pubsub.wait_room, self._handed
                )
                messages: Sequence[Message] | None = self._others
                while messages is not None:
                    for message in messages:
                        await self._take(message, nursery)
                    messages = await self._link.receive()
                nursery.cancel_scope.cancel()

    # from the relay

    async def _take(self, message: Message, nursery: trio.Nursery) -> None:
        match message:
            case Publish(lane, sequence, envelope):
                self._publish(lane, sequence, envelope)
            case Ask(request_id, peer_id, request):
                if self._asking >= MAX_ASKS:
                    self._note(Answered(request_id, b"", f"{MAX_ASKS} requests are under way"))
                else:
                    self._asking += 1
                    nursery.start_soon(self._ask, request_id, peer_id, request)
            case Reply(request_id, response):
                waiting = self._replies.pop(request_id, None)
                if waiting is not None:
                    waiting.send_nowait(response)
            case UseHeads(heads):
                self._judge.set_heads([FeedHead(p, lane, sequence, b"") for p, lane, sequence in heads])
            case UseRoster(roster, addresses):
                await self._use_roster(roster, addresses)
            case UseEquivocators(publishers):
                self._judge.set_equivocators(frozenset(publishers))
            case PublishProof(proof):
                self._host.pubsub.publish_nowait(self._judge.proofs_topic, proof)
            case PublishHeartbeat(heartbeat):
                self._host.pubsub.publish_nowait(self._judge.heartbeats_topic, heartbeat)
            case _:
                raise LinkError(f"the relay sent {type(message).__name__}")

    async def _use_roster(self, body: bytes, extra: dict[str, list[str]]) -> None:
        roster = RosterIndex(decode_roster(body))
        self._judge.set_roster(roster)
        publishers = roster.publishers.values()
        await self._host.set_members(publisher.peer_id for publisher in publishers)
        # The operator's own addresses first: he may know a nearer way than the roster.
        self._dialer.set_addresses(
            {p.peer_id: tuple(dict.fromkeys([*extra.get(p.peer_id, ()), *p.addresses])) for p in publishers}
        )

    def _publish(self, lane: int, sequence: int, envelope: bytes) -> None:
        if not self._builder.add(lane, sequence, envelope):
            self._conduct.count("publish-queue-full")
        elif lane == CRITICAL:
            self._host.pubsub.stop_waiting()

    def _send_frame(self, lane: int, frame: bytes) -> int:
        return self._host.pubsub.publish_nowait(self._judge.frames_topic, frame, rank_of_lane(lane))

    async def _handed(self, lane: int, sequences: list[int]) -> None:
        for sequence in sequences:
            self._note(Published(lane, sequence))

    async def _ask(self, request_id: int, peer: str, request: bytes) -> None:
        try:
            self._tell_relay(Answered(request_id, await self._sync.ask(peer, request), ""))
        except SyncError as exc:
            self._note(Answered(request_id, b"", str(exc)))
        finally:
            self._asking -= 1

    # to the relay

    def _tell_relay(self, message: Message, is_urgent: bool = False) -> bool:
        if self._to_relay.push(message, is_urgent):
            return True
        self._conduct.count("relay-queue-full")
        return False

    def _note(self, message: Message) -> None:
        # Few and small: a relay that stopped reading loses them with the process.
        self._tell_relay(message, True)

    async def _answer(self, peer: str, request: bytes) -> bytes:
        if len(self._replies) >= MAX_ASKED:
            raise SyncError(f"{MAX_ASKED} requests are under way")
        self._next_request += 1
        request_id = self._next_request
        send, receive = trio.open_memory_channel[bytes](1)
        self._replies[request_id] = send
        try:
            if not self._tell_relay(Asked(request_id, peer, request)):
                raise SyncError("the relay is busy")
            with trio.move_on_after(SYNC_SECONDS):
                response = await receive.receive()
                if response:
                    return response
                raise SyncError("the relay refused the request")
            raise SyncError("the relay did not answer")
        finally:
            self._replies.pop(request_id, None)

    async def _run_pulse(self) -> None:
        while True:
            self._note(Pulse(dict(self._conduct.counters)))
            await trio.sleep(PULSE_INTERVAL_SECONDS)


async def run_mesh(socket_path: str) -> None:
    """Connect to the relay at a Unix socket and serve it until it closes the socket.

    Raises OSError (no relay, or an address in use), LinkError, or DecodeError for a roster it cannot read.
    """
    link = Link(await trio.open_unix_socket(socket_path))
    try:
        with trio.fail_after(CONFIGURE_SECONDS):
            messages = await link.receive()
        if messages is None:
            return
        first, *others = messages
        if not isinstance(first, Configure):
            raise LinkError("the relay did not send Configure first")
        await MeshProcess(link, first, others).run()
    finally:
        with trio.move_on_after(1, shield=True):
            await link.aclose()
