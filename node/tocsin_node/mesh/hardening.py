"""What keeps one hostile or broken peer from harming the mesh process.

Each cure names the fault of libp2p 0.8.1 it answers; tests/network/test_hardening.py shows the fault on the
stock library. They can go one by one when an upgrade passes those tests without them.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import trio
from google.protobuf.message import DecodeError as ProtobufDecodeError
from libp2p.abc import IMuxedConn, INetStream, IRawConnection, ISecureConn
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.connection.exceptions import RawConnError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.transport.exceptions import SecurityUpgradeFailure
from libp2p.transport.tcp.tcp import TCP
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr

# Stock: an 855 KB RPC of 4,500 messages froze the loop for 13 s, one of 5,000 GRAFTs for 12 s.
MAX_RPC_BYTES = 256 * 1024
MAX_RPC_MESSAGES = 512
MAX_RPC_CONTROLS = 64
MAX_RPC_SUBSCRIPTIONS = 64
MAX_HANDSHAKE_READ_BYTES = 64 * 1024
MAX_HANDSHAKES_AN_ADDRESS = 16
# A peer that sent a malformed RPC stays out this long, doubling each time up to the longest.
FIRST_BAR_SECONDS = 5.0
LONGEST_BAR_SECONDS = 600.0
# Rejected messages one forwarder may hand us in a minute before it is dropped as well.
MAX_REJECTS_A_MINUTE = 16
# A new connection replaces one of the same peer that is older than this: the peer lost it.
REPLACE_AFTER_SECONDS = 3.0


class MalformedRpc(Exception):
    """An RPC no honest implementation sends."""


def decode_rpc(data: bytes) -> rpc_pb2.RPC:
    """Parse a gossip RPC within our bounds; raises MalformedRpc.

    Stock parses without catching DecodeError (the process dies) and without bounding the entries.
    """
    rpc = rpc_pb2.RPC()
    try:
        rpc.ParseFromString(data)
    except (ProtobufDecodeError, UnicodeDecodeError, ValueError) as exc:
        raise MalformedRpc("not a protobuf RPC") from exc
    if len(rpc.publish) > MAX_RPC_MESSAGES:
        raise MalformedRpc(f"{len(rpc.publish)} messages in one RPC")
    if len(rpc.subscriptions) > MAX_RPC_SUBSCRIPTIONS:
        raise MalformedRpc(f"{len(rpc.subscriptions)} subscriptions in one RPC")
    control = rpc.control
    entries = len(control.ihave) + len(control.iwant) + len(control.graft) + len(control.prune)
    if entries + len(control.idontwant) > MAX_RPC_CONTROLS:
        raise MalformedRpc(f"{entries} control entries in one RPC")
    if not all(type(topic) is str for topic in _topics(rpc)):
        raise MalformedRpc("a topic that is not UTF-8")
    return rpc


def _topics(rpc: rpc_pb2.RPC) -> Iterator[object]:
    """The topics an RPC names; the library hands out text that is not UTF-8 as bytes."""
    for subscription in rpc.subscriptions:
        yield subscription.topicid
    for message in rpc.publish:
        # Messages of none or several are refused unread.
        if len(message.topicIDs) == 1:
            yield message.topicIDs[0]
    for entries in (rpc.control.ihave, rpc.control.graft, rpc.control.prune):
        for entry in entries:
            yield entry.topicID


@dataclass(slots=True)
class _Record:
    rejects: int = 0
    window_started: float = 0.0
    barred_until: float = 0.0
    next_bar: float = FIRST_BAR_SECONDS


class Conduct:
    """What peers did: counters by reason, and who is barred for how long. Bounded by the roster's size."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._records: dict[str, _Record] = {}

    def count(self, reason: str, amount: int = 1) -> None:
        self.counters[reason] += amount

    def bar(self, peer: str) -> None:
        """Keep a peer out for a while, longer each time."""
        record = self._records.setdefault(peer, _Record())
        record.barred_until = trio.current_time() + record.next_bar
        record.next_bar = min(record.next_bar * 2, LONGEST_BAR_SECONDS)
        self.count("peer-barred")

    def hold_reject(self, peer: str) -> bool:
        """Hold a rejected message against its forwarder; True when that was one too many."""
        now = trio.current_time()
        record = self._records.setdefault(peer, _Record())
        if now - record.window_started > 60:
            record.window_started, record.rejects = now, 0
        record.rejects += 1
        if record.rejects <= MAX_REJECTS_A_MINUTE:
            return False
        record.rejects = 0
        return True

    def is_barred(self, peer: str) -> bool:
        record = self._records.get(peer)
        return record is not None and trio.current_time() < record.barred_until

    def forget_except(self, peers: frozenset[str]) -> None:
        """Drop the records of peers that left the roster."""
        self._records = {peer: record for peer, record in self._records.items() if peer in peers}


