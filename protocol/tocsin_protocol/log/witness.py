"""What a witness answers to a log that shows it a new head: it cosigns growth, and proves a split view."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from ..encoding import decode_canonical, encode_canonical
from ..errors import DecodeError, ProofError
from ..fields import bytes_of, list_of, uint_of
from .checkpoint import Checkpoint, verify_checkpoint
from .note import MAX_NOTE_BYTES, VerifierKey
from .proofs import MAX_PROOF_HASHES, roots_of_path
from .split_view import SplitView
from .tree import HASH_BYTES

MAX_GROWTH_BYTES = MAX_NOTE_BYTES + 4096


class Answer(StrEnum):
    """What a witness does about a head."""

    COSIGN = "cosign"
    BEHIND = "behind"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class Growth:
    """A log's new signed head, and the path that shows that it begins with the first `old` entries."""

    old: int
    path: tuple[bytes, ...]
    checkpoint: bytes


class Judgement(NamedTuple):
    """The answer, the head that the witness keeps from now on, and the proof where the log has split."""

    answer: Answer
    kept: bytes
    split: SplitView | None = None


def encode_growth(growth: Growth) -> bytes:
    """The canonical bytes of what a log sends to a witness."""
    return encode_canonical(growth_fields(growth))


def growth_fields(growth: Growth) -> list[object]:
    """A growth as it stands in other messages."""
    return [growth.old, list(growth.path), growth.checkpoint]


def decode_growth(data: bytes) -> Growth:
    """Parse what a log sends; raises DecodeError. Nothing of it counts before `judge_growth`."""
    return growth_of_fields(decode_canonical(data, max_bytes=MAX_GROWTH_BYTES))


def growth_of_fields(fields: Any) -> Growth:
    """Read a growth out of another message; raises DecodeError."""
    old, path, checkpoint = list_of("growth", fields, 3, 3)
    if type(checkpoint) is not bytes:
        raise DecodeError("checkpoint of a growth is not bytes")
    hashes = list_of("path", path, 0, MAX_PROOF_HASHES)
    return Growth(uint_of("old", old), tuple(bytes_of("path", item, HASH_BYTES) for item in hashes), checkpoint)


def judge_growth(kept: bytes | None, growth: Growth, log: VerifierKey) -> Judgement:
    """Say what a witness does that keeps this head of the log; raises DecodeError, SignatureError or ProofError.

    `kept` is the signed checkpoint that the witness has on disk, None where it has none of this log.
    """
    head = verify_checkpoint(growth.checkpoint, [log]).checkpoint
    # [LOG] A witness takes the first head of a log that it sees as it is.
    if kept is None:
        return Judgement(Answer.COSIGN, growth.checkpoint)
    before = verify_checkpoint(kept, [log]).checkpoint
    # [LOG] Of one size it cosigns one root: another one makes a split view with the head that it keeps.
    if head.size == before.size:
        if head.root == before.root:
            return Judgement(Answer.COSIGN, kept)
        return Judgement(Answer.SPLIT, kept, SplitView(kept, growth.checkpoint, ()))
    # [LOG] A head that does not reach, or does not start from, the one that it keeps is answered with that one.
    if head.size < before.size or growth.old != before.size:
        return Judgement(Answer.BEHIND, kept)
    return _judge_path(kept, before, growth, head)


def _judge_path(kept: bytes, before: Checkpoint, growth: Growth, head: Checkpoint) -> Judgement:
    if before.size == 0:
        return Judgement(Answer.COSIGN, growth.checkpoint)
    found_before, found = roots_of_path(before.size, head.size, growth.path)
    if found != head.root:
        raise ProofError(f"the path does not lead to the root of {head.size} entries")
    # [LOG] A larger head is cosigned where its path leads to both roots; to its own and another, it is a split view.
    if found_before != before.root:
        return Judgement(Answer.SPLIT, kept, SplitView(kept, growth.checkpoint, growth.path))
    return Judgement(Answer.COSIGN, growth.checkpoint)
