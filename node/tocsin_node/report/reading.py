"""An incident out of the node's record, as the entries of a report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tocsin_protocol.audit import AuditEntry, EntryKind
from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.postmortem.entries import (
    MAX_ROWS,
    About,
    Acted,
    AnyEntry,
    Believed,
    Claim,
    Decided,
    Head,
    Header,
    Heard,
    Journal,
    Lesson,
    Proof,
    Referred,
    Ruled,
    Said,
    Stake,
    Statement,
    Step,
    Tied,
    Voice,
)
from tocsin_protocol.postmortem.lessons import INTERNAL, lessons_of
from tocsin_protocol.postmortem.report import strictest
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.taxonomy import Tlp

from ..store.database import StoreError
from ..store.reader import MAX_PAGE, ActionRow, DecisionRow, IncidentRow, SignalRow
from ..store.record_reader import MAX_SIGNALS, RecordReader, label_of
from ..views import member_name
from .audited import MAX_AUDITED, Audited, read_audited
from .proofs import proofs_of


@dataclass(frozen=True, slots=True)
class Thread:
    """What all parts of a report are made from. `labels` are of every signal that a decision could have drawn on."""

    incident: IncidentRow
    signals: Sequence[SignalRow]
    decisions: Sequence[DecisionRow]
    actions: Sequence[ActionRow]
    labels: Sequence[tuple[int, Tlp]]
    roster: RosterIndex
    own: frozenset[bytes]

    def label_at(self, at_ms: int) -> Tlp:
        """The label of what draws on everything that had come by then."""
        return strictest(label for received_ms, label in self.labels if received_ms <= at_ms)


def read_entries(reader: RecordReader, id_prefix: str, made_ms: int) -> list[AnyEntry]:
    """All entries of a report about the incident whose id begins so, in the order in which they are read.

    Raises StoreError for an id that none or several have, and for an incident without a signal.
    """
    thread = _read_thread(reader, id_prefix)
    audited = read_audited(reader, thread.incident.id, thread.signals, thread.actions)
    entries: list[AnyEntry] = [_header(reader, thread, made_ms), _about(reader, thread)]
    entries += [_said(thread, row) for row in thread.signals]
    entries += audited.checks
    for decision in thread.decisions:
        entries += [_believed(thread, decision), _decided(thread, decision)]
    for action in thread.actions:
        entries += _acted(thread, action)
    entries += [*audited.requests, *audited.recovery, *audited.findings]
    entries += audited.outcomes(reader, thread.incident.id, thread.roster)
    entries += lessons_of(entries) + _cut(thread, audited) + _pruned(reader, audited)
    entries += _proofs(reader, thread, audited)
    return entries


def _read_thread(reader: RecordReader, id_prefix: str) -> Thread:
    incident = reader.incident(id_prefix)
    signals = reader.whole_thread(incident.id)
    if not signals:
        raise StoreError(f"incident {incident.id.hex()}: no signal of it is published yet, so there is nothing to tell")
    roster = reader.roster()
    member = roster.member(reader.publisher)
    own = {reader.publisher, *(publisher.id for publisher in member.publishers)} if member else {reader.publisher}
    return Thread(
        incident=incident,
        signals=signals,
        decisions=reader.decisions(incident.id, limit=MAX_PAGE)[::-1],
        actions=reader.actions(incident=incident.id, limit=MAX_PAGE)[::-1],
        labels=_labels(reader, incident.id, signals, own),
        roster=roster,
        own=frozenset(own),
    )


def _labels(
    reader: RecordReader, incident: bytes, signals: Sequence[SignalRow], own: Collection[bytes]
) -> list[tuple[int, Tlp]]:
    # A word of our own counts for our decisions from when it is written, published or not.
    labels = [
        (row.signal.issued_ms if row.signal and row.envelope.publisher in own else row.received_ms, label_of(row))
        for row in signals
    ]
    # What does not stand here might be of any label.
    unseen = [(signals[-1].received_ms, Tlp.RED)] if len(signals) == MAX_SIGNALS else []
    return labels + unseen + reader.neighbouring_labels(incident)


def _cut(thread: Thread, audited: Audited) -> list[Lesson]:
    """What there is more of than a report holds."""
    counts = (
        (len(thread.signals), MAX_SIGNALS, "the first {} signals"),
        (len(thread.decisions), MAX_PAGE, "the last {} decisions"),
        (len(thread.actions), MAX_PAGE, "the last {} actions"),
        (len(audited.entries), MAX_AUDITED, "the first {} entries of the audit log"),
    )
    return [
        Lesson(
            tlp=Tlp.CLEAR,
            kind="cut",
            fact=f"Of this incident only {what.format(f'{most:,}')} stand in this report.",
            question="What do the others say? The node's database has them.",
        )
        for count, most, what in counts
        if count >= most
    ]


def _pruned(reader: RecordReader, audited: Audited) -> list[Lesson]:
    """What the log alone tells is not told where its entries have gone; the first is that the incident was opened."""
    pruned = reader.pruned()
    if not pruned or any(entry.kind is EntryKind.INCIDENT for entry in audited.entries):
        return []
    fact = f"The first {pruned:,} entries of the audit log were pruned: what they tell of it does not stand here."
    return [Lesson(tlp=INTERNAL, kind="pruned", fact=fact, question="What do they say? Their export has them.")]


def _header(reader: RecordReader, thread: Thread, made_ms: int) -> Header:
    return Header(
        tlp=Tlp.CLEAR,
        incident=thread.incident.id.hex(),
        network=reader.network_id.hex(),
        publisher=reader.publisher.hex(),
        member=member_name(thread.roster, reader.publisher),
        made_ms=made_ms,
    )


def _about(reader: RecordReader, thread: Thread) -> About:
    incident = thread.incident
    return About(
        tlp=strictest(label_of(row) for row in thread.signals),
        family=incident.family,
        hint=incident.hint,
        first_ms=incident.first_ms,
        last_ms=incident.last_ms,
        subjects=tuple(reader.incident_subjects(incident.id)),
        ties=tuple(Tied(tie=tie.tie.value, other=tie.other.hex()) for tie in reader.incident_ties(incident.id)),
    )


def _said(thread: Thread, row: SignalRow) -> Said:
    envelope, signal = row.envelope, row.signal
    statement = None
    if signal is not None:
        statement = Statement(
            category=signal.category,
            stage=signal.stage,
            severity=signal.severity,
            confidence=signal.confidence,
            detected_ms=signal.detected_ms,
            issued_ms=signal.issued_ms,
            drill=signal.drill,
            observed_micro_usd=signal.loss.observed_micro_usd,
            rate_micro_usd_per_hour=signal.loss.rate_micro_usd_per_hour,
            at_risk_micro_usd=signal.loss.at_risk_micro_usd,
            subjects=tuple(f"{subject.role} {subject.value}" for subject in signal.subjects),
            claims=tuple(
                Claim(kind=c.kind.value, chain=c.chain, block=c.block, reference=c.reference, detail=c.detail)
                for c in signal.evidence
            ),
            references=tuple(Referred(relation=r.relation, digest=r.digest.hex()) for r in signal.references),
            text=signal.text,
        )
    return Said(
        tlp=label_of(row),
        digest=envelope.digest.hex(),
        publisher=envelope.publisher.hex(),
        member=member_name(thread.roster, envelope.publisher),
        own=envelope.publisher in thread.own,
        lane=envelope.lane,
        sequence=envelope.sequence,
        path=row.path,
        standing=row.standing.value,
        received_ms=row.received_ms,
        statement=statement,
    )


def _believed(thread: Thread, decision: DecisionRow) -> Believed:
    return Believed(
        tlp=thread.label_at(decision.at_ms),
        decision=decision.id,
        at_ms=decision.at_ms,
        belief_ppm=decision.detail.belief_ppm,
        groups=decision.detail.groups,
        acts=decision.acts,
    )


def _decided(thread: Thread, decision: DecisionRow) -> Decided:
    detail = decision.detail
    would = dict(detail.counterfactuals)
    return Decided(
        # [REPORT] What tells of our policy, people or endpoints is amber+strict, and red where a signal of it is red.
        tlp=strictest((INTERNAL, thread.label_at(decision.at_ms))),
        number=decision.id,
        at_ms=decision.at_ms,
        sentence=detail.sentence,
        category=detail.category,
        policy=detail.policy_hash.hex(),
        sums=detail.sums,
        voices=tuple(
            Voice(
                source=term.source,
                publisher=term.publisher.hex(),
                member=term.member,
                weight=term.weight,
                answer=term.answer,
            )
            for term in detail.terms
        ),
        evidence=detail.evidence,
        stakes=tuple(Stake(scope=scope, loss_micro_usd=loss) for scope, loss in detail.stakes),
        levers=tuple(
            Ruled(
                hook=lever.hook,
                tier=lever.tier,
                verdict=lever.verdict,
                held=lever.held,
                cost_micro_usd=lever.cost_micro_usd,
                observe_micro_usd=lever.observe_micro_usd,
                would_with=would.get(lever.hook, ()),
            )
            for lever in detail.levers
        ),
    )


def _acted(thread: Thread, row: ActionRow) -> Iterable[AnyEntry]:
    action = row.action
    firsts: dict[Event, int] = {}
    for event in row.events:
        firsts.setdefault(event.event, event.at_ms)
    # [REPORT] A use of a lever is clear once it was in a block or in effect, where anybody can see it.
    is_seen = Event.INCLUDE in firsts or Event.CONFIRM in firsts
    yield Acted(
        tlp=Tlp.CLEAR if is_seen else INTERNAL,
        action=action.action_id.hex(),
        hook=action.hook,
        target=action.target,
        decision=int.from_bytes(action.decision_id, "big"),
        state=action.state.value,
        decided_ms=action.created_ms,
        steps=tuple(Step(event=event.value, at_ms=at_ms) for event, at_ms in firsts.items()),
        transactions=tuple(transaction.hash.hex() for transaction in action.transactions),
        ends_ms=action.ends_ms,
    )
    known = [s for s in thread.signals if s.received_ms <= action.created_ms and s.signal and not s.signal.drill]
    if known:
        first = min(known, key=lambda s: s.signal.detected_ms if s.signal else 0)
        assert first.signal is not None  # noqa: S101 - so were they chosen
        yield Heard(
            tlp=first.signal.tlp,
            action=action.action_id.hex(),
            digest=first.envelope.digest.hex(),
            detected_ms=first.signal.detected_ms,
            issued_ms=first.signal.issued_ms,
            received_ms=first.received_ms,
        )
    yield Journal(
        tlp=INTERNAL,
        action=action.action_id.hex(),
        reason=action.reason,
        steps=tuple(Step(event=e.event.value, at_ms=e.at_ms, reason=e.reason) for e in row.events[:MAX_ROWS]),
    )


def _proofs(reader: RecordReader, thread: Thread, audited: Audited) -> Iterator[Head | Proof]:
    labels = {row.envelope.digest: label_of(row) for row in thread.signals}

    def label(entry: AuditEntry) -> Tlp:
        # [REPORT] A proof is amber+strict or red: it holds hashes of entries beside its own, which have no salt.
        drawn_on = thread.label_at(entry.at_ms)
        if entry.kind is EntryKind.SIGNAL:
            drawn_on = labels.get(entry.reference, Tlp.RED)
        elif entry.kind is EntryKind.ADJUDICATION:
            drawn_on = Tlp.CLEAR
        return strictest((INTERNAL, drawn_on))

    return proofs_of(reader, audited.entries, label)
