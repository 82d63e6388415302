"""One use of a hook, from durable intent to a known end.

Intent is durable before anything is signed, the signed bytes are durable before anything is sent, and one key
(hook, target, arm epoch) has one action: so whatever dies when, there is at most one effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from .ledger import LEDGER_ID_BYTES
from .life_cycle import SETTLED, UNSIGNED, ContainmentError, Event, State, advance

MAX_TRANSACTIONS = 8
"""Signed transactions of one action, all of one nonce: the first and its fee bumps."""
MAX_APPROVALS = 32
"""Approvals of one action."""
MAX_REASON_CHARS = 400
EXPIRY_NOTICE_MS = 5 * 60 * 1000
"""An action is expiring from this long before its end, or for the last third of its time where that is less: time to
look, to hold, or to reopen."""
_INTENT_DOMAIN = b"tocsin/intent/1"


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
    was not sent is too old to send. `ends_ms` is when its effect should be over, None where it has nothing to end.
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
    ends_ms: int | None = None
    state: State = State.PLANNED
    approvals: tuple[bytes, ...] = ()
    transactions: tuple[SignedTransaction, ...] = ()
    attempts: int = 0
    block_number: int | None = None
    block_hash: bytes | None = None
    included_hash: bytes | None = None
    was_included: bool = False
    reason: str = ""

    @property
    def is_unsigned(self) -> bool:
        """Whether nothing of it is signed or sent yet."""
        return self.state in UNSIGNED

    @property
    def is_settled(self) -> bool:
        """Whether its hook has nothing left to do; its end may still come, and a reorg may undo it."""
        return self.state in SETTLED

    @property
    def expires_ms(self) -> int | None:
        """From when on it is expiring, None where it has nothing to end."""
        if self.ends_ms is None:
            return None
        return self.ends_ms - min(EXPIRY_NOTICE_MS, (self.ends_ms - self.created_ms) // 3)


class IntentVerdict(StrEnum):
    """What a new intent is beside the one its key already has."""

    NEW = "new"
    SAME = "same"
    CONFLICT = "conflict"


def intent_key(ledger: bytes, hook: str, target: str, arm_epoch: int) -> bytes:
    """Return the 32 bytes that name the one action this (hook, target, arm epoch) of a ledger may have."""
    if len(ledger) != LEDGER_ID_BYTES:
        raise ContainmentError(f"ledger: an id of {len(ledger)} bytes where {LEDGER_ID_BYTES} are wanted")
    if type(arm_epoch) is not int or not 0 <= arm_epoch < 2**64:
        raise ContainmentError(f"arm epoch: {arm_epoch!r} is not an integer of 64 bits")
    # [ACT] The id of an action is made of its ledger's id and its key: no other ledger gives the same.
    digest = hashlib.sha256(_INTENT_DOMAIN)
    for part in (ledger, hook.encode(), target.encode(), arm_epoch.to_bytes(8, "big")):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def new_action(
    *,
    ledger: bytes,
    hook: str,
    target: str,
    arm_epoch: int,
    incident_id: bytes,
    decision_id: bytes,
    payload: bytes,
    created_ms: int,
    deadline_ms: int,
    ends_ms: int | None = None,
) -> Action:
    """Build an intent of the ledger of that id; the store and a webhook's receiver know it by the same id."""
    return Action(
        action_id=intent_key(ledger, hook, target, arm_epoch),
        hook=hook,
        target=target,
        arm_epoch=arm_epoch,
        incident_id=incident_id,
        decision_id=decision_id,
        payload=payload,
        created_ms=created_ms,
        deadline_ms=deadline_ms,
        ends_ms=ends_ms,
    )


def judge_intent(existing: Action | None, new: Action) -> IntentVerdict:
    """Say whether `new` starts something, repeats what its key already did, or contradicts it.

    Only the payload counts: a fresh incident or decision id does not fire a lever twice.
    """
    # [ACT] One key (hook, target, arm epoch) has one action: the same payload is the same, any other is refused.
    if existing is None:
        return IntentVerdict.NEW
    if existing.action_id != new.action_id:
        raise ContainmentError("intent: compared with an action of another key")
    return IntentVerdict.SAME if existing.payload == new.payload else IntentVerdict.CONFLICT


Detail = Mapping[str, int | str | bytes]
"""What an event carries: approval (APPROVE), the bytes that were checked; raw, hash, nonce, max_fee_wei,
priority_fee_wei (SIGN); block_number, block_hash, hash (INCLUDE); reason (any)."""


def apply_event(action: Action, event: Event, detail: Detail) -> Action:
    """Return the action after `event`; pure, so a journal may store actions, events or both.

    Raises ContainmentError for an impossible event, a missing detail, or a second nonce.
    """
    after = replace(action, state=advance(action.state, event))
    if "reason" in detail:
        after = replace(after, reason=_text(detail, "reason")[:MAX_REASON_CHARS])
    if event is Event.APPROVE:
        if len(action.approvals) >= MAX_APPROVALS:
            raise ContainmentError(f"action: more than {MAX_APPROVALS} approvals")
        return replace(after, approvals=(*action.approvals, _octets(detail, "approval")))
    if event is Event.SIGN:
        return replace(after, transactions=(*action.transactions, _read_transaction(action, detail)))
    if event is Event.SEND:
        return replace(after, attempts=action.attempts + 1)
    if event is Event.INCLUDE:
        return replace(
            after,
            block_number=_integer(detail, "block_number"),
            block_hash=_octets(detail, "block_hash"),
            included_hash=_octets(detail, "hash"),
            was_included=True,
        )
    if event is Event.REORG:
        return replace(after, block_number=None, block_hash=None, included_hash=None)
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
        # [ACT] All transactions of an action have one nonce, so at most one of them has an effect.
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
