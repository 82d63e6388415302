"""Whether a ledger of actions is the one that acted last, told from a small mark that is kept outside of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from ..encoding import decode_canonical, encode_canonical
from ..errors import DecodeError
from ..fields import map_of

LEDGER_ID_BYTES = 16
SLOT_BYTES = 16 * 1024
"""Half of an anchor; a mark of two hundred hooks fits."""
_HASH_BYTES = 32
_HEAD_BYTES = _HASH_BYTES + 8 + 4


@dataclass(frozen=True, slots=True)
class LedgerMark:
    """How far a ledger has come: which one it is, its count of armings and first steps, and each hook's arm epoch."""

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
    fields = map_of("anchor", decode_canonical(data, max_bytes=SLOT_BYTES), ("epochs", "ledger", "sequence"))
    epochs, ledger, sequence = fields["epochs"], fields["ledger"], fields["sequence"]
    if type(ledger) is not bytes or len(ledger) != LEDGER_ID_BYTES:
        raise DecodeError(f"anchor.ledger: {ledger!r} where {LEDGER_ID_BYTES} bytes are wanted")
    if type(sequence) is not int or sequence < 0:
        raise DecodeError(f"anchor.sequence: {sequence!r} where a count is wanted")
    if type(epochs) is not dict or not all(type(epoch) is int and epoch >= 0 for epoch in epochs.values()):
        raise DecodeError("anchor.epochs: a map from hooks to arm epochs is wanted")
    return LedgerMark(ledger, sequence, tuple(sorted(epochs.items())))


def new_anchor(mark: LedgerMark) -> bytes:
    """The bytes of an anchor that tells of a mark: two slots, of which one is empty. Raises DecodeError."""
    return _encode_slot(mark, 1).ljust(2 * SLOT_BYTES, b"\0")


def next_slot(anchor: bytes, mark: LedgerMark) -> tuple[int, bytes]:
    """Where in an anchor to write a mark, and what; the newest one stays whole meanwhile. Raises DecodeError."""
    generation, slot, _ = _newest(anchor)
    return (1 - slot) * SLOT_BYTES, _encode_slot(mark, generation + 1)


def read_newest(anchor: bytes) -> LedgerMark:
    """The newest mark that was written whole; raises DecodeError where none was."""
    return decode_mark(_newest(anchor)[2])


def _encode_slot(mark: LedgerMark, generation: int) -> bytes:
    data = encode_mark(mark)
    if _HEAD_BYTES + len(data) > SLOT_BYTES:
        raise DecodeError(f"anchor: a mark of {len(data)} bytes where {SLOT_BYTES - _HEAD_BYTES} are the most")
    rest = generation.to_bytes(8, "big") + len(data).to_bytes(4, "big") + data
    return hashlib.sha256(rest).digest() + rest


def _newest(anchor: bytes) -> tuple[int, int, bytes]:
    """(generation, slot, mark) of the newest whole slot."""
    whole = []
    for slot in (0, 1):
        head = anchor[slot * SLOT_BYTES : slot * SLOT_BYTES + _HEAD_BYTES]
        size = int.from_bytes(head[-4:], "big")
        rest = anchor[slot * SLOT_BYTES + _HASH_BYTES : slot * SLOT_BYTES + _HEAD_BYTES + size]
        if head[:_HASH_BYTES] == hashlib.sha256(rest).digest():
            whole.append((int.from_bytes(rest[:8], "big"), slot, rest[12:]))
    if not whole:
        raise DecodeError("anchor: neither of its slots is whole")
    return max(whole)
