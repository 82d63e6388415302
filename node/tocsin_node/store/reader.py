"""Read-only views of the database for the CLI, the feed and auditors: short reads, pages by key."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tocsin_protocol.admission import Reason
from tocsin_protocol.audit import AuditEntry
from tocsin_protocol.body import decode_body
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.correlation import Tie
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.envelope import Envelope, decode_envelope
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.log.witness import encode_growth
from tocsin_protocol.model import Signal
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_encoding import decode_roster, encode_signed_roster
from tocsin_protocol.signing import Domain

from .actions import MAX_EVENT_BYTES, Arm, find_action, read_arms
from .audit import read_audit
from .database import DATABASE_NAME, StoreError, file_id, open_reader
from .decision_detail import Detail, decode_detail
from .drills import read_records
from .feeds import FeedState, read_feeds, read_range
from .risk_rows import read_risk_reports
from .rosters import read_equivocators, read_proofs, read_rosters
from .shown_heads import read_growth
from .witnessing import read_kept_head

MAX_PAGE = 1000
MIN_PREFIX_CHARS = 4
ID_CHARS = 64


@dataclass(frozen=True, slots=True)
class SignalRow:
    """A stored signal; `signal` is None where its body does not parse. `id` is its place in order of arrival."""

    id: int
    envelope: Envelope
    signal: Signal | None
    received_ms: int
    path: str
    standing: Reason
    incident: bytes | None


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """A thread of signals with what it has come to; times in UTC ms of our own clock."""

    id: bytes
    family: str
    hint: str
    first_ms: int
    last_ms: int
    signals: int
    publishers: tuple[bytes, ...]
    sentence: str
    acts: bool


@dataclass(frozen=True, slots=True)
class TieRow:
    """Another incident that one is tied to; `is_reverse`: it is the other that joined this one, or follows it."""

    tie: Tie
    is_reverse: bool
    other: bytes


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One recorded decision, with everything it stood on."""

    id: int
    incident: bytes
    at_ms: int
    acts: int
    detail: Detail

    @property
    def sentence(self) -> str:
        """What was decided, in words."""
        return self.detail.sentence


