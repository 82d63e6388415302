"""The way in: bytes from any path are decoded, verified, opened and stored, and what they set off is passed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress

import structlog
import trio
from tocsin_protocol.admission import Reason, malformation, may_publish
from tocsin_protocol.body import decode_body
from tocsin_protocol.envelope import Envelope, decode_envelope
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.freshness import check_actionable
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_model import Publisher
from tocsin_protocol.taxonomy import CRITICAL, LANES, STANDARD

from tocsin_node.meshlink import Admitted
from tocsin_node.store.arrivals import Filed, Opened, Path, file_arrivals
from tocsin_node.store.rules import Rules
from tocsin_node.store.writer import Store

from .metrics import Metrics
from .signature_process import Claim, check_claims
from .signatures import SignatureChecker

# A batch at least this large is verified in a thread, so that the relay's other tasks go on meanwhile.
THREAD_BATCH = 32
MAX_BATCH = 1024
# Of an encoded envelope: heads of the array and of the publisher (3), version (1), publisher (20).
LANE_OFFSET = 24
MAX_WAITING_FRAMES = 512
# While one batch commits, the next is verified on the other core.
INTAKE_TASKS = 2

_log = structlog.get_logger("tocsin.intake")

FiledListener = Callable[[Filed, Path], None]
CheckSignatures = Callable[[Sequence[Claim]], list[bool]]


@dataclass(frozen=True, slots=True)
class Verified:
    """A batch after verification: what may be stored, and why the rest may not."""

    opened: list[Opened]
    refused: Counter[Reason]


def verify_batch(
    roster: RosterIndex, items: Sequence[bytes], now_ms: int, check: CheckSignatures = check_claims
) -> Verified:
    """Check everything that needs no database; order is kept."""
    refused: Counter[Reason] = Counter()
    placed: list[tuple[Envelope, Publisher]] = []
    for item in items:
        try:
            envelope = decode_envelope(roster.domain, item)
        except DecodeError as exc:
            refused[malformation(exc)] += 1
            continue
        publisher = roster.publisher(envelope.publisher)
        reason = _judge_header(envelope, publisher)
        if publisher is None or reason is not Reason.ADMITTED:
            refused[reason] += 1
        else:
            placed.append((envelope, publisher))
    answers = check([(envelope.digest, envelope.signature, publisher.key) for envelope, publisher in placed])
    signed = list(compress(placed, answers))
    if len(signed) < len(placed):
        refused[Reason.BAD_SIGNATURE] += len(placed) - len(signed)
    return Verified([open_envelope(envelope, publisher, now_ms) for envelope, publisher in signed], refused)


def _judge_header(envelope: Envelope, publisher: Publisher | None) -> Reason:
    if publisher is None:
        return Reason.UNKNOWN_PUBLISHER
    if envelope.sequence > publisher.last_accepted(envelope.lane):
        return Reason.KEY_REVOKED
    return Reason.ADMITTED if may_publish(publisher, envelope.lane) else Reason.NOT_CAPABLE


def open_envelope(envelope: Envelope, publisher: Publisher, now_ms: int) -> Opened:
    """Open a verified envelope and say whether it may act; a fault in the body is the publisher's own."""
    try:
        signal = decode_body(envelope.body)
    except DecodeError:
        return Opened(envelope, None, Reason.BAD_BODY)
    if signal.lane != envelope.lane:
        return Opened(envelope, signal, Reason.WRONG_LANE)
    valid = publisher.valid_from_ms <= now_ms < publisher.valid_until_ms
    return Opened(envelope, signal, check_actionable(signal, now_ms) if valid else Reason.KEY_NOT_VALID)


def lane_hint(frame: Admitted) -> int:
    """The lane a frame says it is in, unchecked: it decides who waits, and nothing else."""
    first = (*frame.envelopes, *frame.doubtful, b"")[0]
    lane = first[LANE_OFFSET] if len(first) > LANE_OFFSET else STANDARD
    return lane if lane in LANES else STANDARD


