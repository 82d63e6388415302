"""Keeping connected to every member: our own dial loop with back-off, one task a peer.

Stock never dials again after a loss, forgets a bootstrap peer after three failures and blocks one that was
unreachable for a minute.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import trio
from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from .host import MeshHost

FIRST_BACK_OFF_SECONDS = 0.2
LONGEST_BACK_OFF_SECONDS = 8.0
# Of two members the one with the smaller id dials; the other waits this long, so that they rarely cross.
YIELD_SECONDS = 0.3
DIAL_SECONDS = 5.0
# A connection that lived this long was a good one: the next dial is not held back.
STABLE_SECONDS = 3.0
MAX_ADDRESSES = 4


class PeerWatch(INotifee):  # type: ignore[misc]
    """Tells when a member's first connection came up and its last went down."""

    def __init__(self, host: MeshHost, on_up: Callable[[str], None], on_down: Callable[[str], None]) -> None:
        self._host = host
        self._on_up = on_up
        self._on_down = on_down
        self.up: set[str] = set()
        self.down_events: dict[str, trio.Event] = {}
        host.swarm.register_notifee(self)
        host.on_reconnected = self._reconnected

    def _reconnected(self, peer: str) -> None:
        if peer in self.up:
            self.up.discard(peer)
            self._on_down(peer)

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        peer = str(conn.muxed_conn.peer_id)
        if peer not in self.up:
            self.up.add(peer)
            self._on_up(peer)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        peer = str(conn.muxed_conn.peer_id)
        live = self._host.swarm.connections.get(conn.muxed_conn.peer_id, [])
        if peer in self.up and not any(not other.is_closed for other in live):
            self.up.discard(peer)
            self.down_events.pop(peer, trio.Event()).set()
            self._on_down(peer)

    async def wait_down(self, peer: str) -> None:
        """Wait until a peer has no connection."""
        while peer in self.up:
            await self.down_events.setdefault(peer, trio.Event()).wait()

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        pass

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        pass

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        pass

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        pass


class Dialer:
    """Dials members that are not connected."""

    def __init__(self, host: MeshHost, watch: PeerWatch) -> None:
        self._host = host
        self._watch = watch
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._tasks: dict[str, trio.CancelScope] = {}
        self._changed = trio.Event()
        self._readdressed = trio.Event()

    def set_addresses(self, addresses: Mapping[str, tuple[str, ...]]) -> None:
        """Take over who is to be kept connected, and where: multiaddrs by peer id."""
        self._addresses = {peer: listed for peer, listed in addresses.items() if peer != self._host.peer_id}
        self._changed.set()
        self._readdressed.set()
        self._readdressed = trio.Event()

    async def run_dialer(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep one task for each member, as the roster changes."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                for peer in set(self._tasks) - set(self._addresses):
                    self._tasks.pop(peer).cancel()
                for peer in set(self._addresses) - set(self._tasks):
                    scope = self._tasks[peer] = trio.CancelScope()
                    nursery.start_soon(self._keep, peer, scope)
                await self._changed.wait()
                self._changed = trio.Event()

    async def _keep(self, peer: str, scope: trio.CancelScope) -> None:
        first = 0.0 if self._host.peer_id < peer else YIELD_SECONDS
        delay = first
        with scope:
            while True:
                since = trio.current_time()
                await self._watch.wait_down(peer)
                # A peer that ends each connection at once is dialled less and less.
                if trio.current_time() - since > STABLE_SECONDS:
                    delay = first
                while await self._is_readdressed_within(delay * (1 + secrets.randbelow(250) / 1000)):
                    delay = first
                if peer not in self._watch.up and self._host.is_allowed(peer):
                    await self._dial(peer)
                delay = min(max(delay * 2, FIRST_BACK_OFF_SECONDS), LONGEST_BACK_OFF_SECONDS)

    async def _is_readdressed_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self._readdressed.wait()
            return True
        return False

    async def _dial(self, peer: str) -> bool:
        for address in self._addresses.get(peer, ())[:MAX_ADDRESSES]:
            with trio.move_on_after(DIAL_SECONDS):
                try:
                    await self._host.swarm.dial_addr(Multiaddr(address), ID.from_base58(peer))
                    return True
                except (SwarmException, MultiaddrError, ValueError, OSError):
                    self._host.conduct.count("dial-failed")
        return False