@dataclass(frozen=True, slots=True)
class ActionEvent:
    """One step in an action's life."""

    at_ms: int
    event: Event
    reason: str


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An action with its life so far."""

    action: Action
    events: tuple[ActionEvent, ...]

    @property
    def since_ms(self) -> int:
        """Since when it is in its state, or since its last step there."""
        return self.events[-1].at_ms if self.events else self.action.created_ms


class Reader:
    """One read-only connection. Use it from one thread at a time; `close` it, or use it in a `with`."""

    def __init__(self, data_dir: Path) -> None:
        """Open; raises StoreError when there is no database or it is of another schema."""
        self._path = data_dir / DATABASE_NAME
        # before it is opened: a file that is put there in between is not taken for this one
        self._file = file_id(self._path)
        self._connection = open_reader(data_dir)
        self.publisher, self.network_id = self._connection.execute("SELECT publisher, network FROM node").fetchone()
        self._domain = Domain(self.network_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def is_current(self) -> bool:
        """Whether what is read is the file that is there now: another is put in its place when a backup is restored."""
        return file_id(self._path) == self._file

    def epoch(self) -> int:
        """The epoch in force; raises StoreError when the node has no roster yet."""
        epoch: int | None = self._connection.execute("SELECT MAX(epoch) FROM rosters").fetchone()[0]
        if epoch is None:
            raise StoreError("the database holds no roster yet; start the node once with `tocsin run`")
        return epoch

    def roster(self) -> RosterIndex:
        """The roster in force; raises StoreError when the node has none yet."""
        return RosterIndex(decode_roster(read_rosters(self._connection, self.epoch(), 1)[0].body))

    def feeds(self) -> list[FeedState]:
        """Heads of all feeds."""
        return read_feeds(self._connection)

    def feed_range(
        self, publisher: bytes, lane: int, first: int, last: int, *, most: int, max_bytes: int
    ) -> list[bytes]:
        """Encoded envelopes of a feed in rising sequence, bounded in number and size."""
        return read_range(self._connection, publisher, lane, first, last, most=most, max_bytes=max_bytes)

    def rosters(self, first_epoch: int, most: int) -> list[bytes]:
        """Encoded signed rosters from an epoch on."""
        return [encode_signed_roster(signed) for signed in read_rosters(self._connection, first_epoch, most)]

    def proofs(self, skip: int, most: int) -> list[bytes]:
        """Proofs of equivocation in the order they came."""
        return read_proofs(self._connection, skip, most)

    def equivocators(self) -> frozenset[bytes]:
        """Publishers proven to have told two histories."""
        return read_equivocators(self._connection)

    def log_growth(self, old: int) -> list[bytes]:
        """How our own log has grown since, encoded, up to the head shown last; nothing where it shows none so large."""
        growth = read_growth(self._connection, old)
        return [] if growth is None else [encode_growth(growth)]

    def witnessed(self, publisher: bytes) -> list[bytes]:
        """The head that we keep of a publisher's log."""
        head = read_kept_head(self._connection, publisher)
        return [] if head is None else [head]

    def arms(self) -> dict[str, Arm]:
        """Arm states of hooks ever armed."""
        return read_arms(self._connection)

    def signals(
        self, *, before: int | None = None, after: int | None = None, incident: bytes | None = None, limit: int = 50
    ) -> list[SignalRow]:
        """Signals by arrival: newest first below `before`, or oldest first above `after`."""
        order, bound, edge = ("ASC", ">", after) if after is not None else ("DESC", "<", before)
        where, values = ["1"], []
        if edge is not None:
            where.append(f"id {bound} ?")
            values.append(edge)
        if incident is not None:
            where.append("incident = ?")
            values.append(incident)  # type: ignore[arg-type]
        rows = self._connection.execute(
            "SELECT id, encoded, received_ms, path, standing, incident FROM signals"  # noqa: S608 - fixed parts
            f" WHERE {' AND '.join(where)} ORDER BY id {order} LIMIT ?",
            (*values, _page(limit)),
        )
        return [self._signal_row(row) for row in rows]

    def signal(self, digest: bytes) -> SignalRow | None:
        """One signal by digest."""
        row = self._connection.execute(
            "SELECT id, encoded, received_ms, path, standing, incident FROM signals WHERE digest = ?", (digest,)
        ).fetchone()
        return self._signal_row(row) if row else None

    def signals_of(self, ids: Sequence[int]) -> list[SignalRow]:
        """The signals at these places, in their order; at most MAX_PAGE."""
        found = {row[0]: self._signal_row(row) for row in self._encoded_of(ids)}
        return [found[number] for number in ids if number in found]

    def _encoded_of(self, ids: Sequence[int]) -> list[tuple[int, bytes, int, str, str, bytes | None]]:
        marks = ", ".join("?" * len(ids[:MAX_PAGE]))
        return self._connection.execute(
            "SELECT id, encoded, received_ms, path, standing, incident FROM signals"  # noqa: S608 - marks only
            f" WHERE id IN ({marks})",
            tuple(ids[:MAX_PAGE]),
        ).fetchall()

    def count_rows(self, ids: Sequence[int]) -> int:
        """How many of these places have a signal, read and not looked at: what the database alone takes."""
        return len(self._encoded_of(ids))

    def incidents(self, *, before: tuple[int, bytes] | None = None, limit: int = 50) -> list[IncidentRow]:
        """Incidents, latest begun first; `before` is (first_ms, id) of the last one seen."""
        rows = self._connection.execute(
            "SELECT id, family, hint, first_ms, last_ms FROM incidents WHERE (first_ms, id) < (?, ?)"
            " ORDER BY first_ms DESC, id DESC LIMIT ?",
            (*(before or (2**62, b"")), _page(limit)),
        ).fetchall()
        return [self._incident_row(row) for row in rows]

    def incident(self, id_prefix: str) -> IncidentRow:
        """The one incident whose hex id begins so; raises StoreError when none or several do."""
        columns = "SELECT id, family, hint, first_ms, last_ms FROM incidents"
        row: tuple[bytes, str, str, int, int] = self._only("incident", columns, id_prefix)
        return self._incident_row(row)

    def _only(self, what: str, columns: str, id_prefix: str) -> Any:
        prefix = id_prefix.lower().removeprefix("0x")
        if len(prefix) < MIN_PREFIX_CHARS:
            raise StoreError(f"{what} {id_prefix!r}: give at least {MIN_PREFIX_CHARS} hex digits of its id")
        rows = []
        with suppress(ValueError):  # not hex digits: no id begins so
            least, most = (bytes.fromhex(prefix[:ID_CHARS].ljust(ID_CHARS, digit)) for digit in "0f")
            rows = self._connection.execute(f"{columns} WHERE id BETWEEN ? AND ? LIMIT 2", (least, most)).fetchall()
        if len(rows) != 1:
            found = f"no {what} has" if not rows else f"several {what}s have"
            raise StoreError(f"{what} {id_prefix!r}: {found} an id that begins so; see `tocsin {what}s`")
        return rows[0]

    def incident_subjects(self, incident: bytes) -> list[str]:
        """The subjects that tie an incident together."""
        rows = self._connection.execute(
            "SELECT subject FROM incident_subjects WHERE incident = ? LIMIT ?", (incident, MAX_PAGE)
        )
        return sorted(subject for (subject,) in rows)

    def incident_ties(self, incident: bytes) -> list[TieRow]:
        """What an incident is tied to, from either side."""
        rows = self._connection.execute(
            "SELECT tie, 0, other FROM incident_ties WHERE incident = ?1"
            " UNION ALL SELECT tie, 1, incident FROM incident_ties WHERE other = ?1 LIMIT ?2",
            (incident, MAX_PAGE),
        )
        return [TieRow(Tie(tie), bool(is_reverse), other) for tie, is_reverse, other in rows]

    def decisions(
        self, incident: bytes | None = None, *, before: int | None = None, limit: int = 50
    ) -> list[DecisionRow]:
        """Decisions, of all incidents or of one, newest first below `before`."""
        about = "" if incident is None else "incident = ? AND "
        rows = self._connection.execute(
            "SELECT id, incident, at_ms, acts, detail FROM decisions"  # noqa: S608 - fixed parts
            f" WHERE {about}id < ? ORDER BY id DESC LIMIT ?",
            (*(() if incident is None else (incident,)), 2**62 if before is None else before, _page(limit)),
        )
        return [_decision_row(row) for row in rows]

    def actions(
        self,
        *,
        incident: bytes | None = None,
        having: Sequence[Event] = (),
        before: tuple[int, bytes] | None = None,
        limit: int = 50,
    ) -> list[ActionRow]:
        """Actions, latest first, or those that any event of `having` happened to; `before` is (created_ms, id)."""
        marks = ", ".join("?" * len(having))
        happened = f"EXISTS (SELECT 1 FROM action_events WHERE action = a.id AND event IN ({marks}))"  # noqa: S608
        rows = self._connection.execute(
            "SELECT id FROM actions a WHERE (created_ms, id) < (?1, ?2) AND (?3 IS NULL OR incident = ?3)"  # noqa: S608
            f" AND {happened if having else '1'} ORDER BY created_ms DESC, id DESC LIMIT ?",
            (*(before or (2**62, b"")), incident, *(event.value for event in having), _page(limit)),
        ).fetchall()
        return [self._action_row(action_id) for (action_id,) in rows]

    def find_action(self, id_prefix: str) -> ActionRow:
        """The one action whose hex id begins so; raises StoreError when none or several do."""
        (action_id,) = self._only("action", "SELECT id FROM actions", id_prefix)
        return self._action_row(action_id)

    def action(self, action_id: bytes) -> ActionRow | None:
        """One action by id."""
        return self._action_row(action_id) if find_action(self._connection, action_id) else None

    def audit(self, *, after: int = 0, limit: int = 100) -> list[AuditEntry]:
        """Audit entries above a sequence, oldest first."""
        return read_audit(self._connection, after, _page(limit))

    def drill_records(self, limit: int) -> list[tuple[bytes, bytes]]:
        """Signed records of drills (body, signature), newest first."""
        return list(read_records(self._connection, limit))

    def risk_reports(self, limit: int) -> list[tuple[str, str, bytes]]:
        """Our latest report about each subject for each oracle: oracle, subject, the signed report's bytes."""
        return read_risk_reports(self._connection, limit)

    def audit_head(self) -> int:
        """The sequence of the newest audit entry; 0 without one."""
        head: int = self._connection.execute("SELECT COALESCE(MAX(sequence), 0) FROM audit").fetchone()[0]
        return head

    def last_signal(self) -> int:
        """The place of the newest signal; 0 without one."""
        place: int = self._connection.execute("SELECT COALESCE(MAX(id), 0) FROM signals").fetchone()[0]
        return place

    def received_after(self, place: int) -> int | None:
        """When the first signal above a place was received (UTC ms); None where there is none."""
        query = "SELECT received_ms FROM signals WHERE id > ? ORDER BY id LIMIT 1"
        row = self._connection.execute(query, (place,)).fetchone()
        return None if row is None else int(row[0])

    def data_version(self) -> int:
        """A number that changes when another connection has committed."""
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version

    def _signal_row(self, row: tuple[int, bytes, int, str, str, bytes | None]) -> SignalRow:
        number, encoded, received_ms, path, standing, incident = row
        envelope = decode_envelope(self._domain, encoded)
        try:
            signal = decode_body(envelope.body)
        except DecodeError:
            signal = None
        return SignalRow(number, envelope, signal, received_ms, path, Reason(standing), incident)

    def _incident_row(self, row: tuple[bytes, str, str, int, int]) -> IncidentRow:
        incident = row[0]
        counts = self._connection.execute(
            "SELECT publisher, COUNT(*) FROM signals WHERE incident = ? GROUP BY publisher", (incident,)
        ).fetchall()
        latest = self.decisions(incident, limit=1)
        acted = self._connection.execute("SELECT 1 FROM actions WHERE incident = ? LIMIT 1", (incident,)).fetchone()
        return IncidentRow(
            *row,
            signals=sum(count for _, count in counts),
            publishers=tuple(publisher for publisher, _ in counts),
            sentence=latest[0].sentence if latest else "",
            acts=acted is not None,
        )

    def _action_row(self, action_id: bytes) -> ActionRow:
        action = find_action(self._connection, action_id)
        assert action is not None  # noqa: S101 - its row was just read and is never deleted
        rows = self._connection.execute(
            "SELECT at_ms, event, detail FROM action_events WHERE action = ? ORDER BY id", (action_id,)
        )
        events = []
        for at_ms, event, detail in rows:
            fields = decode_canonical(detail, max_bytes=MAX_EVENT_BYTES)
            events.append(ActionEvent(at_ms, Event(event), str(fields.get("reason", ""))))
        return ActionRow(action, tuple(events))


def _page(limit: int) -> int:
    return max(1, min(limit, MAX_PAGE))


def _decision_row(row: tuple[int, bytes, int, int, bytes]) -> DecisionRow:
    number, incident, at_ms, acts, detail = row
    return DecisionRow(number, incident, at_ms, acts, decode_detail(detail))