class PlainMuxer(MuxerMultistream):  # type: ignore[misc]
    """Makes the muxer it was given: stock builds its own Yamux whatever class stands in the options."""

    async def new_conn(self, conn: ISecureConn, peer_id: ID) -> IMuxedConn:
        protocol, muxer = await self._selector.select(conn, conn.is_initiator, self.negotiate_timeout)
        return self._annotate_connection(muxer(conn, peer_id), conn, protocol)


class GatedUpgrader(TransportUpgrader):  # type: ignore[misc]
    """Lets a connection live past the handshake only when its peer may be here, both ways.

    Stock's gater knows IP addresses only.
    """

    def __init__(self, security: Any, muxers: Any, is_allowed: Callable[[str], bool], conduct: Conduct) -> None:
        super().__init__(security, muxers)
        self.muxer_multistream = PlainMuxer(muxers)
        self._is_allowed = is_allowed
        self._conduct = conduct

    async def upgrade_security(self, raw_conn: Any, is_initiator: bool, peer_id: ID | None = None) -> ISecureConn:
        secure = await super().upgrade_security(raw_conn, is_initiator, peer_id)
        if not self._is_allowed(str(secure.get_remote_peer())):
            self._conduct.count("peer-refused")
            await secure.close()
            raise SecurityUpgradeFailure("the peer is not in the roster")
        return secure


class BoundedRaw(RawConnection):  # type: ignore[misc]
    """A connection before its handshake: no read of more than a Noise message.

    Stock reads whatever length a stranger claims in the protocol negotiation into memory.
    """

    async def read(self, n: int | None = None) -> bytes:
        if n is not None and n > MAX_HANDSHAKE_READ_BYTES:
            raise RawConnError(f"{n} bytes claimed before the handshake")
        return cast(bytes, await super().read(n))


class BoundedTCP(TCP):  # type: ignore[misc]
    """The library's TCP with dialled connections bounded as well: who answers is a stranger, too, at first."""

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        raw = await super().dial(maddr)
        return BoundedRaw(raw.stream, True)


class NoAutoConnector(AutoConnector):  # type: ignore[misc]
    """Dials nobody: stock dials whatever peer identify told it of, beside our own dialler and its back-off."""

    async def maybe_connect(self) -> None:
        await trio.lowlevel.checkpoint()


