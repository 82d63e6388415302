"""What a feed's answers are: what was signed and checked, and what is the node's word alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.model import Signal

if TYPE_CHECKING:
    # with the model of risk comes more than most clients want
    from tocsin_protocol.risk.report import SignedReport


@dataclass(frozen=True, slots=True)
class FeedSignal:
    """A signal. `envelope` and `body` are its publisher's, and checked; the rest is the node's word.

    `body` is None where the publisher signed what is no body. `member` is the roster's name of the publisher.
    `is_pinned` says whether that roster goes back to a pinned genesis.
    """

    envelope: Envelope
    body: Signal | None
    member: str
    is_pinned: bool
    received_ms: int
    path: str
    standing: str
    incident: str | None

    @property
    def digest(self) -> str:
        """Its identity, in hex."""
        return self.envelope.digest.hex()


class Incident(Struct, frozen=True, kw_only=True):
    """An incident as the node ties it together: its word. `subjects` and `chains` come where one is asked for."""

    id: str
    families: tuple[str, ...]
    categories: tuple[str, ...]
    severity: str
    first_ms: int
    last_ms: int
    signals: int
    publishers: tuple[str, ...]
    members: tuple[str, ...]
    subjects: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()


class Action(Struct, frozen=True, kw_only=True):
    """A use of a lever: the node's word, of which the transactions can be looked up on their chain."""

    id: str
    hook: str
    target: str
    incident: str
    state: str
    since_ms: int
    created_ms: int
    ends_ms: int | None = None
    transactions: tuple[str, ...] = ()


class Publisher(Struct, frozen=True, kw_only=True):
    """A publisher of the roster in force, as the node shows it."""

    id: str
    member: str
    organisation: str
    equivocated: bool


@dataclass(frozen=True, slots=True)
class RiskWord:
    """A risk report whose signer is a publisher of the roster. It counts while `counts`: stale means no capacity."""

    oracle: str
    subject: str | None
    signed: SignedReport
    member: str
    counts: bool


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An entry of the record as it is shown here; of kind `quiet` it only says how far the record is.

    `signal` is checked; `incident`, `action`, and what `more` has for the operator, are the node's word.
    """

    sequence: int
    at_ms: int
    kind: str
    about: str
    signal: FeedSignal | None = None
    incident: Incident | None = None
    action: Action | None = None
    more: dict[str, Any] | None = None


class ShownSignal(Struct, frozen=True, kw_only=True):
    """A signal on the wire. Only `encoded` is looked at for what it says."""

    encoded: str
    digest: str
    received_ms: int
    path: str
    standing: str
    incident: str | None


class ShownEvent(Struct, frozen=True, kw_only=True):
    """An event on the wire."""

    sequence: int
    at_ms: int
    kind: str
    about: str
    signal: ShownSignal | None = None
    incident: Incident | None = None
    action: Action | None = None
    decision: dict[str, Any] | None = None
    detail: dict[str, Any] | None = None


class ShownCut(Struct, frozen=True, kw_only=True):
    """The last event of a stream."""

    reason: str
    resume: int


class ShownHealth(Struct, frozen=True, kw_only=True):
    """How a node is, on the wire."""

    healthy: bool


class SignalPage(Struct, frozen=True, kw_only=True):
    """A page on the wire."""

    rows: tuple[ShownSignal, ...] = field(name="signals")
    next: str | None


class IncidentPage(Struct, frozen=True, kw_only=True):
    """A page on the wire."""

    rows: tuple[Incident, ...] = field(name="incidents")
    next: str | None


class ActionPage(Struct, frozen=True, kw_only=True):
    """A page on the wire."""

    rows: tuple[Action, ...] = field(name="actions")
    next: str | None


class PublisherList(Struct, frozen=True, kw_only=True):
    """All publishers on the wire."""

    publishers: tuple[Publisher, ...]


class ShownReport(Struct, frozen=True, kw_only=True):
    """A risk report on the wire."""

    oracle: str
    subject_id: str | None
    signed: str


class ReportList(Struct, frozen=True, kw_only=True):
    """All reports on the wire."""

    reports: tuple[ShownReport, ...]


class ShownRoster(Struct, frozen=True, kw_only=True):
    """One epoch's roster on the wire."""

    epoch: int
    signed: str


class ShownPublisher(Struct, frozen=True, kw_only=True):
    """A publisher's address in the roster on the wire."""

    id: str


class ShownMember(Struct, frozen=True, kw_only=True):
    """A member in the roster on the wire."""

    name: str
    publishers: tuple[ShownPublisher, ...]


class ShownMembers(Struct, frozen=True, kw_only=True):
    """What of the roster in force everybody is shown."""

    network: str
    members: tuple[ShownMember, ...]
