"""Decisions on disk: what an incident is judged to be, what is done about it, and the intents that follow."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.action import Action, IntentVerdict, new_action
from tocsin_protocol.decision.decide import Choice
from tocsin_protocol.decision.judge import Judgement, Sighting, explain_judgement, weigh_incident
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.freshness import actionable_until_ms
from tocsin_protocol.model import Signal

from ..hooks.hook import Hook, Occasion
from .actions import insert_intent, read_arms
from .asking import ask_operators, window_of
from .audit import append_audit
from .basis import log_basis
from .decision_detail import MAX_SENTENCE_CHARS, decode_detail, encode_detail, is_kept_by_arming, shape_of
from .evidence_checks import load_exhibits
from .ledger import read_mark
from .lever_states import action_target, insert_charges, read_charges, read_lever_states
from .rules import Rules
from .sightings import load_sightings

DECISION_ID_BYTES = 8
MAX_DECISIONS_READ = 100
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that was recorded, and the actions it started."""

    incident: bytes
    sentence: str
    actions: tuple[Action, ...]


def decide_incident(connection: sqlite3.Connection, rules: Rules, incident: bytes, now_ms: int) -> Decided | None:
    """Judge an incident and record the answer; None when nothing of note has changed since the last one."""
    sightings = load_sightings(connection, rules.roster, rules.exposure.watched, incident, now_ms)
    # Who is heard may change while we decide: what was decided on is what is logged.
    witnesses_of = cache(rules.witnesses_of)
    world = replace(rules.world, witnesses_of=witnesses_of)
    states = read_lever_states(connection, rules.policy, incident, now_ms)
    charges = read_charges(connection, now_ms)
    exhibits = load_exhibits(connection, rules, sightings)
    judgement = weigh_incident(world, incident, sightings, exhibits, states, charges, now_ms)
    shape = shape_of(judgement)
    if not judgement.decision.fired and _last_shape(connection, incident) == shape:
        return None
    judgement = explain_judgement(world, judgement, states, charges, now_ms)
    number = connection.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM decisions").fetchone()[0]
    decision_id = int(number).to_bytes(DECISION_ID_BYTES, "big")
    actions = [
        action
        for choice in judgement.decision.fired
        if (action := _intend(connection, rules, choice, incident, decision_id, judgement, sightings, now_ms))
    ]
    if not actions and _last_shape(connection, incident) == shape:
        return None
    detail = encode_detail(judgement, rules.policy_hash)
    connection.execute(
        "INSERT INTO decisions (id, incident, at_ms, acts, shape, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (number, incident, now_ms, len(actions), shape, detail),
    )
    witnesses = witnesses_of(judgement.category)
    short = {
        "basis": log_basis(connection, rules, sightings, exhibits, states, charges, witnesses, now_ms),
        "decision": decision_id,
        "detail": sha256(detail).digest(),
        "policy": rules.policy_hash,
        "sentence": judgement.sentence[:MAX_SENTENCE_CHARS],
    }
    append_audit(connection, now_ms, EntryKind.DECISION, incident, short)
    return Decided(incident, judgement.sentence, tuple(actions))


