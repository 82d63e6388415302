"""What the state of an action means for the operator, and what he does next, in words for the middle of the night."""

from __future__ import annotations

from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import State

_MINUTE_MS = 60_000

_WORDS = {
    State.PLANNED: "Decided, nothing sent yet. Nothing to do.",
    State.AWAITING_APPROVAL: "Waits for people: approve it or decline it (tocsin approve list), or it lapses.",
    State.PREFLIGHT: "Nothing sent yet: it waits for an endpoint of its chain. If it stays, look at the endpoints.",
    State.SIGNED: "On its way. Nothing to do.",
    State.BROADCAST: "Sent, not in a block or not answered yet. The node sends it again. Nothing to do.",
    State.INCLUDED: "In a block that has yet to hold. Nothing to do.",
    State.EFFECTIVE: "In effect. Decide whether to hold it or to reopen before its end: tocsin recover {incident}",
    State.EXPIRING: "In effect. When you have lifted it, say so with: tocsin ledger lifted {id}",
    State.LIFTED: "Over. Arm the hook anew if it should fire again.",
    State.REVERTED: "It failed on chain and has no effect. Contain by hand, then look at the guardian's role and gas.",
    State.REFUSED: "Not sent: the chain said that it would fail. See whether the target is contained already.",
    State.FAILED: "It can have no effect any more. Contain by hand if the target is not contained.",
    State.LAPSED: "Not sent: too late, or taken back. Contain by hand if it is still needed.",
    State.DECLINED: "Not sent: the operators said no.",
    State.UNKNOWN: "There may be an effect. Look at the target, and tell what you see: tocsin ledger settle {id}",
}


def next_step(action: Action) -> str:
    """What the operator does about an action."""
    if action.state is State.EFFECTIVE and action.ends_ms is None:
        return "Done. It has nothing to end."
    return _WORDS[action.state].format(id=action.action_id.hex()[:12], incident=action.incident_id.hex()[:12])


def end_text(action: Action, now_ms: int) -> str:
    """When the effect of an action ends, told from now; nothing where it has none or it is over."""
    if action.ends_ms is None or action.state not in (State.EFFECTIVE, State.EXPIRING):
        return ""
    left = action.ends_ms - now_ms
    return f"in {left // _MINUTE_MS} min" if left > 0 else f"{-left // _MINUTE_MS} min ago"
