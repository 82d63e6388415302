"""Witnessing: what peers' logs show is compared and cosigned, and our own is shown to them.

Nothing that acts waits for any of this. What it finds in others is a proof or an alarm; what others show of our own log
that it does not have puts the ledger in doubt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

import structlog
import trio
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.errors import DecodeError, ProtocolError
from tocsin_protocol.heartbeat import MAX_COSIGNED, Heartbeat
from tocsin_protocol.log.checkpoint import FIRST_GENERATION, NodeLog, decode_checkpoint, verify_checkpoint
from tocsin_protocol.log.hearing import Hearing, choose_shown
from tocsin_protocol.log.members import log_key, log_of_head, witness_key
from tocsin_protocol.log.note import Cosigner, Note, decode_note, encode_note
from tocsin_protocol.log.split_view import encode_split_view
from tocsin_protocol.log.watch import Head, LogView, next_question, open_head
from tocsin_protocol.log.witness import Growth, decode_growth
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.sync import MAX_LOG_ITEMS, GrowthRequest, WitnessedRequest, decode_items, encode_request

from tocsin_node.store.audit import append_audit
from tocsin_node.store.record import read_generation
from tocsin_node.store.rosters import read_equivocators
from tocsin_node.store.shown_heads import add_cosignature, begin_anew, has_head, read_best_shown, show_head
from tocsin_node.store.witnessing import keep_heads, read_kept
from tocsin_node.store.writer import STORE_ERRORS, Connection, Store

from .ledger import Ledger
from .metrics import Metrics
from .network import Network
from .supervisor import MeshError, MeshSupervisor

# Two rounds of the largest roster: what does not fit comes again with the next heartbeat.
MAX_WAITING_BEATS = 4096
# Between two questions to one log: each answer of an honest one ties a loose head.
QUESTION_SECONDS = 1.0
# Of the 64 requests that a mesh process has under way at once: logs that keep us waiting must leave room for the rest.
MAX_QUESTIONS = 8
# A log that is connected and asked for so long, and all the time leaves loose what one and the same witness shows, is
# told of. Whatever else it answers meanwhile does not count.
UNPROVEN_SECONDS = 600.0

_log = structlog.get_logger("tocsin.witnessing")


class Witnessing:
    """Hears heads, cosigns them, asks for what ties them together, and shows our own."""

    def __init__(
        self,
        store: Store,
        network: Network,
        supervisor: MeshSupervisor,
        ledger: Ledger,
        log_secret: bytes,
        metrics: Metrics,
        now_ms: Callable[[], int],
        admit_proof: Callable[[bytes], Awaitable[bool]],
        may_show: Callable[[], bool],
    ) -> None:
        self._store = store
        self._network = network
        self._supervisor = supervisor
        self._ledger = ledger
        self._secret = log_secret
        self._metrics = metrics
        self._now_ms = now_ms
        self._admit_proof = admit_proof
        self._may_show = may_show
        self._send, self._receive = trio.open_memory_channel[tuple[bytes, Heartbeat]](MAX_WAITING_BEATS)
        self._loose = trio.Event()
        self._questions = trio.CapacityLimiter(MAX_QUESTIONS)
        # One at a time: what two heartbeats change of one log is changed one after the other.
        self._lock = trio.Lock()
        self._turn = 0
        # For how many seconds a log was asked while heads that this witness showed stayed loose, by log and witness.
        self._asked_in_vain: dict[tuple[bytes, bytes], float] = {}
        # What is on disk, by publisher: this alone is cosigned.
        self.views: dict[bytes, LogView] = {}
        self.excluded: set[bytes] = set()
        # Publishers whose heads nothing ties together, as was told.
        self.unproven: set[bytes] = set()

    async def load(self) -> None:
        """Begin with what the database holds."""
        kept, excluded = await self._store.writer.submit(lambda c: (read_kept(c), read_equivocators(c)))
        self.excluded = set(excluded)
        for publisher, head in kept.items():
            if publisher in self.excluded:
                continue
            try:
                log = log_of_head(self._network.index, head)
                key = log_key(self._network.index, publisher, log.generation)
                opened = open_head(head, key)
            except ProtocolError as exc:
                # A publisher that has left the roster: nobody shows us its log any more.
                _log.info("a kept head is passed over", publisher=publisher, why=str(exc))
                continue
            self.views[publisher] = LogView(key, {opened.checkpoint.size: opened})

    def offer(self, peer_id: str, beat: Heartbeat) -> None:
        """Queue the heads of a peer's heartbeat; what does not fit comes with the next one."""
        publisher = self._network.index.publisher_of_peer(peer_id)
        if publisher is None:
            return
        try:
            self._send.send_nowait((publisher, beat))
        except trio.WouldBlock:
            self._metrics.dropped.labels("log-heads-queue-full").inc()

    def use_roster(self, index: RosterIndex) -> None:
        """A publisher that left the roster is not witnessed any more."""
        for publisher in [publisher for publisher in self.views if index.publisher(publisher) is None]:
            del self.views[publisher]

    def proven(self, publisher: bytes) -> None:
        """A proof against a publisher came to light: its log is cosigned no more."""
        self.excluded.add(publisher)
        self.views.pop(publisher, None)
        self.unproven.discard(publisher)

    async def shown(self) -> tuple[Growth | None, tuple[bytes, ...]]:
        """What our next heartbeat shows: how our log has grown, and the heads of others' logs that we cosign."""
        growth = None
        # [LOG] A node shows heads of its log once it may publish, and while its ledger and its log are not in doubt.
        if self._may_show() and not self._ledger.doubt and not self._store.record.fault:
            try:
                growth = await self._store.writer.submit(show_head)
            except (ProtocolError, *STORE_ERRORS) as exc:
                _log.error("the head of our log cannot be shown", why=str(exc))
        self._turn += 1
        return growth, tuple(self._cosigned())

    async def describe(self) -> str:
        """How our log stands with the others, for `tocsin status`."""
        note, generation = await self._store.writer.submit(lambda c: (read_best_shown(c), read_generation(c)))
        begun = f"generation {generation}, " if generation > FIRST_GENERATION else ""
        if note is None:
            return f"{begun}nobody was shown a head of it yet"
        size, cosigned = decode_checkpoint(decode_note(note).text).size, len(decode_note(note).signatures) - 1
        return f"{begun}{cosigned} others have cosigned its head of {size} entries"

    async def run_witnessing(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take heads out of heartbeats, and ask logs for what ties them together, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_questions)
            task_status.started()
            async for publisher, beat in self._receive:
                try:
                    await self.hear(publisher, beat.log, beat.cosigned)
                except Exception:  # noqa: BLE001 - what others send must not end the relay
                    _log.exception("the heads of a heartbeat could not be taken", publisher=publisher)

    async def hear(self, sender: bytes, growth: Growth | None, cosigned: Collection[bytes]) -> None:
        """Take what a publisher shows of logs; returns when it is on disk, and proofs have gone out."""
        if growth is None and not cosigned:
            return
        async with self._lock:
            hearing = Hearing(self._network.index, self._store.publisher, self.views, self.excluded)
            heard = await trio.to_thread.run_sync(hearing.hear, sender, growth, cosigned)
            if heard.broken:
                self._metrics.dropped.labels("log-head-broken").inc(heard.broken)
            grown = {who: view for who, view in heard.views.items() if view.kept != self._kept(who)}
            if grown:
                await self._store.writer.submit(partial(self._keep, views=grown, begun=heard.begun))
            # From here on they are cosigned: what comes before has to be on disk.
            self.views.update({who: view for who, view in heard.views.items() if who not in self.excluded})
        for publisher, split in heard.splits.items():
            _log.error("a log has shown two histories", publisher=publisher)
            await self._admit_proof(encode_split_view(split))
        await self.take_own(sender, heard.own)
        if any(view.loose for view in heard.views.values()):
            self._loose.set()

    def _kept(self, publisher: bytes) -> Head | None:
        view = self.views.get(publisher)
        return None if view is None else view.kept

    def _keep(self, connection: Connection, views: Mapping[bytes, LogView], begun: Collection[NodeLog]) -> None:
        keep_heads(connection, views)
        for log in begun:
            self._tell_begun(connection, log)

    def _tell_begun(self, connection: Connection, log: NodeLog) -> None:
        # [LOG] That a log was begun anew is told, in the record and to the operator: what was in it before is gone.
        _log.warning("a log was begun anew", publisher=log.publisher, generation=log.generation)
        detail = {"log": "begun anew", "generation": log.generation}
        append_audit(connection, self._now_ms(), EntryKind.ALARM, log.publisher, detail)

    async def take_own(self, witness: bytes, heads: Collection[bytes]) -> None:
        """Judge heads of our own log that a witness keeps: cosigned, or not ours any more."""
        for head in heads:
            try:
                await self._take_own_head(witness, head)
            except ProtocolError as exc:
                _log.warning("a head of our log does not hold", witness=witness, why=str(exc))
                self._metrics.dropped.labels("log-head-broken").inc()
            except STORE_ERRORS as exc:
                # It comes again with the next heartbeat of its witness.
                _log.error("a head of our log could not be judged", witness=witness, why=str(exc))

    async def _take_own_head(self, witness: bytes, head: bytes) -> None:
        index, own = self._network.index, self._store.publisher
        log = log_of_head(index, head)
        if log.publisher != own:
            raise DecodeError(f"the head is of the log of 0x{log.publisher.hex()}")
        entry = index.publisher(witness)
        keys = [witness_key(index, witness)] if entry is not None and entry.log else []
        # [LOG] A cosignature that does not verify counts for nothing, and neither does the head that carries it.
        signed = verify_checkpoint(head, [log_key(index, own, log.generation)], keys)

        def judge(connection: Connection) -> str:
            generation = read_generation(connection)
            if log.generation == generation and has_head(connection, signed.checkpoint):
                for line in signed.cosigned.values():
                    add_cosignature(connection, decode_note(head).text, line)
                return ""
            # Heads of a generation that we have left behind are still kept by who has not seen the next one.
            if log.generation < generation:
                return ""
            return begin_anew(connection, signed.checkpoint, log.generation, self._now_ms())

        why = await self._store.writer.submit(judge)
        if why:
            self._ledger.doubted(why)

    async def ask_own(self, peer_id: str) -> None:
        """Ask a peer which head of our log it keeps, and judge it; raises MeshError or DecodeError."""
        response = await self._supervisor.ask(peer_id, encode_request(WitnessedRequest(self._store.publisher)))
        witness = self._network.index.publisher_of_peer(peer_id)
        if witness is not None:
            await self.take_own(witness, decode_items(response, MAX_LOG_ITEMS).items)

    async def _run_questions(self) -> None:
        while True:
            await self._loose.wait()
            self._loose = trio.Event()
            began = trio.current_time()
            # Several at once: a log that keeps us waiting must not keep the others from being asked.
            async with trio.open_nursery() as nursery:
                for publisher in self._to_ask():
                    nursery.start_soon(self._ask, publisher)
                nursery.start_soon(trio.sleep, QUESTION_SECONDS)
            await self._note_asked(trio.current_time() - began)
            if any(view.loose for view in self.views.values()):
                self._loose.set()

    def _to_ask(self) -> list[bytes]:
        """Logs with loose heads whose nodes are connected."""
        loose = [publisher for publisher, view in self.views.items() if view.loose]
        entries = [(publisher, self._network.index.publisher(publisher)) for publisher in loose]
        return [who for who, entry in entries if entry is not None and entry.peer_id in self._supervisor.peers]

    async def _ask(self, publisher: bytes) -> None:
        entry, view = self._network.index.publisher(publisher), self.views.get(publisher)
        old = None if view is None else next_question(view)
        if entry is None or old is None:
            return
        try:
            async with self._questions:
                response = await self._supervisor.ask(entry.peer_id, encode_request(GrowthRequest(old)))
            for item in decode_items(response, MAX_LOG_ITEMS).items:
                await self.hear(publisher, decode_growth(item), ())
        except (MeshError, ProtocolError) as exc:
            _log.info("a log did not show its growth", publisher=publisher, why=str(exc))
        except Exception:  # noqa: BLE001 - what others answer must not end the relay
            _log.exception("an answer about a log could not be taken", publisher=publisher)

    async def _note_asked(self, seconds: float) -> None:
        """Count what is loose still after questions that took so long; tell of who has left it so for too long."""
        loose = {(publisher, who) for publisher, view in self.views.items() for who in view.loose}
        asked = set(self._to_ask())
        self._asked_in_vain = {
            pair: self._asked_in_vain.get(pair, 0.0) + (seconds if pair[0] in asked else 0.0) for pair in loose
        }
        # [LOG] A log that for UNPROVEN_SECONDS shows no path between its own heads is told of: that is no proof.
        late = {publisher for (publisher, _), waited in self._asked_in_vain.items() if waited >= UNPROVEN_SECONDS}
        new = late - self.unproven
        self.unproven = {publisher for publisher in self.unproven | late if any(p == publisher for p, _ in loose)}
        for publisher in sorted(new):
            _log.error("a log shows no path between its heads", publisher=publisher)
            try:
                await self._store.writer.submit(partial(self._tell_unproven, publisher=publisher))
            except STORE_ERRORS as exc:
                _log.error("the alarm could not be written", publisher=publisher, why=str(exc))

    def _tell_unproven(self, connection: Connection, publisher: bytes) -> None:
        append_audit(connection, self._now_ms(), EntryKind.ALARM, publisher, {"log": "unproven"})

    def _cosigned(self) -> list[bytes]:
        own = self._network.index.publisher(self._store.publisher)
        if own is None or not own.log:
            return []
        cosigner = Cosigner(self._secret, witness_key(self._network.index, self._store.publisher).name)
        now_s = max(0, self._now_ms() // 1000)
        heads = []
        for publisher in choose_shown(self.views, self._turn, MAX_COSIGNED):
            kept = self.views[publisher].kept
            if kept is None:
                continue
            note = decode_note(kept.note)
            # [LOG] Its heads are shown on with its own signature alone, until it has shown the path.
            cosigned = () if publisher in self.unproven else (cosigner.cosign(note.text, now_s),)
            heads.append(encode_note(Note(note.text, (*note.signatures, *cosigned))))
        return heads
