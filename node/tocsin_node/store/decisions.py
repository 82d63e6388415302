"""Decisions on disk: what the rules see of an incident, what they said, and the intents that follow."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tocsin_protocol.admission import Reason, may_publish
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.body import decode_body
from tocsin_protocol.containment import Action, IntentVerdict, new_action
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.envelope import Envelope, decode_envelope
from tocsin_protocol.freshness import check_actionable
from tocsin_protocol.model import Signal
from tocsin_protocol.policy import Answer, Decision, Policy, Sighting, decide
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.roster_model import Publisher
from tocsin_protocol.taxonomy import LANES, Relation

from ..hooks.hook import Hook, Occasion
from .actions import insert_intent, read_arms
from .audit import append_audit

# Of each feed the newest in the incident, and the newest that could change a decision at all.
MAX_SIGHTINGS_PER_FEED = 16
MAX_SENTENCE_CHARS = 4096
DECISION_ID_BYTES = 8
# What our own findings count for while the roster does not list us.
OWN_MEMBER = "self"
_DISARMED = "is disarmed"
MAX_DECISIONS_READ = 100
MAX_DETAIL_BYTES = 1024 * 1024
# Standings that the clock gives; every other keeps a signal from acting for ever.
_BY_THE_CLOCK = frozenset((Reason.ADMITTED, Reason.EXPIRED, Reason.STALE))


@dataclass(frozen=True, slots=True)
class Rules:
    """What a decision is made with: the operator's policy, his hooks by name, and who is who."""

    policy: Policy
    hooks: Mapping[str, Hook]
    roster: RosterIndex


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that was recorded, and the actions it started."""

    incident: bytes
    sentence: str
    actions: tuple[Action, ...]


def decide_incident(connection: sqlite3.Connection, rules: Rules, incident: bytes, now_ms: int) -> Decided | None:
    """Ask the policy about an incident and record the answer; None when it says what it said before."""
    sightings = load_sightings(connection, rules, incident, now_ms)
    decision = decide(rules.policy, sightings)
    number = connection.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM decisions").fetchone()[0]
    decision_id = int(number).to_bytes(DECISION_ID_BYTES, "big")
    outcomes: dict[str, str] = {}
    actions = []
    for hook in decision.hooks:
        epoch, outcomes[hook] = _state_of_hook(connection, rules, hook)
        if epoch:
            action = _intend(rules.hooks[hook], epoch, incident, decision_id, decision, sightings, now_ms)
            verdict = insert_intent(connection, action, now_ms)
            outcomes[hook] = _VERDICT_TEXTS[verdict]
            if verdict is IntentVerdict.NEW:
                actions.append(action)
    detail = _describe(decision, outcomes)
    if not actions and _said_before(connection, incident, detail):
        return None
    connection.execute(
        "INSERT INTO decisions (id, incident, at_ms, acts, detail) VALUES (?, ?, ?, ?, ?)",
        (number, incident, now_ms, len(actions), detail),
    )
    short = {"decision": decision_id, "sentence": decision.sentence[:MAX_SENTENCE_CHARS], "hooks": _pairs(outcomes)}
    append_audit(connection, now_ms, EntryKind.DECISION, incident, short)
    return Decided(incident, decision.sentence, tuple(actions))


def load_sightings(connection: sqlite3.Connection, rules: Rules, incident: bytes, now_ms: int) -> list[Sighting]:
    """The newest signals of every feed in an incident, as the rules see them now.

    With them those of other incidents about the same subjects of ours: else one member, by tying an older incident to
    such a subject between two alarms, could part the voices of a quorum.
    """
    roster = rules.roster
    shared = _shared_subjects(connection, rules.policy, incident)
    equivocators = {publisher for (publisher,) in connection.execute("SELECT publisher FROM equivocations")}
    sightings = []
    for publisher_id, publisher in roster.publishers.items():
        member = roster.member(publisher_id)
        rows = {row[0]: row for lane in LANES for row in _newest(connection, incident, publisher_id, lane)}
        rows |= {row[0]: row for lane in LANES for row in _newest_that_matter(connection, publisher_id, lane)}
        for _, encoded, received_ms, stored, in_incident in sorted(rows.values()):
            envelope = decode_envelope(roster.domain, encoded)
            signal = decode_body(envelope.body)
            if in_incident != incident and not (shared and _speaks_about(signal, shared)):
                continue
            standing = Reason.EQUIVOCATOR if publisher_id in equivocators else Reason(stored)
            if standing in _BY_THE_CLOCK:
                standing = _standing_now(envelope, signal, publisher, received_ms, now_ms)
            name = member.organisation if member else ""
            sightings.append(Sighting(envelope.digest, publisher_id, name, signal, standing))
    return sightings + _load_drafts(connection, roster, incident, now_ms)


def _standing_now(envelope: Envelope, signal: Signal, publisher: Publisher, received_ms: int, now_ms: int) -> Reason:
    """Whether a stored signal may act by today's roster: a revoked key takes back what it said past the end."""
    if envelope.sequence > publisher.last_accepted(envelope.lane):
        return Reason.KEY_REVOKED
    if not may_publish(publisher, envelope.lane):
        return Reason.NOT_CAPABLE
    if not publisher.valid_from_ms <= now_ms < publisher.valid_until_ms:
        return Reason.KEY_NOT_VALID
    return check_actionable(signal, now_ms, received_ms)


