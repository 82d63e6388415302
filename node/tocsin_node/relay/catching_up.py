"""Catching up: compare feed heads with peers and fetch what is missing, on connect, on a gap, and now and then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import structlog
import trio
from tocsin_protocol.admission import Reason
from tocsin_protocol.envelope import Envelope, decode_envelope
from tocsin_protocol.errors import DecodeError, ProtocolError, RosterError, WrongNetworkError
from tocsin_protocol.feed import FeedHead
from tocsin_protocol.heartbeat import Heartbeat
from tocsin_protocol.proof import accused_by, verify_proof
from tocsin_protocol.roster_encoding import decode_signed_roster
from tocsin_protocol.sync import (
    MAX_PROOFS,
    MAX_RANGE_ENVELOPES,
    MAX_ROSTERS_PER_RESPONSE,
    HeadsRequest,
    HeadsResponse,
    ProofsRequest,
    RangeRequest,
    RostersRequest,
    decode_heads,
    decode_items,
    encode_request,
)

from tocsin_node.store.arrivals import Filed, Path, insert_proof
from tocsin_node.store.feeds import FeedState, read_feed, read_feeds, read_gaps
from tocsin_node.store.rosters import read_equivocators
from tocsin_node.store.writer import Store

from .intake import Intake
from .metrics import Metrics
from .network import Network
from .supervisor import MeshError, MeshSupervisor

EXCHANGE_SECONDS = 30.0
# A gap often closes by itself: frames overtake one another.
GAP_PATIENCE_SECONDS = 0.3
# Between two exchanges set off by gaps, so that a publisher who makes gaps cannot keep us busy.
GAP_PAUSE_SECONDS = 1.0
MAX_GAPS_PER_FEED = 64
# One feed from one peer: then others may fetch it too, so that a slow peer holds nothing back.
FETCH_SECONDS = 30.0
# Exchanges set off by a gap, all together.
GAP_EXCHANGE_SECONDS = 60.0
# Pages of one feed, and of rosters, that one exchange may take; the next goes on.
MAX_ROUNDS = 10_000
# More publishers than a roster can hold.
MAX_PROOFS_PER_PEER = 4096

_log = structlog.get_logger("tocsin.sync")


class CatchingUp:
    """The asking side of sync. What comes in is admitted like anything else."""

    def __init__(
        self,
        store: Store,
        network: Network,
        intake: Intake,
        supervisor: MeshSupervisor,
        metrics: Metrics,
        now_ms: Callable[[], int],
        own_feed_shown: Callable[[str], Awaitable[None]],
        proof_found: Callable[[bytes], None],
    ) -> None:
        self._store = store
        self._network = network
        self._intake = intake
        self._supervisor = supervisor
        self._metrics = metrics
        self._now_ms = now_ms
        self._own_feed_shown = own_feed_shown
        self._proof_found = proof_found
        # Feeds that are being fetched, with what is set at the end of it.
        self._claimed: dict[tuple[bytes, int], trio.Event] = {}
        self._proofs_seen: Counter[str] = Counter()
        self._heads: dict[tuple[bytes, int], int] = {}
        self._ahead: set[str] = set()
        self._gap = trio.Event()
        self._peers: dict[str, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self._proofs, self._waiting_proofs = trio.open_memory_channel[bytes](MAX_PROOFS)
        intake.listeners.append(self._notice_gaps)

    async def run_catching_up(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Exchange heads with every connected peer until cancelled."""
        self._heads = {(f.publisher, f.lane): f.head for f in await self._store.writer.submit(read_feeds)}
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._run_gaps)
            nursery.start_soon(self._run_proofs)
            task_status.started()
            await trio.sleep_forever()

    def peer_up(self, peer_id: str) -> None:
        """Start exchanging with a peer that has connected."""
        # It may hold proofs about publishers whom our roster did not have when we last asked.
        self._proofs_seen.pop(peer_id, None)
        if self._nursery is not None and peer_id not in self._peers:
            scope = self._peers[peer_id] = trio.CancelScope()
            self._nursery.start_soon(self._keep_exchanging, peer_id, scope)

    def peer_down(self, peer_id: str) -> None:
        """Stop exchanging with a peer that is gone."""
        scope = self._peers.pop(peer_id, None)
        if scope is not None:
            scope.cancel()

    def heard(self, peer_id: str, beat: Heartbeat) -> None:
        """A heartbeat may show heads that we do not hold, or a roster that we have not."""
        shows_more = any(head.sequence > self._heads.get((head.publisher, head.lane), 0) for head in beat.heads)
        if shows_more or beat.epoch > self._network.index.roster.epoch:
            self._ahead.add(peer_id)
            self._gap.set()

    async def exchange(self, peer_id: str) -> bool:
        """One exchange of heads with a peer, and everything that follows; False when a feed was not finished in time.

        Raises MeshError or DecodeError.
        """
        theirs = decode_heads(await self._supervisor.ask(peer_id, encode_request(HeadsRequest())))
        if theirs.epoch > self._network.index.roster.epoch:
            await self._fetch_rosters(peer_id)
        await self._fetch_proofs(peer_id, theirs)
        equivocators = await self._store.writer.submit(read_equivocators)
        held = {(f.publisher, f.lane): f for f in await self._store.writer.submit(read_feeds)}
        own, unfinished = self._store.publisher, set()
        for head in sorted(theirs.heads, key=lambda head: (head.publisher != own, head.lane)):
            known = self._network.index.publisher(head.publisher)
            if known is not None and (head.publisher not in equivocators or head.publisher == own):
                last = min(head.sequence, known.last_accepted(head.lane))
                if not await self._fetch_feed(peer_id, head, last, held.get((head.publisher, head.lane))):
                    unfinished.add(head.publisher)
        if own not in unfinished:
            await self._own_feed_shown(peer_id)
        return not unfinished

    async def _keep_exchanging(self, peer_id: str, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                is_finished = await self._try_exchange(peer_id)
                await trio.sleep(EXCHANGE_SECONDS if is_finished else GAP_PAUSE_SECONDS)

    async def _try_exchange(self, peer_id: str) -> bool:
        try:
            if await self.exchange(peer_id):
                return True
            # It was too slow, or there is much to fetch: the others may have their turn with what it did not finish.
            self._ahead |= set(self._peers) - {peer_id}
            self._gap.set()
            return False
        except* MeshError as group:
            _log.info("sync failed", peer=peer_id, why=str(group.exceptions[0]))
            self._metrics.dropped.labels("sync-failed").inc()
        except* WrongNetworkError as group:
            _log.warning("peer goes by another network's roster", peer=peer_id, why=str(group.exceptions[0]))
            self._metrics.count_refused({Reason.WRONG_NETWORK: 1})
        except* ProtocolError as group:
            _log.warning("peer broke the rules of sync", peer=peer_id, why=str(group.exceptions[0]))
            self._metrics.dropped.labels("sync-broken").inc()
        return True

    def _notice_gaps(self, filed: Filed, path: Path) -> None:
        self._heads.update({(feed.publisher, feed.lane): feed.head for feed in filed.feeds})
        if any(feed.has_gap for feed in filed.feeds):
            self._gap.set()

    async def _run_gaps(self) -> None:
        while True:
            await self._gap.wait()
            await trio.sleep(GAP_PATIENCE_SECONDS)
            self._gap = trio.Event()
            feeds = [feed for feed in await self._store.writer.submit(read_feeds) if feed.has_gap]
            ahead, self._ahead = self._ahead & set(self._peers), set()
            # Side by side, so that a slow one does not hold up what the others have.
            with trio.move_on_after(GAP_EXCHANGE_SECONDS):
                async with trio.open_nursery() as nursery:
                    for peer_id in sorted(ahead | self._whom_to_ask(feeds)):
                        nursery.start_soon(self._try_exchange, peer_id)
            await trio.sleep(GAP_PAUSE_SECONDS)

    def _whom_to_ask(self, feeds: list[FeedState]) -> set[str]:
        """The publishers' own nodes where they are connected, else any one peer."""
        if not feeds:
            return set()
        publishers = (self._network.index.publisher(feed.publisher) for feed in feeds)
        own = {p.peer_id for p in publishers if p is not None} & set(self._peers)
        return own or set(sorted(self._peers)[:1])

    async def _fetch_feed(self, peer_id: str, head: FeedHead, last: int, held: FeedState | None) -> bool:
        """Fetch what is missing of a feed; False when it took longer than FETCH_SECONDS and was left to others."""
        feed = (head.publisher, head.lane)
        while feed in self._claimed:
            if head.publisher != self._store.publisher:
                return True
            # Whether this peer has shown us our own feed decides whether we may seal: wait, and look again.
            await self._claimed[feed].wait()
            held = await self._store.writer.submit(partial(read_feed, publisher=feed[0], lane=feed[1]))
        self._claimed[feed] = trio.Event()
        try:
            with trio.move_on_after(FETCH_SECONDS) as scope:
                if held is not None and held.has_gap:
                    gaps = await self._store.writer.submit(partial(read_gaps, feed=held, most=MAX_GAPS_PER_FEED))
                    for first, end in gaps:
                        await self._fetch_range(peer_id, feed, first, min(end, last))
                await self._fetch_range(peer_id, feed, (held.head if held else 0) + 1, last)
        finally:
            self._claimed.pop(feed).set()
        return not scope.cancelled_caught

    async def _fetch_range(self, peer_id: str, feed: tuple[bytes, int], first: int, last: int) -> None:
        """Fetch first…last of a feed; while one part is stored, the next is on its way."""
        if first > last:
            return
        send, receive = trio.open_memory_channel[tuple[int, tuple[bytes, ...]]](1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._download, peer_id, feed, first, last, send)
            async for start, items in receive:
                verified, _ = await self._intake.admit(items, Path.SYNC)
                if not any(_is_of(opened.envelope, feed, start) for opened in verified.opened):
                    # Nothing that was asked for and may be stored: else a peer could show us a head without end.
                    nursery.cancel_scope.cancel()

    async def _download(
        self,
        peer_id: str,
        feed: tuple[bytes, int],
        first: int,
        last: int,
        send: trio.MemorySendChannel[tuple[int, tuple[bytes, ...]]],
    ) -> None:
        async with send:
            for _ in range(MAX_ROUNDS):
                if first > last:
                    return
                request = RangeRequest(*feed, first, min(last, first + MAX_RANGE_ENVELOPES - 1))
                response = await self._supervisor.ask(peer_id, encode_request(request))
                items = decode_items(response, MAX_RANGE_ENVELOPES).items
                if not items:
                    return
                reached = decode_envelope(self._network.index.domain, items[-1])
                if not _is_of(reached, feed, first) or reached.sequence > last:
                    raise DecodeError("the peer sent something else than the range it was asked for")
                await send.send((first, items))
                first = reached.sequence + 1

    async def _fetch_rosters(self, peer_id: str) -> None:
        for _ in range(MAX_ROUNDS):
            before = self._network.index.roster.epoch
            response = await self._supervisor.ask(peer_id, encode_request(RostersRequest(before + 1)))
            for item in decode_items(response, MAX_ROSTERS_PER_RESPONSE).items:
                await self._network.apply(decode_signed_roster(item))
            if self._network.index.roster.epoch == before:
                return

    async def _fetch_proofs(self, peer_id: str, theirs: HeadsResponse) -> None:
        while self._proofs_seen[peer_id] < min(theirs.proofs, MAX_PROOFS_PER_PEER):
            request = ProofsRequest(self._proofs_seen[peer_id])
            response = await self._supervisor.ask(peer_id, encode_request(request))
            items = decode_items(response, MAX_PROOFS).items
            if not items:
                return
            self._proofs_seen[peer_id] += len(items)
            for item in items:
                await self.admit_proof(item)

    def offer_proof(self, proof: bytes) -> None:
        """Queue a proof from gossip; one that does not fit comes again by sync."""
        with suppress(trio.WouldBlock):
            self._proofs.send_nowait(proof)

    async def _run_proofs(self) -> None:
        async for proof in self._waiting_proofs:
            try:
                await self.admit_proof(proof)
            except ProtocolError as exc:
                _log.warning("proof of equivocation does not hold", why=str(exc))
                self._metrics.dropped.labels("proof-broken").inc()

    async def admit_proof(self, proof: bytes) -> bool:
        """Verify a proof against a publisher and keep it; returns whether it is new. Raises as `verify_proof`."""
        index, now_ms = self._network.index, self._now_ms()
        publisher = accused_by(index, proof)
        if index.publisher(publisher) is None:
            return False
        try:
            verify_proof(index, proof)
        except RosterError:
            # A roster ahead of ours has the key; with it the proof comes again.
            return False
        is_new = await self._store.writer.submit(lambda connection: insert_proof(connection, publisher, proof, now_ms))
        if is_new:
            _log.error("a publisher has told two histories", publisher=publisher)
            self._proof_found(proof)
        return is_new


def _is_of(envelope: Envelope, feed: tuple[bytes, int], first: int) -> bool:
    return (envelope.publisher, envelope.lane) == feed and envelope.sequence >= first
