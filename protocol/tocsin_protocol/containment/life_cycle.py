"""The life-cycle of a containment action: every state, every event, and the one table that ties them together."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ..errors import ProtocolError


class ContainmentError(ProtocolError):
    """A transition or a detail that the life-cycle does not allow; the message names it."""


class State(StrEnum):
    """Where an action is."""

    PLANNED = "planned"
    AWAITING_APPROVAL = "awaiting-approval"
    PREFLIGHT = "preflight"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    INCLUDED = "included"
    EFFECTIVE = "effective"
    EXPIRING = "expiring"
    LIFTED = "lifted"
    REVERTED = "reverted"
    REFUSED = "refused"
    FAILED = "failed"
    LAPSED = "lapsed"
    DECLINED = "declined"
    UNKNOWN = "unknown"


class Event(StrEnum):
    """What happened to an action."""

    ASK = "ask"
    APPROVE = "approve"
    GRANT = "grant"
    DECLINE = "decline"
    CHECK = "check"
    SIGN = "sign"
    SEND = "send"
    INCLUDE = "include"
    REORG = "reorg"
    CONFIRM = "confirm"
    EXPIRE = "expire"
    LIFT = "lift"
    REVERT = "revert"
    REFUSE = "refuse"
    FAIL = "fail"
    LAPSE = "lapse"
    LOSE = "lose"


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    # [ACT] What awaits approval is not signed; it lapses where nobody grants it in time.
    (State.PLANNED, Event.ASK): State.AWAITING_APPROVAL,
    (State.AWAITING_APPROVAL, Event.APPROVE): State.AWAITING_APPROVAL,
    (State.AWAITING_APPROVAL, Event.GRANT): State.PREFLIGHT,
    (State.AWAITING_APPROVAL, Event.DECLINE): State.DECLINED,
    (State.AWAITING_APPROVAL, Event.LAPSE): State.LAPSED,
    # The look before signing has a record of its own only while it waits for an endpoint.
    (State.PLANNED, Event.CHECK): State.PREFLIGHT,
    # [ACT] Signed bytes are durable before they are sent, and are sent unchanged as often as it takes.
    (State.PLANNED, Event.SIGN): State.SIGNED,
    (State.PREFLIGHT, Event.SIGN): State.SIGNED,
    (State.SIGNED, Event.SEND): State.BROADCAST,
    (State.BROADCAST, Event.SEND): State.BROADCAST,
    # A bump: another transaction of the same nonce, so still one effect.
    (State.SIGNED, Event.SIGN): State.SIGNED,
    (State.BROADCAST, Event.SIGN): State.SIGNED,
    # In a block, whatever its status; the status counts once the block has held.
    (State.SIGNED, Event.INCLUDE): State.INCLUDED,
    (State.BROADCAST, Event.INCLUDE): State.INCLUDED,
    (State.INCLUDED, Event.CONFIRM): State.EFFECTIVE,
    (State.INCLUDED, Event.REVERT): State.REVERTED,
    # A message: sent, then answered.
    (State.PLANNED, Event.SEND): State.BROADCAST,
    (State.PREFLIGHT, Event.SEND): State.BROADCAST,
    (State.BROADCAST, Event.CONFIRM): State.EFFECTIVE,
    # [ACT] A reorg takes back whatever is on chain, however long it has held.
    (State.INCLUDED, Event.REORG): State.BROADCAST,
    (State.EFFECTIVE, Event.REORG): State.BROADCAST,
    (State.EXPIRING, Event.REORG): State.BROADCAST,
    (State.REVERTED, Event.REORG): State.BROADCAST,
    # [ACT] An effect is over when the contract or the operators have lifted it, and never by the time alone.
    (State.EFFECTIVE, Event.EXPIRE): State.EXPIRING,
    (State.EFFECTIVE, Event.LIFT): State.LIFTED,
    (State.EXPIRING, Event.LIFT): State.LIFTED,
    # Ends without an effect of ours.
    (State.PLANNED, Event.REFUSE): State.REFUSED,
    (State.PREFLIGHT, Event.REFUSE): State.REFUSED,
    (State.PLANNED, Event.LAPSE): State.LAPSED,
    (State.PREFLIGHT, Event.LAPSE): State.LAPSED,
    (State.PLANNED, Event.FAIL): State.FAILED,
    (State.PREFLIGHT, Event.FAIL): State.FAILED,
    (State.SIGNED, Event.FAIL): State.FAILED,
    (State.BROADCAST, Event.FAIL): State.FAILED,
    # [ACT] An unknown outcome is left only by what the chain or people say, or by sending the same bytes again.
    (State.SIGNED, Event.LOSE): State.UNKNOWN,
    (State.BROADCAST, Event.LOSE): State.UNKNOWN,
    (State.INCLUDED, Event.LOSE): State.UNKNOWN,
    (State.UNKNOWN, Event.SEND): State.BROADCAST,
    (State.UNKNOWN, Event.INCLUDE): State.INCLUDED,
    (State.UNKNOWN, Event.CONFIRM): State.EFFECTIVE,
    (State.UNKNOWN, Event.FAIL): State.FAILED,
}

UNSIGNED = frozenset({State.PLANNED, State.AWAITING_APPROVAL, State.PREFLIGHT})
"""Nothing of it is signed or sent: what the operator takes back here is never done."""
FINAL = frozenset({State.LIFTED, State.REFUSED, State.FAILED, State.LAPSED, State.DECLINED})
"""States that nothing leaves."""
SETTLED = FINAL | {State.EFFECTIVE, State.EXPIRING, State.REVERTED}
"""States in which the hook has nothing left to do. UNKNOWN is not one of them: it waits to be reconciled, for as long
as that takes."""
WITHOUT_EFFECT = frozenset({State.REFUSED, State.FAILED, State.LAPSED, State.DECLINED, State.REVERTED})
"""States that say that nothing came of it."""


def advance(state: State, event: Event) -> State:
    """Return the state after `event`.

    Raises ContainmentError for an event that the table does not have in that state.
    """
    after = TRANSITIONS.get((state, event))
    if after is None:
        raise ContainmentError(f"action: event {event.value} is not possible in state {state.value}")
    return after