def _load_drafts(connection: sqlite3.Connection, roster: RosterIndex, incident: bytes, now_ms: int) -> list[Sighting]:
    rows = connection.execute(
        "SELECT publisher, digest, body, at_ms FROM drafts, node WHERE incident = ? ORDER BY id DESC LIMIT ?",
        (incident, MAX_SIGHTINGS_PER_FEED),
    )
    sightings = []
    for publisher, digest, body, at_ms in rows:
        member, signal = roster.member(publisher), decode_body(body)
        name = member.organisation if member else OWN_MEMBER
        sightings.append(Sighting(digest, publisher, name, signal, check_actionable(signal, now_ms, at_ms)))
    return sightings


def _shared_subjects(connection: sqlite3.Connection, policy: Policy, incident: bytes) -> frozenset[str]:
    """The subjects of our rules that an incident is about."""
    ours = {subject for rule in policy.rules for subject in rule.subjects}
    query = "SELECT 1 FROM incident_subjects WHERE subject = ? AND incident = ?"
    return frozenset(s for s in ours if connection.execute(query, (s, incident)).fetchone())


def _speaks_about(signal: Signal, subjects: frozenset[str]) -> bool:
    return any(subject.value in subjects for subject in signal.subjects) or any(
        reference.relation is Relation.RETRACTS for reference in signal.references
    )


_Row = tuple[int, bytes, int, str, bytes]
_COLUMNS = "id, encoded, received_ms, standing, incident"


def _newest(connection: sqlite3.Connection, incident: bytes, publisher: bytes, lane: int) -> list[_Row]:
    """What a feed last said in an incident."""
    return connection.execute(
        f"SELECT {_COLUMNS} FROM signals WHERE incident = ? AND publisher = ? AND lane = ? ORDER BY id DESC LIMIT ?",  # noqa: S608
        (incident, publisher, lane, MAX_SIGHTINGS_PER_FEED),
    ).fetchall()


def _newest_that_matter(connection: sqlite3.Connection, publisher: bytes, lane: int) -> list[_Row]:
    """What a feed last said that a rule of ours is about, or that takes something back, in whatever incident."""
    return connection.execute(
        f"SELECT {_COLUMNS} FROM signals WHERE publisher = ? AND lane = ? AND matters = 1 ORDER BY id DESC LIMIT ?",  # noqa: S608
        (publisher, lane, MAX_SIGHTINGS_PER_FEED),
    ).fetchall()


def incidents_kept_from(connection: sqlite3.Connection, hook: str, since_ms: int) -> list[bytes]:
    """Incidents decided since then whose rules a disarmed hook kept from acting, latest first."""
    rows = connection.execute(
        "SELECT incident, detail FROM decisions WHERE at_ms >= ? ORDER BY id DESC LIMIT ?",
        (since_ms, MAX_DECISIONS_READ),
    )
    kept: dict[bytes, bool] = {}
    for incident, detail in rows:
        hooks = decode_canonical(detail, max_bytes=MAX_DETAIL_BYTES)["hooks"]
        kept.setdefault(incident, [hook, _DISARMED] in hooks)
    return [incident for incident, is_kept in kept.items() if is_kept]


_VERDICT_TEXTS = {
    IntentVerdict.NEW: "fires",
    IntentVerdict.SAME: "was used in this arm epoch already",
    IntentVerdict.CONFLICT: "was used in this arm epoch already, with other content",
}


def _state_of_hook(connection: sqlite3.Connection, rules: Rules, hook: str) -> tuple[int, str]:
    """The arm epoch a hook may fire in, or 0 and why it may not."""
    if hook not in rules.hooks:
        return 0, "is not configured"
    arm = read_arms(connection).get(hook)
    if arm is None or not arm.armed:
        return 0, _DISARMED
    return arm.epoch, ""


def _intend(
    hook: Hook,
    epoch: int,
    incident: bytes,
    decision_id: bytes,
    decision: Decision,
    sightings: Sequence[Sighting],
    now_ms: int,
) -> Action:
    met = [a for a in decision.answers if a.hook == hook.name and a.answer is Answer.MET]
    counted = {digest for answer in met for digest in answer.digests}
    signals = [s.signal for s in sightings if s.digest in counted]
    worst = max(signals, key=lambda signal: signal.severity.rank)
    occasion = Occasion(
        incident_id=incident,
        decision_id=decision_id,
        category=str(worst.category),
        severity=str(worst.severity),
        subjects=tuple(sorted({subject.value for signal in signals for subject in signal.subjects})),
        summary=" ".join(answer.sentence for answer in met),
        decided_ms=now_ms,
    )
    return new_action(
        hook=hook.name,
        target=hook.target,
        arm_epoch=epoch,
        incident_id=incident,
        decision_id=decision_id,
        payload=hook.payload(occasion),
        created_ms=now_ms,
        deadline_ms=max(answer.until_ms for answer in met),
    )


def _describe(decision: Decision, outcomes: Mapping[str, str]) -> bytes:
    answers = [
        [a.rule, a.hook, str(a.answer), list(a.members), list(a.digests[-MAX_SIGHTINGS_PER_FEED:]), a.sentence]
        for a in decision.answers
    ]
    sentence = decision.sentence[:MAX_SENTENCE_CHARS]
    return encode_canonical({"answers": answers, "hooks": _pairs(outcomes), "sentence": sentence})


def _pairs(outcomes: Mapping[str, str]) -> list[list[str]]:
    return [[hook, text] for hook, text in outcomes.items()]


def _said_before(connection: sqlite3.Connection, incident: bytes, detail: bytes) -> bool:
    row = connection.execute(
        "SELECT detail FROM decisions WHERE incident = ? ORDER BY id DESC LIMIT 1", (incident,)
    ).fetchone()
    return row is not None and row[0] == detail