class Intake:
    """Admits envelopes; `listeners` hear of every batch once it is on disk."""

    def __init__(self, store: Store, rules: Callable[[], Rules], metrics: Metrics, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._rules = rules
        self._metrics = metrics
        self._now_ms = now_ms
        self._threads = trio.CapacityLimiter(INTAKE_TASKS)
        self._signatures = SignatureChecker()
        # A lane each: whatever floods the one, the other is heard.
        self._lanes = {lane: trio.open_memory_channel[tuple[Admitted, float]](MAX_WAITING_FRAMES) for lane in LANES}
        self.listeners: list[FiledListener] = []

    def offer(self, frame: Admitted) -> None:
        """Queue a frame from the mesh in its lane; when the queue is full, sync fetches it later."""
        send, _ = self._lanes[lane_hint(frame)]
        try:
            send.send_nowait((frame, trio.current_time()))
        except trio.WouldBlock:
            self._metrics.dropped.labels("intake-queue-full").inc()

    async def run_intake(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Admit what the mesh hands over; what waits goes together."""
        with self._signatures:
            await self._admit_lanes(task_status)

    async def _admit_lanes(self, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            for lane, (_, waiting) in self._lanes.items():
                for _ in range(1 if lane == CRITICAL else INTAKE_TASKS):
                    nursery.start_soon(self._admit_frames, waiting.clone())
            task_status.started()

    async def admit(self, items: Sequence[bytes], path: Path, since: float | None = None) -> tuple[Verified, Filed]:
        """Verify and store a batch that was in hand `since` (trio's clock; now, if not given); returns when it is on
        disk."""
        since = trio.current_time() if since is None else since
        rules, now_ms = self._rules(), self._now_ms()
        if len(items) >= THREAD_BATCH:
            verified = await trio.to_thread.run_sync(
                verify_batch, rules.roster, items, now_ms, self._signatures.check, limiter=self._threads
            )
        else:
            verified = verify_batch(rules.roster, items, now_ms)
        self._metrics.count_refused(verified.refused)
        filed = Filed()
        if verified.opened:
            filed = await self._store.writer.submit(
                lambda connection: file_arrivals(connection, rules, verified.opened, path, now_ms)
            )
            self.announce(filed, path, since)
        return verified, filed

    def announce(self, filed: Filed, path: Path, since: float | None = None) -> None:
        """Pass on and count what a transaction filed; `since` as for `admit`, None for what no signal set off."""
        # First of all: what acts is among the listeners.
        for listener in self.listeners:
            listener(filed, path)
        if filed.decided and since is not None:
            self._metrics.decision_seconds.labels(path.value).observe(trio.current_time() - since)
        self._metrics.stored.labels(path.value).inc(len(filed.stored))
        for standing, count in Counter(opened.standing for opened in filed.stored).items():
            self._metrics.standing.labels(standing.value).inc(count)
        self._metrics.count_refused(filed.refused)
        for decided in filed.decided:
            self._metrics.decisions.labels("yes" if decided.actions else "no").inc()
            _log.info("decided", incident=decided.incident, sentence=decided.sentence, actions=len(decided.actions))

    async def _admit_frames(self, waiting: trio.MemoryReceiveChannel[tuple[Admitted, float]]) -> None:
        async for frame, since in waiting:
            items = [*frame.envelopes, *frame.doubtful]
            while len(items) < MAX_BATCH:
                try:
                    frame, _ = waiting.receive_nowait()
                except trio.WouldBlock:
                    break
                items += [*frame.envelopes, *frame.doubtful]
            await self._admit_each(items, since)

    async def _admit_each(self, items: Sequence[bytes], since: float) -> None:
        """Admit a batch; where it holds something that we stumble over, the rest of it all the same."""
        try:
            await self.admit(items, Path.GOSSIP, since)
        except Exception:  # noqa: BLE001 - what strangers send must not end the relay; the log has the traceback
            _log.exception("batch could not be admitted", signals=len(items))
            self._metrics.dropped.labels("intake-fault").inc()
            if len(items) > 1:
                for item in items:
                    await self._admit_each([item], since)
