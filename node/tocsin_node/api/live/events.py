"""An entry of the record as an event: once for each scope that may see it, and nothing for the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from tocsin_protocol.audit import AuditEntry, EntryKind
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.model import Signal
from tocsin_protocol.taxonomy import Category, Severity

from tocsin_node.views import decision_view

from ..access import MAX_TLP, Access, Scope
from ..context import Source
from ..queries import find_incident
from ..sight import action_sight, incident_sight, signal_sight

MAX_DETAIL_BYTES = 1024 * 1024
# Of an incident's decisions, the one an entry speaks of is among the newest.
RECENT_DECISIONS = 20
_ACCESSES = {scope: Access(scope, None, tlp) for scope, tlp in MAX_TLP.items()}
_OPERATOR = _ACCESSES[Scope.OPERATOR]

Kinds = frozenset[EntryKind]


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An entry and, by each scope that it was rendered for and that may see it, the JSON object that is shown."""

    sequence: int
    at_ms: int
    kind: EntryKind
    shown: dict[Scope, bytes]
    signal: Signal | None = None

    @property
    def size(self) -> int:
        """How many bytes it holds, about."""
        return sum(map(len, {id(text): text for text in self.shown.values()}.values()))


@dataclass(frozen=True, slots=True)
class LiveFilter:
    """What somebody listens to: kinds of entries, and of signals those that match. Nothing stands for all."""

    kinds: Kinds = frozenset()
    subject: str | None = None
    categories: tuple[Category, ...] | None = None
    severity: Severity | None = None

    def keeps(self, event: LiveEvent) -> bool:
        """Whether an event is listened to; what is asked of signals leaves nothing else."""
        if self.kinds and event.kind not in self.kinds:
            return False
        if self.subject is None and self.categories is None and self.severity is None:
            return True
        signal = event.signal
        return (
            signal is not None
            and (self.subject is None or any(subject.value == self.subject for subject in signal.subjects))
            and (self.categories is None or signal.category in self.categories)
            and (self.severity is None or signal.severity.rank >= self.severity.rank)
        )


@dataclass(frozen=True, slots=True)
class Channel:
    """Who listens to what: all of one channel are sent the very same."""

    scope: Scope
    wanted: LiveFilter = field(default_factory=LiveFilter)

    def take(self, events: Iterable[LiveEvent]) -> list[tuple[LiveEvent, bytes]]:
        """The events that are heard here, with what is shown of them."""
        # [API] Whoever listens hears of an entry what he would be answered about it, and else nothing.
        return [(e, e.shown[self.scope]) for e in events if self.scope in e.shown and self.wanted.keeps(e)]


def event_of(source: Source, entry: AuditEntry, scopes: frozenset[Scope]) -> LiveEvent:
    """What each of these scopes is shown of an entry; the index must have come at least as far."""
    head = {
        "sequence": entry.sequence,
        "at_ms": entry.at_ms,
        "kind": entry.kind.value,
        "about": entry.reference.hex(),
    }
    accesses = {scope: _ACCESSES[scope] for scope in scopes}
    match entry.kind:
        case EntryKind.SIGNAL:
            return _signal_event(source, entry, accesses, head)
        case EntryKind.INCIDENT:
            shown = {
                scope: head | {"incident": view}
                for scope, access in accesses.items()
                if (view := _incident(access, source, entry.reference)) is not None
            }
        case EntryKind.ACTION | EntryKind.OUTCOME:
            row = source.reader.action(entry.reference)
            shown = {
                scope: head | {"action": view}
                for scope, access in accesses.items()
                if (view := action_sight(access, row)) is not None
            }
        case _:
            shown = {}
    # [API] What an entry says of itself is the operator's: it tells of our policy, people and endpoints.
    if Scope.OPERATOR in scopes:
        shown[Scope.OPERATOR] = shown.get(Scope.OPERATOR, head) | _detail(source, entry)
    return LiveEvent(entry.sequence, entry.at_ms, entry.kind, {s: msgspec.json.encode(v) for s, v in shown.items()})


def _signal_event(source: Source, entry: AuditEntry, accesses: dict[Scope, Access], head: dict[str, Any]) -> LiveEvent:
    row = source.reader.signal(entry.reference)
    view = signal_sight(_OPERATOR, row, source.roster())
    if row is None or view is None:
        shown = {Scope.OPERATOR: msgspec.json.encode(head)} if Scope.OPERATOR in accesses else {}
        return LiveEvent(entry.sequence, entry.at_ms, entry.kind, shown)
    # one text for all who may see it: this is what comes by the hundred
    text = msgspec.json.encode(head | {"signal": view})
    tlp = row.signal.tlp if row.signal else None
    shown = {scope: text for scope, access in accesses.items() if access.may_see(tlp)}
    return LiveEvent(entry.sequence, entry.at_ms, entry.kind, shown, row.signal)


def _incident(access: Access, source: Source, incident: bytes) -> dict[str, Any] | None:
    row = find_incident(source.index, access, incident)
    return None if row is None else incident_sight(access, source, row, source.roster())


def _detail(source: Source, entry: AuditEntry) -> dict[str, Any]:
    detail = decode_canonical(entry.detail, max_bytes=MAX_DETAIL_BYTES)
    shown: dict[str, Any] = {"detail": plain(detail)}
    if entry.kind is EntryKind.DECISION and isinstance(detail.get("decision"), bytes):
        number = int.from_bytes(detail["decision"], "big")
        recent = source.reader.decisions(entry.reference, limit=RECENT_DECISIONS)
        shown["decision"] = next((decision_view(row) for row in recent if row.id == number), None)
    return shown


def plain(value: Any) -> Any:
    """Bytes as hex, so that it is JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
