"""The life of one containment action, from durable intent to a known end.

Intent is durable before anything is signed, the signed bytes are durable before anything is sent, and one key
(hook, target, arm epoch) has one action: so whatever dies when, there is at most one effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from .errors import ProtocolError

MAX_TRANSACTIONS = 8
"""Signed transactions of one action, all of one nonce: the first and its fee bumps."""
MAX_REASON_CHARS = 400
_INTENT_DOMAIN = b"tocsin/intent/1"


class ContainmentError(ProtocolError):
    """A transition or a detail that the life-cycle does not allow; the message names it."""


class State(StrEnum):
    """Where an action is."""

    INTENDED = "intended"
    SIGNED = "signed"
    BROADCAST = "broadcast"
    MINED = "mined"
    CONFIRMED = "confirmed"
    REVERTED = "reverted"
    REFUSED = "refused"
    FAILED = "failed"
    LAPSED = "lapsed"
    UNKNOWN = "unknown"


class Event(StrEnum):
    """What happened to an action."""

    SIGN = "sign"
    SEND = "send"
    INCLUDE = "include"
    REORG = "reorg"
    CONFIRM = "confirm"
    REVERT = "revert"
    REFUSE = "refuse"
    FAIL = "fail"
    LAPSE = "lapse"
    LOSE = "lose"


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    # A transaction: sign once durable, then send the same bytes as often as it takes.
    (State.INTENDED, Event.SIGN): State.SIGNED,
    (State.SIGNED, Event.SEND): State.BROADCAST,
    (State.BROADCAST, Event.SEND): State.BROADCAST,
    # A bump: another transaction of the same nonce, so still one effect.
    (State.SIGNED, Event.SIGN): State.SIGNED,
    (State.BROADCAST, Event.SIGN): State.SIGNED,
    # In a block, whatever its status; the status counts once the block has held.
    (State.SIGNED, Event.INCLUDE): State.MINED,
    (State.BROADCAST, Event.INCLUDE): State.MINED,
    (State.MINED, Event.REORG): State.BROADCAST,
    (State.MINED, Event.CONFIRM): State.CONFIRMED,
    (State.MINED, Event.REVERT): State.REVERTED,
    # A webhook: sent, then answered.
    (State.INTENDED, Event.SEND): State.BROADCAST,
    (State.BROADCAST, Event.CONFIRM): State.CONFIRMED,
    # Ends without an effect of ours.
    (State.INTENDED, Event.REFUSE): State.REFUSED,
    (State.INTENDED, Event.LAPSE): State.LAPSED,
    (State.INTENDED, Event.FAIL): State.FAILED,
    (State.SIGNED, Event.FAIL): State.FAILED,
    (State.BROADCAST, Event.FAIL): State.FAILED,
    # Not known: leaves only by what the chain says, or by sending the same bytes again.
    (State.SIGNED, Event.LOSE): State.UNKNOWN,
    (State.BROADCAST, Event.LOSE): State.UNKNOWN,
    (State.MINED, Event.LOSE): State.UNKNOWN,
    (State.UNKNOWN, Event.SEND): State.BROADCAST,
    (State.UNKNOWN, Event.INCLUDE): State.MINED,
    (State.UNKNOWN, Event.FAIL): State.FAILED,
}

FINAL = frozenset({State.CONFIRMED, State.REVERTED, State.REFUSED, State.FAILED, State.LAPSED})
"""States that nothing leaves. UNKNOWN is not one of them: it waits to be reconciled, for as long as that takes."""


def advance(state: State, event: Event) -> State:
    """Return the state after `event`.

    Raises ContainmentError for an event that the table does not have in that state.
    """
    after = TRANSITIONS.get((state, event))
    if after is None:
        raise ContainmentError(f"action: event {event.value} is not possible in state {state.value}")
    return after


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """The bytes that are sent, unchanged, as often as it takes. Fees in wei per gas."""

    raw: bytes
    hash: bytes
    nonce: int
    max_fee_wei: int
    priority_fee_wei: int


@dataclass(frozen=True, slots=True)
class Action:
    """One use of a hook, with everything needed to take it up again after a crash.

    `payload` is the calldata of a transaction or the body of a webhook; past `deadline_ms` an action that
    was not sent is too old to send.
    """

    action_id: bytes
    hook: str
    target: str
    arm_epoch: int
    incident_id: bytes
    decision_id: bytes
    payload: bytes
    created_ms: int
    deadline_ms: int
    state: State = State.INTENDED
    transactions: tuple[SignedTransaction, ...] = ()
    attempts: int = 0
    block_number: int | None = None
    block_hash: bytes | None = None
    mined_hash: bytes | None = None
    reason: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to it."""
        return self.state in FINAL