def _intend(
    connection: sqlite3.Connection,
    rules: Rules,
    choice: Choice,
    incident: bytes,
    decision_id: bytes,
    judgement: Judgement,
    sightings: Sequence[Sighting],
    now_ms: int,
) -> Action | None:
    """Make the use of a lever durable, with what it charges to whom; None where it was used before."""
    hook = rules.hooks[choice.lever.hook]
    epoch = read_arms(connection)[hook.name].epoch
    target = action_target(choice.lever, hook.target, incident)
    # People may take longer than a signal is fresh: what they approve they have judged for themselves.
    until_ms = window_of(now_ms, rules.people.window_ms)[1] if choice.lever.asks else None
    # What the contract ends sooner is over sooner.
    minutes = min(choice.lever.minutes, hook.ends_after_minutes or choice.lever.minutes)
    # A notice holds nothing still, so there is nothing to end.
    ends_ms = (until_ms or now_ms) + minutes * _MINUTE_MS if choice.lever.tier >= Tier.TIGHTEN else None
    signals = _speaking(judgement, sightings)
    try:
        payload = _payload_of(hook, _occasion(incident, decision_id, judgement, signals, now_ms))
    # An operator's own hook may stumble over what strangers wrote: the signal is filed and decided on all the same.
    except Exception as exc:  # noqa: BLE001 - the hook's edge
        _alarm(connection, hook, incident, f"its payload could not be made: {type(exc).__name__}", now_ms)
        return None
    if not payload:
        # Its arming is not spent on that: another signal of the incident may name what this one does not.
        _alarm(connection, hook, incident, "the incident names nothing that its arguments could be", now_ms)
        return None
    action = new_action(
        ledger=read_mark(connection).ledger,
        hook=hook.name,
        target=target,
        arm_epoch=epoch,
        incident_id=incident,
        decision_id=decision_id,
        payload=payload,
        created_ms=now_ms,
        deadline_ms=until_ms or max(actionable_until_ms(signal) for signal in signals),
        ends_ms=ends_ms,
    )
    if insert_intent(connection, action, now_ms) is not IntentVerdict.NEW:
        return None
    if choice.lever.tier >= Tier.TIGHTEN:
        insert_charges(connection, action, choice, now_ms)
    return ask_operators(connection, rules, choice.lever, action, now_ms) if choice.lever.asks else action


def _payload_of(hook: Hook, occasion: Occasion) -> bytes:
    payload: object = hook.payload(occasion)
    if not isinstance(payload, bytes):
        raise TypeError(f"payload of {hook.name}: {type(payload).__name__} where bytes are wanted")
    return payload


def _alarm(connection: sqlite3.Connection, hook: Hook, incident: bytes, why: str, now_ms: int) -> None:
    append_audit(connection, now_ms, EntryKind.ALARM, incident, {"hook": hook.name, "why": why})


def _speaking(judgement: Judgement, sightings: Sequence[Sighting]) -> Sequence[Signal]:
    """The signals that a lever is used for: nobody whose word weighs nothing chooses what it is used on.

    A notice may go out on such words alone; then they are what it tells of.
    """
    return judgement.weighty or [s.signal for s in sightings if s.digest in judgement.reports]


def _occasion(
    incident: bytes, decision_id: bytes, judgement: Judgement, signals: Sequence[Signal], now_ms: int
) -> Occasion:
    worst = max(signals, key=lambda signal: signal.severity.rank)
    return Occasion(
        incident_id=incident,
        decision_id=decision_id,
        category=str(judgement.category),
        severity=str(worst.severity),
        subjects=tuple(sorted({subject.value for signal in signals for subject in signal.subjects})),
        summary=judgement.sentence,
        decided_ms=now_ms,
    )


def _last_shape(connection: sqlite3.Connection, incident: bytes) -> bytes | None:
    row = connection.execute(
        "SELECT shape FROM decisions WHERE incident = ? ORDER BY id DESC LIMIT 1", (incident,)
    ).fetchone()
    return row[0] if row else None


def incidents_kept_from(connection: sqlite3.Connection, hook: str, since_ms: int) -> list[bytes]:
    """Incidents decided since then in which being disarmed alone kept a lever from being used, latest first."""
    rows = connection.execute(
        "SELECT incident, detail FROM decisions WHERE at_ms >= ? ORDER BY id DESC LIMIT ?",
        (since_ms, MAX_DECISIONS_READ),
    )
    kept: dict[bytes, bool] = {}
    for incident, detail in rows:
        kept.setdefault(incident, is_kept_by_arming(decode_detail(detail), hook))
    return [incident for incident, is_kept in kept.items() if is_kept]
