"""The way back of an incident's scopes as a JSON object: where each stands, what comes next, and what it waits for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tocsin_protocol.recovery.stages import LIMIT_PERCENT, operations_of

if TYPE_CHECKING:
    from tocsin_protocol.recovery.plan import Plan, PlannedStep, Proposal, View, Waits
    from tocsin_protocol.recovery.steps import Call

    from .store.rules import Rules
    from .store.tracks import HeldLever, TrackRow


def recovery_view(
    incident: bytes,
    scopes: Collection[str],
    rows: Mapping[str, TrackRow],
    plan: Plan,
    held: Iterable[HeldLever],
    rules: Rules,
    now_ms: int,
) -> dict[str, Any]:
    """Times in UTC ms, belief in millionths. `steps` are in the order in which they can come, of these scopes alone."""
    shown = [one for one in plan.steps if one.step.scope in scopes]
    return {
        "incident": incident.hex(),
        "now_ms": now_ms,
        "scopes": [_scope(rows[scope], held, rules, now_ms) for scope in sorted(scopes) if scope in rows],
        "steps": [_step(one) for one in shown],
        "proposals": [_proposal(one) for one in plan.proposals if _is_about(one, scopes)],
    }


def _scope(row: TrackRow, held: Iterable[HeldLever], rules: Rules, now_ms: int) -> dict[str, Any]:
    track, policy = row.track, rules.people.recovery
    return {
        "scope": track.scope,
        "stage": track.stage.value,
        "step": track.step,
        "over": track.is_over(policy),
        "allowed": [operation.value for operation in track.allowed(policy)],
        "limit_percent": LIMIT_PERCENT[track.stage],
        "level": track.level.name.lower(),
        "approved": (is_approved := track.is_approved(now_ms)),
        "approved_until_ms": track.approved_until_ms if is_approved else None,
        "dwell_left_ms": track.dwell_left_ms(policy),
        "backs": track.backs,
        "note": None if row.note is None else row.note.value,
        "held_by": [
            {"hook": lever.hook, "state": lever.state.value, "ends_ms": lever.ends_ms}
            for lever in held
            if track.scope in lever.scopes
        ],
    }


def _step(planned: PlannedStep) -> dict[str, Any]:
    step = planned.step
    return {
        "scope": step.scope,
        "number": step.number,
        "from": step.before.value,
        "to": step.after.value,
        "opens": [operation.value for operation in step.opens],
        "allows": [operation.value for operation in operations_of(step.after)],
        "limit_percent": LIMIT_PERCENT[step.after],
        "effect": step.effect,
        "payload": "0x" + step.payload.hex(),
        "calls": [_call(call) for call in step.calls],
        "earliest_ms": planned.earliest_ms,
        "waits": None if planned.waits is None else _waits(planned.waits),
    }


def _waits(waits: Waits) -> dict[str, Any]:
    return {
        "ready": waits.is_ready,
        "approved": waits.is_approved,
        "dwell_left_ms": waits.dwell_left_ms,
        "upstream": list(waits.upstream),
        "beside": list(waits.beside),
        "advice": None if waits.view is None else _view(waits.view),
    }


def _view(view: View) -> dict[str, Any]:
    tally = view.tally
    return {
        "belief_ppm": view.belief_ppm,
        "all_clear_seen": view.all_clear_seen,
        "all_clear_asked": view.all_clear_asked,
        "approvals": None if tally is None else len(tally.operators),
        "approvals_wanted": None if tally is None else tally.wanted,
    }


def _proposal(proposal: Proposal) -> dict[str, Any]:
    return {
        "kind": proposal.kind.value,
        "scope": proposal.scope,
        "by": proposal.by.value,
        "why": proposal.why,
        "calls": [_call(call) for call in proposal.calls],
    }


def _is_about(proposal: Proposal, scopes: Collection[str]) -> bool:
    return any(name in scopes for name in proposal.scope.split(", "))


def _call(call: Call) -> dict[str, str]:
    return {"to": call.target, "data": "0x" + call.data.hex(), "effect": call.effect}
