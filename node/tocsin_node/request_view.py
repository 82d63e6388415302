"""A request to the operators as a JSON object: what it does, who approved, and the typed data that wallets sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin_protocol.approval.request import typed_data

if TYPE_CHECKING:
    from tocsin_protocol.approval.judging import Tally

    from .store.requests import RequestRow
    from .store.rules import Rules


def request_view(rules: Rules, row: RequestRow, tally: Tally, now_ms: int, data: bytes = b"") -> dict[str, Any]:
    """Times in UTC ms, ids in hex. `approved` counts by the policy in force; `waiting_for` may still approve.

    `data` are the bytes that will be used, of which the payload is the digest; a step's calls stand in its plan.
    """
    request, names = row.request, rules.people.approvals.operators
    state = "expired" if row.state == "open" and now_ms >= request.expires_ms else row.state.value
    return {
        "id": row.digest.hex(),
        "state": state,
        "reason": row.reason,
        "purpose": request.purpose.value,
        "effect": request.effect,
        "scope": request.scope,
        "lever": request.lever,
        "target": request.target,
        "tier": request.tier,
        "payload": "0x" + request.payload.hex(),
        "data": "0x" + data.hex() if data else "",
        "incident": request.incident.hex(),
        "epoch": request.epoch,
        "window": request.window,
        "expires_ms": request.expires_ms,
        "asked_ms": row.at_ms,
        "approved": len(tally.operators),
        "wanted": tally.wanted,
        "approved_by": sorted(names[operator] for operator in tally.operators),
        "waiting_for": sorted(names[operator] for operator in tally.waiting_for) if state == "open" else [],
        "typed_data": typed_data(rules.roster.domain.network_id, request),
    }