class IntentVerdict(StrEnum):
    """What a new intent is beside the one its key already has."""

    NEW = "new"
    SAME = "same"
    CONFLICT = "conflict"


def intent_key(hook: str, target: str, arm_epoch: int) -> bytes:
    """Return the 32 bytes that name the one action this (hook, target, arm epoch) may have."""
    if type(arm_epoch) is not int or not 0 <= arm_epoch < 2**64:
        raise ContainmentError(f"arm epoch: {arm_epoch!r} is not an integer of 64 bits")
    digest = hashlib.sha256(_INTENT_DOMAIN)
    for part in (hook.encode(), target.encode(), arm_epoch.to_bytes(8, "big")):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def new_action(
    *,
    hook: str,
    target: str,
    arm_epoch: int,
    incident_id: bytes,
    decision_id: bytes,
    payload: bytes,
    created_ms: int,
    deadline_ms: int,
) -> Action:
    """Build an intent; its id is its key, so the store's UNIQUE and a webhook's id are the same thing."""
    return Action(
        action_id=intent_key(hook, target, arm_epoch),
        hook=hook,
        target=target,
        arm_epoch=arm_epoch,
        incident_id=incident_id,
        decision_id=decision_id,
        payload=payload,
        created_ms=created_ms,
        deadline_ms=deadline_ms,
    )


def judge_intent(existing: Action | None, new: Action) -> IntentVerdict:
    """Say whether `new` starts something, repeats what its key already did, or contradicts it.

    Only the payload counts: a fresh incident or decision id does not fire a lever twice.
    """
    if existing is None:
        return IntentVerdict.NEW
    if existing.action_id != new.action_id:
        raise ContainmentError("intent: compared with an action of another key")
    return IntentVerdict.SAME if existing.payload == new.payload else IntentVerdict.CONFLICT


Detail = Mapping[str, int | str | bytes]
"""What an event carries: raw, hash, nonce, max_fee_wei, priority_fee_wei (SIGN); block_number, block_hash,
hash (INCLUDE); reason (any)."""


def apply_event(action: Action, event: Event, detail: Detail) -> Action:
    """Return the action after `event`; pure, so a journal may store actions, events or both.

    Raises ContainmentError for an impossible event, a missing detail, or a second nonce.
    """
    after = replace(action, state=advance(action.state, event))
    if "reason" in detail:
        after = replace(after, reason=_text(detail, "reason")[:MAX_REASON_CHARS])
    if event is Event.SIGN:
        return replace(after, transactions=(*action.transactions, _read_transaction(action, detail)))
    if event is Event.SEND:
        return replace(after, attempts=action.attempts + 1)
    if event is Event.INCLUDE:
        return replace(
            after,
            block_number=_integer(detail, "block_number"),
            block_hash=_octets(detail, "block_hash"),
            mined_hash=_octets(detail, "hash"),
        )
    if event is Event.REORG:
        return replace(after, block_number=None, block_hash=None, mined_hash=None)
    return after


def _read_transaction(action: Action, detail: Detail) -> SignedTransaction:
    signed = SignedTransaction(
        raw=_octets(detail, "raw"),
        hash=_octets(detail, "hash"),
        nonce=_integer(detail, "nonce"),
        max_fee_wei=_integer(detail, "max_fee_wei"),
        priority_fee_wei=_integer(detail, "priority_fee_wei"),
    )
    if action.transactions and action.transactions[0].nonce != signed.nonce:
        # A second nonce would be a second effect.
        raise ContainmentError(f"action: nonce {signed.nonce} where {action.transactions[0].nonce} is signed")
    if len(action.transactions) >= MAX_TRANSACTIONS:
        raise ContainmentError(f"action: more than {MAX_TRANSACTIONS} signed transactions")
    return signed


def _integer(detail: Detail, key: str) -> int:
    value = detail.get(key)
    if type(value) is not int:
        raise ContainmentError(f"action detail {key}: {value!r} where an integer is wanted")
    return value


def _octets(detail: Detail, key: str) -> bytes:
    value = detail.get(key)
    if type(value) is not bytes:
        raise ContainmentError(f"action detail {key}: {value!r} where bytes are wanted")
    return value


def _text(detail: Detail, key: str) -> str:
    value = detail.get(key)
    if type(value) is not str:
        raise ContainmentError(f"action detail {key}: {value!r} where text is wanted")
    return value
