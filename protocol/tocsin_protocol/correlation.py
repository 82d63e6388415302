"""Which incident a signal belongs to: the receiver decides, a publisher's own incident id is only a hint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from .model import Signal
from .taxonomy import Relation, SubjectKind

CORRELATION_WINDOW_MS = 24 * 3600 * 1000
# However steadily it is fed: else one member could keep an incident open for ever, with all that comes later in it.
MAX_INCIDENT_MS = 7 * 24 * 3600 * 1000
META_FAMILY = "meta"


@dataclass(frozen=True, slots=True)
class Incident:
    """The thread of signals about one event, named by the digest of its earliest admitted signal."""

    id: bytes
    family: str
    first_ms: int
    last_ms: int


def correlating_subjects(signal: Signal) -> tuple[str, ...]:
    """The subjects two signals must share to be about one event; a whole chain ties only signals that name no more."""
    narrow = {s.value for s in signal.subjects if s.kind is not SubjectKind.CHAIN}
    return tuple(sorted(narrow or {s.value for s in signal.subjects}))


def referenced_digests(signal: Signal) -> tuple[bytes, ...]:
    """Signals that this one says it belongs with: it joins their incident whatever its subjects."""
    return tuple(r.digest for r in signal.references if r.relation is not Relation.DERIVED_FROM)


def tied_incidents(
    signal: Signal, received_ms: int, by_reference: Iterable[Incident], by_subject: Iterable[Incident]
) -> tuple[Incident, ...]:
    """The incidents the signal belongs to, each once: it joins the first; of none, it opens a new one.

    References tie directly; a shared subject ties within one category family and CORRELATION_WINDOW_MS.
    """
    family = signal.category.family
    # [INCIDENT] A signal joins the open incident of a signal it refers to, other than as derived from it.
    tied = [incident for incident in by_reference if is_open(incident, received_ms)]
    # [INCIDENT] A signal joins an open incident of its category family with which it shares a subject.
    tied += [
        incident
        for incident in by_subject
        if is_open(incident, received_ms) and incident.family == family != META_FAMILY
    ]
    # [INCIDENT] A meta signal that refers to none joins any open incident with which it shares a subject.
    if not tied and family == META_FAMILY:
        tied = [incident for incident in by_subject if is_open(incident, received_ms)]
    # [INCIDENT] Of several it joins the one that began first; of none, it opens one under its own digest.
    return tuple(sorted(set(tied), key=lambda incident: (incident.first_ms, incident.id)) if len(tied) > 1 else tied)


def is_open(incident: Incident, now_ms: int) -> bool:
    """Whether a signal received now can still join."""
    # [INCIDENT] It is open until CORRELATION_WINDOW_MS after its last signal, or MAX_INCIDENT_MS after its first.
    return now_ms - incident.last_ms <= CORRELATION_WINDOW_MS and now_ms - incident.first_ms <= MAX_INCIDENT_MS


class Tie(StrEnum):
    """How one incident is tied to another, for whoever reads about either."""

    # [INCIDENT] A signal that belongs to several ties the others to the one it joins; each keeps its name.
    BRIDGED = "bridged"
    # [INCIDENT] One that is opened about a subject of an ended one of its family follows it.
    FOLLOWS = "follows"
