"""Whether a ledger of actions is the one that acted last, told from a small mark that is kept outside of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..encoding import decode_canonical, encode_canonical
from ..errors import DecodeError
from ..fields import map_of

LEDGER_ID_BYTES = 16
MAX_ANCHOR_BYTES = 64 * 1024
"""A mark as it is written; far above a thousand hooks."""


@dataclass(frozen=True, slots=True)
class LedgerMark:
    """How far a ledger has come: which one it is, its count of intents and armings, and each hook's arm epoch."""

    ledger: bytes
    sequence: int
    epochs: tuple[tuple[str, int], ...]


class LedgerStanding(StrEnum):
    """What a ledger is beside its anchor. Only a FRESH or a CONTINUOUS one may act."""

    FRESH = "fresh"
    CONTINUOUS = "continuous"
    UNANCHORED = "unanchored"
    EMPTIED = "emptied"
    OLDER = "older"
    FOREIGN = "foreign"


MAY_ACT = frozenset({LedgerStanding.FRESH, LedgerStanding.CONTINUOUS})
"""The standings in which nobody has to be asked."""


def judge_ledger(anchor: LedgerMark | None, found: LedgerMark) -> LedgerStanding:
    """Say what the ledger that was found is, beside the anchor that was written by whatever acted last."""
    # [LEDGER] A ledger and an anchor of which neither has counted anything are fresh, and need nobody's word.
    if found.sequence == 0 and (anchor is None or anchor.sequence == 0):
        return LedgerStanding.FRESH
    # [LEDGER] A ledger that has counted something, and has no anchor that can be read, is unanchored.
    if anchor is None:
        return LedgerStanding.UNANCHORED
    # [LEDGER] A ledger of another id than its anchor's is foreign, and emptied where it has counted nothing.
    if anchor.ledger != found.ledger:
        return LedgerStanding.EMPTIED if found.sequence == 0 else LedgerStanding.FOREIGN
    # [LEDGER] A ledger whose count, or a hook's arm epoch, is below its anchor's is an older copy.
    epochs = dict(found.epochs)
    if anchor.sequence > found.sequence or any(epochs.get(hook, 0) < epoch for hook, epoch in anchor.epochs):
        return LedgerStanding.OLDER
    # [LEDGER] A ledger at or above its anchor is continuous: a crash may come before the anchor is written.
    return LedgerStanding.CONTINUOUS


def join_marks(anchor: LedgerMark | None, found: LedgerMark, new_id: bytes) -> LedgerMark:
    """Return where a confirmed ledger goes on: under a new id, and above everything that either mark has seen."""
    # [LEDGER] A confirmed ledger has a new id, and counts and epochs above those of the anchor and its own.
    epochs = dict(found.epochs)
    for hook, epoch in anchor.epochs if anchor else ():
        epochs[hook] = max(epoch, epochs.get(hook, 0))
    sequence = max(found.sequence, anchor.sequence if anchor else 0) + 1
    return LedgerMark(new_id, sequence, tuple(sorted(epochs.items())))


def encode_mark(mark: LedgerMark) -> bytes:
    """The bytes of a mark."""
    return encode_canonical({"epochs": dict(mark.epochs), "ledger": mark.ledger, "sequence": mark.sequence})


def decode_mark(data: bytes) -> LedgerMark:
    """Read a mark; raises DecodeError naming what is wrong."""
    fields = map_of("anchor", decode_canonical(data, max_bytes=MAX_ANCHOR_BYTES), ("epochs", "ledger", "sequence"))
    epochs, ledger, sequence = fields["epochs"], fields["ledger"], fields["sequence"]
    if type(ledger) is not bytes or len(ledger) != LEDGER_ID_BYTES:
        raise DecodeError(f"anchor.ledger: {ledger!r} where {LEDGER_ID_BYTES} bytes are wanted")
    if type(sequence) is not int or sequence < 0:
        raise DecodeError(f"anchor.sequence: {sequence!r} where a count is wanted")
    if type(epochs) is not dict or not all(type(epoch) is int and epoch >= 0 for epoch in epochs.values()):
        raise DecodeError("anchor.epochs: a map from hooks to arm epochs is wanted")
    return LedgerMark(ledger, sequence, tuple(sorted(epochs.items())))