class GuardedSwarm(Swarm):  # type: ignore[misc]
    """The library's swarm with an inbound slot that is given back and one live connection a peer."""

    # Told before a connection takes the place of others.
    on_take_over: Callable[[ID], None] = staticmethod(lambda peer_id: None)
    count: Callable[[str], None] = staticmethod(lambda reason: None)

    def _init_connection_management(self) -> None:
        super()._init_connection_management()
        self.auto_connector = NoAutoConnector(swarm=self)
        self._handshakes: Counter[str] = Counter()

    async def _do_handle_inbound_connection(
        self, read_write_closer: ReadWriteCloser, maddr: Multiaddr, failure_event: Any
    ) -> None:
        # Stock waits for the end of the swarm here: after 250 connections ever, inbound is refused for good.
        raw = BoundedRaw(read_write_closer, False)
        try:
            muxed = await self._shake_hands(raw, maddr)
            await cast(Any, muxed).event_closed.wait()
        except Exception:  # noqa: BLE001 - the edge of one stranger's connection; whatever it sent, only it ends
            self.count("inbound-failed")
            with trio.move_on_after(1):
                await raw.close()

    async def _shake_hands(self, raw: BoundedRaw, maddr: Multiaddr) -> IMuxedConn:
        address = (raw.get_remote_address() or ("", 0))[0]
        # Or one stranger holds all inbound slots by saying nothing.
        if self._handshakes[address] >= MAX_HANDSHAKES_AN_ADDRESS:
            raise SwarmException("too many handshakes of one address")
        self._handshakes[address] += 1
        try:
            return await self.upgrade_inbound_raw_conn(raw, maddr)
        finally:
            self._handshakes[address] -= 1
            if not self._handshakes[address]:
                del self._handshakes[address]

    async def add_conn(self, muxed_conn: IMuxedConn, direction: str = "unknown") -> Any:
        # One connection a peer: with two, stock's gossip may send on one and hear on the other, and losing
        # either leaves one side deaf.
        peer_id = muxed_conn.peer_id
        live = [conn for conn in self.connections.get(peer_id, []) if not conn.is_closed]
        if live and not self._takes_over(muxed_conn, live):
            with trio.move_on_after(1):
                await muxed_conn.close()
            raise SwarmException("the other connection with this peer is kept")
        if live:
            del self.connections[peer_id]
            for old in live:
                self.manager.run_task(self._close_connection_async, old)
            self.on_take_over(peer_id)
        conn = await super().add_conn(muxed_conn, direction)
        cast(Any, conn).added_at = trio.current_time()
        self._settle(peer_id)
        return conn

    def _takes_over(self, new: IMuxedConn, live: list[Any]) -> bool:
        now = trio.current_time()
        # The side that dials again, or after this long, has lost the connection before.
        if any(conn.muxed_conn.is_initiator == new.is_initiator for conn in live):
            return True
        if all(now - getattr(conn, "added_at", now) > REPLACE_AFTER_SECONDS for conn in live):
            return True
        return self._is_preferred(new)

    def _is_preferred(self, conn: IMuxedConn) -> bool:
        # Both dialled at once: both keep the one that the smaller peer id dialled.
        dialler = self.self_id if conn.is_initiator else conn.peer_id
        return bool(dialler.to_bytes() == min(self.self_id.to_bytes(), conn.peer_id.to_bytes()))

    def _settle(self, peer_id: ID) -> None:
        """Two connections may have been added at once, neither seeing the other: keep one."""
        live = [conn for conn in self.connections.get(peer_id, []) if not conn.is_closed]
        if len(live) > 1:
            kept = max(live, key=lambda conn: (self._is_preferred(conn.muxed_conn), live.index(conn)))
            for conn in live:
                if conn is not kept:
                    self.manager.run_task(self._close_connection_async, conn)


def guard_stream_handler(handler: Callable[[INetStream], Any], conduct: Conduct) -> Callable[[INetStream], Any]:
    """Wrap the host's handler of inbound streams: what escapes it in stock cancels the whole connection tree."""

    async def guarded(stream: INetStream) -> None:
        try:
            await handler(stream)
        except Exception:  # noqa: BLE001 - the edge of one peer's stream; the fault is counted, the stream reset
            conduct.count("stream-fault")
            with trio.move_on_after(1):
                await stream.reset()

    return guarded


def check_port_free(host: str, port: int) -> None:
    """Raise OSError when somebody listens on the port: stock's SO_REUSEPORT would share it silently."""
    if port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
