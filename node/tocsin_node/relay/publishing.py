"""The way out: own signals get their place in the feed, durable before anything is sent.

A node does not know whether its database is the newest copy, so it seals nothing until peers have shown it its own
feed (`RESUMING`), and never again in this run once somebody else is seen to seal with its key (`SILENT`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import structlog
import trio
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.model import Signal
from tocsin_protocol.proof import accused_by
from tocsin_protocol.roster import tolerated_faults
from tocsin_protocol.taxonomy import LANES

from tocsin_node.errors import ControlError
from tocsin_node.meshlink import Publish, Published
from tocsin_node.store.arrivals import Filed, Path
from tocsin_node.store.audit import append_audit
from tocsin_node.store.copies import Held, go_on, why_feed_waits
from tocsin_node.store.decisions import Decided
from tocsin_node.store.drafts import file_draft, take_drafts
from tocsin_node.store.outbox import OWN_KEY_EXCLUDED, OwnKeyExcluded, clear_outbox, publish_signals, read_outbox
from tocsin_node.store.rosters import read_equivocators
from tocsin_node.store.rules import Rules
from tocsin_node.store.writer import Store

from .intake import Intake
from .supervisor import MeshSupervisor

# After enough peers have shown us our feed, this long for the rest: any of them may know a later signal of ours.
RESUME_GRACE_SECONDS = 3.0
MAX_SIGNALS_PER_CALL = 1024
MAX_WAITING_RECEIPTS = 16_384
# Of each lane, what the mesh may hold at once; both lanes together are less than its own bound.
MAX_OFFERED_PER_LANE = 4096
# What the mesh had no room for is offered again.
OUTBOX_SECONDS = 5.0

_log = structlog.get_logger("tocsin.publishing")


class Speech(StrEnum):
    """Whether this node may seal signals."""

    RESUMING = "resuming"
    OPEN = "open"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Sealing:
    """What became of signals handed in: sealed envelopes, or `drafts` that wait for their place in the feed."""

    envelopes: tuple[Envelope, ...]
    drafts: int


class Publishing:
    """Seals, stores and sends own signals."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        supervisor: MeshSupervisor,
        rules: Callable[[], Rules],
        secret: bytes,
        publisher: bytes,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._intake = intake
        self._supervisor = supervisor
        self._rules = rules
        self._secret = secret
        self._publisher = publisher
        self._now_ms = now_ms
        self._settled: set[str] = set()
        self._changed = trio.Event()
        # Per lane the first sequence sealed in this run: another's signal from there on is a second history.
        self._first_sealed: dict[int, int] = {}
        # What the running mesh was given and has not confirmed.
        self._offered: dict[int, set[int]] = {lane: set() for lane in LANES}
        self._offer_now = trio.Event()
        # An earlier run may have left some.
        self._has_drafts = True
        self._receipts, self._waiting_receipts = trio.open_memory_channel[Published](MAX_WAITING_RECEIPTS)
        self.speech = Speech.RESUMING
        self.why = "waiting for peers to show us our own feed"
        intake.listeners.append(self._watch_own_feed)

    async def publish(self, signals: Sequence[Signal]) -> Sealing:
        """Make signals durable and send them; returns once they are on disk.

        While sealing is not possible they are kept as drafts, which count for our own decisions already.
        Raises ControlError (too many at once, not in the roster).
        """
        if not 1 <= len(signals) <= MAX_SIGNALS_PER_CALL:
            raise ControlError("too-many", f"{len(signals)} signals where 1 to {MAX_SIGNALS_PER_CALL} go at once")
        rules = self._rules()
        if not self._may_seal():
            return await self._keep_drafts(rules, signals)
        try:
            return Sealing(tuple(await self._seal(rules, signals, with_drafts=False)), 0)
        except OwnKeyExcluded as exc:
            self._fall_silent(str(exc))
            return await self._keep_drafts(rules, signals)

    async def allow(self, why: str) -> None:
        """The operator says that this database is the newest copy: publishing may go on."""
        if await self._is_proven():
            raise ControlError("equivocated", OWN_KEY_EXCLUDED)
        if self._others and (waits := await self._store.writer.submit(why_feed_waits)):
            raise ControlError("backup", waits)
        await self._open(why)

    def settle(self, peer_id: str) -> None:
        """A peer has shown us all it holds of our own feed."""
        self._settled.add(peer_id)
        self._changed.set()

    async def run_resumption(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Wait until peers have shown us our own feed, then open; an only publisher has nobody to ask."""
        task_status.started()
        if await self._is_proven():
            self._fall_silent(OWN_KEY_EXCLUDED)
        index, others = self._rules().roster, self._others
        # So many may lie or be behind; below four members none, and one peer's word has to do.
        enough = min(others, tolerated_faults(len(index.roster.members)) + 1)
        while self.speech is Speech.RESUMING and len(self._settled) < enough:
            await self._wait_changed()
        with trio.move_on_after(RESUME_GRACE_SECONDS):
            while self.speech is Speech.RESUMING and len(self._settled) < others:
                await self._wait_changed()
        if self.speech is Speech.RESUMING:
            await self._store.writer.submit(lambda connection: go_on(connection, Held.FEED))
            await self._open(f"{len(self._settled)} of {others} peers have shown us our feed")

    @property
    def _others(self) -> int:
        """How many publishers there are beside us."""
        return len(self._rules().roster.publishers.keys() - {self._publisher})

    async def _wait_changed(self) -> None:
        self._changed = trio.Event()
        await self._changed.wait()

    def confirm(self, receipt: Published) -> None:
        """The mesh has handed an own signal to gossip; what it was not given it cannot have handed on."""
        if receipt.sequence not in self._offered.get(receipt.lane, ()):
            return
        try:
            self._receipts.send_nowait(receipt)
        except trio.WouldBlock:
            _log.warning("receipt dropped; the signal is sent once more when the mesh restarts")

    def offer_again(self) -> None:
        """A new mesh has started: it was given nothing yet."""
        for waiting in self._offered.values():
            waiting.clear()
        self._offer_now.set()

    async def run_outbox(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Offer the mesh, page by page, what it has not taken over; seal drafts once that is possible."""
        task_status.started()
        noted = None
        while True:
            if noted != (self.speech, self.why):
                noted = (self.speech, self.why)
                await self._audit(*noted)
            with trio.move_on_after(OUTBOX_SECONDS):
                await self._offer_now.wait()
            self._offer_now = trio.Event()
            await self._seal_drafts()
            if self.speech is Speech.SILENT or any(self._offered.values()):
                continue
            page = await self._store.writer.submit(partial(read_outbox, publisher=self._publisher))
            self._send((lane, sequence, encoded) for lane, sequence, encoded in page)

    async def run_receipts(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take handed-over signals out of the outbox."""
        task_status.started()
        async for receipt in self._waiting_receipts:
            sent = [(receipt.lane, receipt.sequence)]
            while len(sent) < MAX_SIGNALS_PER_CALL:
                try:
                    receipt = self._waiting_receipts.receive_nowait()
                except trio.WouldBlock:
                    break
                sent.append((receipt.lane, receipt.sequence))
            await self._store.writer.submit(partial(clear_outbox, sent=sent))
            for lane, sequence in sent:
                self._offered[lane].discard(sequence)
            if not any(self._offered.values()):
                self._offer_now.set()

    def _send(self, envelopes: Iterable[tuple[int, int, bytes]]) -> None:
        """Hand envelopes to the mesh; what it has no room for stays in the outbox."""
        for lane, sequence, encoded in envelopes:
            waiting = self._offered[lane]
            if sequence in waiting or len(waiting) >= MAX_OFFERED_PER_LANE:
                continue
            if self._supervisor.send(Publish(lane, sequence, encoded)):
                waiting.add(sequence)

    async def _seal(self, rules: Rules, signals: Sequence[Signal], *, with_drafts: bool) -> list[Envelope]:
        now_ms, since = self._now_ms(), trio.current_time()
        envelopes, filed = await self._store.writer.submit(
            lambda connection: publish_signals(
                connection,
                rules,
                self._secret,
                self._publisher,
                [*(take_drafts(connection) if with_drafts else ()), *signals],
                now_ms,
            )
        )
        for envelope in envelopes:
            self._first_sealed.setdefault(envelope.lane, envelope.sequence)
        self._send((e.lane, e.sequence, e.encoded) for e in envelopes)
        self._intake.announce(filed, Path.OWN, since)
        return envelopes

    async def _keep_drafts(self, rules: Rules, signals: Sequence[Signal]) -> Sealing:
        now_ms, since = self._now_ms(), trio.current_time()
        decided: list[Decided | None] = await self._store.writer.submit(
            lambda connection: [file_draft(connection, rules, signal, now_ms) for signal in signals]
        )
        self._has_drafts = True
        claiming = [d.incident for d, signal in zip(decided, signals, strict=True) if d and signal.evidence]
        filed = Filed(decided=[d for d in decided if d], claiming=claiming)
        self._intake.announce(filed, Path.OWN, since)
        return Sealing((), len(signals))

    def proof_found(self, proof: bytes) -> None:
        """A proof of equivocation came to light; one against ourselves ends our publishing."""
        if accused_by(self._rules().roster, proof) == self._publisher:
            self._fall_silent(OWN_KEY_EXCLUDED)

    async def _is_proven(self) -> bool:
        return self._publisher in await self._store.writer.submit(read_equivocators)

    def _may_seal(self) -> bool:
        return self.speech is Speech.OPEN and self._rules().roster.publisher(self._publisher) is not None

    async def _seal_drafts(self) -> None:
        if not self._has_drafts or not self._may_seal():
            return
        # One that is kept while these are sealed counts as new.
        self._has_drafts = False
        is_sealed = False
        try:
            await self._seal(self._rules(), (), with_drafts=True)
            is_sealed = True
        except OwnKeyExcluded as exc:
            self._fall_silent(str(exc))
        finally:
            self._has_drafts |= not is_sealed

    async def _audit(self, speech: Speech, why: str) -> None:
        detail = {"publishing": speech.value, "why": why}
        now_ms = self._now_ms()
        await self._store.writer.submit(lambda c: append_audit(c, now_ms, EntryKind.NODE, self._publisher, detail))

    def _fall_silent(self, why: str) -> None:
        self.speech, self.why = Speech.SILENT, why
        self._changed.set()
        self._offer_now.set()
        _log.error("publishing stopped", why=why)

    async def _open(self, why: str) -> None:
        self.speech, self.why = Speech.OPEN, why
        self._changed.set()
        self._offer_now.set()
        _log.info("publishing is open", why=why)
        await self._seal_drafts()

    def _watch_own_feed(self, filed: Filed, path: Path) -> None:
        """Somebody else's signal under our key, after we have sealed: another node holds it, or an older we."""
        for proof in filed.proofs:
            self.proof_found(proof)
        if path is Path.OWN or self.speech is not Speech.OPEN:
            return
        own = (o.envelope for o in filed.stored if o.envelope.publisher == self._publisher)
        foreign = [e for e in own if e.sequence >= self._first_sealed.get(e.lane, MAX_UINT)]
        if foreign:
            at = f"lane {foreign[0].lane}, sequence {foreign[0].sequence}"
            self._fall_silent(
                f"another node seals with our key ({at}): stop it, or rotate the key; then `tocsin resume`"
            )
