"""The store's rows as JSON objects: what the CLI prints with --json and what the feed serves."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tocsin_protocol.roster_encoding import encode_roster, roster_hash
from tocsin_protocol.taxonomy import CRITICAL

from .action_words import next_step
from .signal_json import signal_to_json

if TYPE_CHECKING:
    from tocsin_protocol.roster import RosterIndex
    from tocsin_protocol.roster_model import Roster

    from .store.reader import ActionRow, DecisionRow, IncidentRow, SignalRow, TieRow

LANE_NAMES = {CRITICAL: "critical", 1 - CRITICAL: "standard"}


def member_name(roster: RosterIndex, publisher: bytes) -> str:
    """The member a publisher belongs to; empty when the roster has him no more."""
    member = roster.member(publisher)
    return member.name if member else ""


def signal_view(row: SignalRow, roster: RosterIndex) -> dict[str, Any]:
    """A stored signal with how it came."""
    envelope = row.envelope
    return {
        "id": row.id,
        "digest": envelope.digest.hex(),
        "publisher": "0x" + envelope.publisher.hex(),
        "member": member_name(roster, envelope.publisher),
        "lane": LANE_NAMES[envelope.lane],
        "sequence": envelope.sequence,
        "received_ms": row.received_ms,
        "path": row.path,
        "standing": str(row.standing),
        "incident": None if row.incident is None else row.incident.hex(),
        "signal": None if row.signal is None else signal_to_json(row.signal),
    }


def incident_view(row: IncidentRow, roster: RosterIndex) -> dict[str, Any]:
    """An incident with what it has come to."""
    return {
        "id": row.id.hex(),
        "family": row.family,
        "hint": row.hint,
        "first_ms": row.first_ms,
        "last_ms": row.last_ms,
        "signals": row.signals,
        "members": sorted({member_name(roster, publisher) for publisher in row.publishers}),
        "decision": row.sentence,
        "acted": row.acts,
    }


def tie_view(row: TieRow) -> dict[str, Any]:
    """How an incident is tied to another one."""
    return {"tie": row.tie.value, "reverse": row.is_reverse, "other": row.other.hex()}


def decision_view(row: DecisionRow) -> dict[str, Any]:
    """A decision with the arithmetic behind it. Money in micro-USD, weights in nats, probabilities in ppm."""
    detail = row.detail
    return {
        "id": row.id,
        "incident": row.incident.hex(),
        "at_ms": row.at_ms,
        "actions": row.acts,
        "sentence": detail.sentence,
        "category": detail.category,
        "belief_ppm": detail.belief_ppm,
        "groups": detail.groups,
        "nats": dict(zip(("prior", "support", "own", "opposition", "silence"), detail.sums, strict=True)),
        "voices": [asdict(term) | {"publisher": "0x" + term.publisher.hex()} for term in detail.terms],
        "evidence": detail.evidence,
        "stakes_micro_usd": dict(detail.stakes),
        "levers": [asdict(lever) for lever in detail.levers],
        "would_have": [{"hook": hook, "changes": list(changes)} for hook, changes in detail.counterfactuals],
        "policy": detail.policy_hash.hex(),
    }


def action_view(row: ActionRow) -> dict[str, Any]:
    """An action with its life so far."""
    action = row.action
    return {
        "id": action.action_id.hex(),
        "hook": action.hook,
        "target": action.target,
        "arm_epoch": action.arm_epoch,
        "incident": action.incident_id.hex(),
        "decision": int.from_bytes(action.decision_id, "big"),
        "state": action.state.value,
        "since_ms": row.since_ms,
        "next": next_step(action),
        "reason": action.reason,
        "created_ms": action.created_ms,
        "deadline_ms": action.deadline_ms,
        "ends_ms": action.ends_ms,
        "transactions": ["0x" + transaction.hash.hex() for transaction in action.transactions],
        "events": [{"at_ms": e.at_ms, "event": e.event.value, "reason": e.reason} for e in row.events],
    }


def roster_view(roster: Roster) -> dict[str, Any]:
    """A roster as members and their publishers."""
    return {
        "network": roster.network_id.hex(),
        "epoch": roster.epoch,
        "previous": roster.previous.hex(),
        "hash": roster_hash(encode_roster(roster)).hex(),
        "members": [
            {
                "name": member.name,
                "organisation": member.organisation,
                "root": member.root.hex(),
                "publishers": [
                    {
                        "id": "0x" + publisher.id.hex(),
                        "peer_id": publisher.peer_id,
                        "addresses": list(publisher.addresses),
                        "valid_from_ms": publisher.valid_from_ms,
                        "valid_until_ms": publisher.valid_until_ms,
                        "capabilities": [str(capability) for capability in publisher.capabilities],
                        "rate_class": str(publisher.rate_class),
                        "detectors": [f"{d.vendor}/{d.name}" for d in publisher.detectors],
                        "rpc_groups": list(publisher.rpc_groups),
                        "log": publisher.log.hex(),
                        "revoked": {LANE_NAMES.get(lane, str(lane)): last for lane, last in publisher.revoked},
                    }
                    for publisher in member.publishers
                ],
            }
            for member in roster.members
        ],
    }
