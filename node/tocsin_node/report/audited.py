"""What the audit log alone tells of an incident: checks, requests to people, the way back, findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tocsin_protocol.adjudication import decode_adjudication
from tocsin_protocol.audit import AuditEntry, EntryKind
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.evidence.answers import Answer, Doubt
from tocsin_protocol.postmortem.entries import Answered, Asked, Check, Claim, Earned, Found, Recovered
from tocsin_protocol.postmortem.lessons import INTERNAL
from tocsin_protocol.postmortem.report import strictest
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.taxonomy import Tlp

from ..store.decision_detail import MAX_DETAIL_BYTES
from ..store.reader import ActionRow, SignalRow
from ..store.record_reader import RecordReader, label_of
from ..views import member_name

# Of one incident; the log itself has them all.
MAX_AUDITED = 10_000
_DISAGREEING = frozenset((Doubt.DISAGREEMENT, Doubt.FORK))
_Place = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class Audited:
    """The audit entries about an incident, in order, and what they say."""

    entries: tuple[AuditEntry, ...]
    checks: tuple[Check, ...]
    requests: tuple[Asked, ...]
    recovery: tuple[Recovered, ...]
    findings: tuple[Found, ...]

    def outcomes(self, reader: RecordReader, incident: bytes, roster: RosterIndex) -> list[Earned]:
        """What each publisher earned, where it was adjudicated."""
        return [
            Earned(
                tlp=Tlp.AMBER,
                publisher=row.publisher.hex(),
                member=member_name(roster, row.publisher),
                verdict=row.verdict,
                delay_ms=row.delay_ms,
            )
            for row in reader.outcomes(incident)
        ]


def read_audited(
    reader: RecordReader, incident: bytes, signals: Sequence[SignalRow], actions: Sequence[ActionRow]
) -> Audited:
    """Read the log once, and keep what is about the incident: at most MAX_AUDITED entries, the first."""
    labels = _labels_of_claims(signals)
    about = {incident, *(row.envelope.digest for row in signals), *(row.action.action_id for row in actions)}
    found: list[tuple[AuditEntry, dict[str, Any]]] = []
    for entry in reader.all_audit():
        if entry.reference in about or entry.kind is EntryKind.EVIDENCE:
            detail = decode_canonical(entry.detail, max_bytes=MAX_DETAIL_BYTES)
            if entry.reference in about or _place_of(_claim_in(detail)) in labels:
                found.append((entry, detail))
                if len(found) == MAX_AUDITED:
                    break
    told = [(entry, detail) for entry, detail in found if entry.reference == incident]
    return Audited(
        entries=tuple(entry for entry, _ in found),
        checks=tuple(_check(e, d, labels) for e, d in found if e.kind is EntryKind.EVIDENCE),
        requests=tuple(_requests(told)),
        recovery=tuple(_recovered(e, d) for e, d in told if "recovery" in d),
        findings=tuple(_found(e, d) for e, d in told if e.kind is EntryKind.ADJUDICATION)[-1:],
    )


def _labels_of_claims(signals: Iterable[SignalRow]) -> dict[_Place, Tlp]:
    """Where the signals' claims point, with the strictest label of those who make them."""
    labels: dict[_Place, Tlp] = {}
    for row in signals:
        for claim in row.signal.evidence if row.signal else ():
            place = (claim.kind.value, claim.chain, claim.block, claim.reference)
            labels[place] = strictest((label_of(row), labels.get(place, Tlp.CLEAR)))
    return labels


def _claim_in(detail: dict[str, Any]) -> Claim:
    kind, chain, block, reference, rest = decode_canonical(detail["claim"], max_bytes=MAX_DETAIL_BYTES)
    return Claim(kind=kind, chain=chain, block=block, reference=reference, detail=rest)


def _place_of(claim: Claim) -> _Place:
    """What is checked may be narrower than what was claimed: the incident's subject is added to its detail."""
    return claim.kind, claim.chain, claim.block, claim.reference


def _check(entry: AuditEntry, detail: dict[str, Any], labels: Mapping[_Place, Tlp]) -> Check:
    claim = _claim_in(detail)
    label = labels[_place_of(claim)]
    return Check(
        # How our endpoints fail is nobody else's to know.
        tlp=strictest((label, INTERNAL)) if detail["doubt"] else label,
        at_ms=entry.at_ms,
        claim=claim,
        answer=Answer(detail["answer"]),
        doubt=detail["doubt"],
        disagrees=detail["doubt"] in _DISAGREEING,
    )


def _requests(told: Iterable[tuple[AuditEntry, dict[str, Any]]]) -> list[Asked]:
    """Each request once, with who approved and how it ended."""
    asked: dict[bytes, tuple[AuditEntry, dict[str, Any]]] = {}
    answers: dict[bytes, list[Answered]] = {}
    ended: dict[bytes, tuple[int, str, str]] = {}
    for entry, detail in told:
        request = detail.get("request", b"")
        if entry.kind is EntryKind.ACTION and request:
            asked[request] = (entry, detail)
        elif entry.kind is EntryKind.OPERATOR and "signature" in detail:
            answer = Answered(operator=detail["operator"].hex(), name=detail["name"], at_ms=entry.at_ms)
            answers.setdefault(request, []).append(answer)
        elif entry.kind is EntryKind.OPERATOR and detail.get("verb") == "request":
            ended[request] = (entry.at_ms, detail["state"], detail["reason"])
    return [
        Asked(
            tlp=INTERNAL,
            request=request.hex(),
            purpose=detail["purpose"],
            effect=detail["effect"],
            scope=detail["scope"],
            asked_ms=entry.at_ms,
            expires_ms=detail["expires"],
            state=ended[request][1] if request in ended else "open",
            reason=ended[request][2] if request in ended else "",
            answers=tuple(answers.get(request, ())),
            closed_ms=ended[request][0] if request in ended else None,
        )
        for request, (entry, detail) in asked.items()
    ]


def _recovered(entry: AuditEntry, detail: dict[str, Any]) -> Recovered:
    return Recovered(
        tlp=INTERNAL,
        at_ms=entry.at_ms,
        scope=detail["recovery"],
        stage=detail["stage"],
        step=detail["step"],
        why=detail["why"],
        alarm=entry.kind is EntryKind.ALARM,
    )


def _found(entry: AuditEntry, detail: dict[str, Any]) -> Found:
    found, _ = decode_adjudication(detail["body"])
    return Found(
        tlp=Tlp.CLEAR,
        at_ms=found.at_ms,
        category=found.category,
        finding=found.finding,
    )
