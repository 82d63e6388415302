"""What a client knows, and each thing that it can ask, as a flow of questions: the same for both clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TypeAlias

from tocsin_protocol.errors import DecodeError, ProtocolError
from tocsin_protocol.log.checkpoint import SignedHead
from tocsin_protocol.log.trust import TrustPolicy
from tocsin_protocol.roster_encoding import MAX_ROSTER_BYTES, decode_signed_roster

from .asking import PAGE_ROWS, Ask, Flow, T, Value, read_json
from .errors import BadAnswer, ClientError, NotVerified, Problem
from .log import check_logged, fetch_head
from .results import (
    Action,
    ActionPage,
    FeedSignal,
    Incident,
    IncidentPage,
    LiveEvent,
    Publisher,
    PublisherList,
    ReportList,
    RiskWord,
    ShownEvent,
    ShownHealth,
    ShownMembers,
    ShownReport,
    ShownRoster,
    ShownSignal,
    SignalPage,
)
from .state import StateFile
from .trust import Pin, PinnedRoster, ToldRoster, UnknownPublisher

MAX_EPOCHS = 1_000
MAX_ROSTER_ANSWER_BYTES = 4 * MAX_ROSTER_BYTES
# One who follows believes a key that was revoked no longer than this.
ROSTER_SECONDS = 300.0

Members: TypeAlias = PinnedRoster | ToldRoster
Refused: TypeAlias = Callable[[NotVerified], None] | None
# Rows, and the cursor of the page after.
Page: TypeAlias = tuple[list[T], str | None]


class Session:
    """One client's knowledge. `clock` is monotonic, in s; `now_ms` is the time, for reports that expire."""

    def __init__(
        self,
        pin: Pin | None,
        log: TrustPolicy | None,
        file: StateFile,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self.file = file
        self._pin = pin
        self._log = log
        self._clock = clock
        self._now_ms = now_ms
        self._members: Members | None = None
        self._asked_at = 0.0

    def signals(self, query: Mapping[str, Value], before: str | None, refused: Refused) -> Flow[Page[FeedSignal]]:
        """A page of signals, each checked; what is refused is told of, or raised."""
        shown = read_json((yield _page("/v1/signals", query, before)), SignalPage)
        rows = []
        for row in shown.rows:
            try:
                rows.append((yield from self._open(row)))
            except NotVerified as exc:
                if refused is None:
                    raise
                refused(exc)
        return rows, _following(before, shown.next)

    def signal(self, digest: str) -> Flow[FeedSignal]:
        """One signal, checked."""
        shown = read_json((yield Ask(f"/v1/signals/{digest}")), ShownSignal)
        if shown.digest != digest:
            raise NotVerified(f"signal {digest}: another one is shown, {shown.digest[:64]}")
        return (yield from self._open(shown))

    def incidents(self, query: Mapping[str, Value], before: str | None) -> Flow[Page[Incident]]:
        """A page of incidents."""
        shown = read_json((yield _page("/v1/incidents", query, before)), IncidentPage)
        return list(shown.rows), _following(before, shown.next)

    def incident(self, incident: str) -> Flow[Incident]:
        """One incident."""
        return read_json((yield Ask(f"/v1/incidents/{incident}")), Incident)

    def actions(self, query: Mapping[str, Value], before: str | None) -> Flow[Page[Action]]:
        """A page of actions."""
        shown = read_json((yield _page("/v1/actions", query, before)), ActionPage)
        return list(shown.rows), _following(before, shown.next)

    def publishers(self) -> Flow[list[Publisher]]:
        """All publishers."""
        return list(read_json((yield Ask("/v1/publishers")), PublisherList).publishers)

    def is_healthy(self) -> Flow[bool]:
        """Whether the node hears, speaks and writes: a stream of one that does not is as quiet as peace."""
        try:
            return read_json((yield Ask("/healthz")), ShownHealth).healthy
        except Problem as exc:
            if exc.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            return False

    def risk(self, query: Mapping[str, Value]) -> Flow[list[RiskWord]]:
        """The latest reports, each checked."""
        shown = read_json((yield Ask("/v1/risk", query)), ReportList)
        members = yield from self._roster()
        return [self._open_report(one, members, query.get("oracle")) for one in shown.reports]

    def head(self) -> Flow[SignedHead]:
        """The log's head, proven to go on from the one seen before, and remembered."""
        trust = self._log
        if trust is None:
            members = yield from self._roster()
            if isinstance(members, ToldRoster):
                raise ClientError("the log can be checked with a pinned genesis, or with a policy for the log")
            index = members.index
        seen = self.file.state.head
        head, note = yield from fetch_head(index if trust is None else trust, None if seen is None else seen.encode())
        self.file.state.head = note.decode()
        self.file.save()
        return head

    def check_logged(self, event: LiveEvent) -> Flow[SignedHead]:
        """The head that has the entry of a live signal under it; raises NotVerified or NotLoggedYet."""
        if event.signal is None:
            raise ClientError("only a signal can be looked for in the log")
        head = yield from self.head()
        yield from check_logged(head.checkpoint, event.sequence, event.at_ms, event.signal)
        return head

    def live(self, shown: ShownEvent, refused: Refused) -> Flow[LiveEvent | None]:
        """An event, its signal checked; None where that is refused and told of."""
        signal = None
        if shown.signal is not None:
            try:
                if shown.about != shown.signal.digest:
                    raise NotVerified(f"event {shown.sequence}: is about {shown.about[:64]} and shows another signal")
                signal = yield from self._open(shown.signal)
            except NotVerified as exc:
                if refused is None:
                    raise
                refused(exc)
                return None
        more = {name: told for name in ("decision", "detail") if (told := getattr(shown, name)) is not None}
        return LiveEvent(
            shown.sequence, shown.at_ms, shown.kind, shown.about, signal, shown.incident, shown.action, more or None
        )

    def _open(self, shown: ShownSignal) -> Flow[FeedSignal]:
        members = yield from self._roster()
        try:
            return members.open(shown)
        except UnknownPublisher:
            # he may stand in a roster that has just come
            members = yield from self._roster(is_due=True)
            return members.open(shown)

    def _roster(self, *, is_due: bool = False) -> Flow[Members]:
        """Whom to believe, asked for anew where it was long ago."""
        if not is_due and self._members is not None and self._clock() - self._asked_at < ROSTER_SECONDS:
            return self._members
        if self._pin is None:
            self._members = ToldRoster(read_json((yield Ask("/v1/roster")), ShownMembers))
        elif not isinstance(self._members, PinnedRoster) or not self._pin.rosters:
            self._members = yield from self._read_rosters(self._pin)
        self._asked_at = self._clock()
        return self._members

    def _read_rosters(self, pin: Pin) -> Flow[PinnedRoster]:
        known = self._members if isinstance(self._members, PinnedRoster) else PinnedRoster(pin.genesis)
        for signed in pin.rosters:
            known.take(signed)
        # what was given is all: a feed shows the rest to members and the operator alone
        while not pin.rosters:
            if known.next_epoch > MAX_EPOCHS:
                raise BadAnswer(f"more than {MAX_EPOCHS} rosters")
            try:
                data = yield Ask(f"/v1/rosters/{known.next_epoch}", most=MAX_ROSTER_ANSWER_BYTES)
            except Problem as exc:
                if exc.status == HTTPStatus.NOT_FOUND and known.next_epoch:
                    break
                if exc.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                    text = f"this feed shows rosters to members and the operator alone: give their files ({exc.detail})"
                    raise Problem(exc.status, text, exc.code) from exc
                raise
            try:
                known.take(decode_signed_roster(bytes.fromhex(read_json(data, ShownRoster).signed)))
            except (ValueError, DecodeError) as exc:
                raise NotVerified(f"the roster of epoch {known.next_epoch}: {exc}") from exc
            self._compare(known)
        self._compare(known)
        state = self.file.state
        # [CLIENT] A roster older than one seen before is refused: whoever was revoked since would be believed again.
        if known.next_epoch <= state.epoch:
            raise NotVerified(f"the roster is of epoch {known.next_epoch - 1}, and was of epoch {state.epoch} before")
        state.epoch, state.roster = known.next_epoch - 1, known.hash
        return known

    def _compare(self, known: PinnedRoster) -> None:
        state = self.file.state
        if known.next_epoch - 1 == state.epoch and known.hash != state.roster:
            raise NotVerified(f"the roster of epoch {state.epoch} is {known.hash}, and was {state.roster} before")

    def _open_report(self, shown: ShownReport, members: Members, wanted: Value | None) -> RiskWord:
        from tocsin_protocol.risk.report import MAX_AHEAD_MS, OracleDomain, open_report, subject_hash

        # [CLIENT] A risk report is believed where a publisher of the roster signed it for its oracle and subject.
        if wanted is not None and shown.oracle != wanted:
            raise NotVerified(f"a risk report for the oracle {shown.oracle[:120]}, where {wanted} was asked")
        try:
            signed = open_report(OracleDomain(shown.oracle), bytes.fromhex(shown.signed.removeprefix("0x")))
        except (ValueError, ProtocolError) as exc:
            raise NotVerified(f"a risk report: {exc}") from exc
        if shown.subject_id is not None and subject_hash(shown.subject_id) != signed.report.subject:
            raise NotVerified(f"a risk report shown as of {shown.subject_id[:120]} is about another subject")
        member = members.member_name(signed.signer)
        counts = signed.report.observed - MAX_AHEAD_MS <= self._now_ms() < signed.report.expires
        return RiskWord(shown.oracle, shown.subject_id, signed, member, counts)


def _page(path: str, query: Mapping[str, Value], before: str | None) -> Ask:
    at = {} if before is None else {"before": before}
    return Ask(path, {"limit": PAGE_ROWS, **query, **at})


def _following(before: str | None, following: str | None) -> str | None:
    if following is not None and following == before:
        raise BadAnswer("a page whose next is itself")
    return following
