"""What a witness knows of one log: the head it keeps, heads on the same history, and those that nothing ties to it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..errors import ProofError
from .checkpoint import Checkpoint, decode_checkpoint, verify_checkpoint
from .note import Note, VerifierKey, decode_note, encode_note
from .split_view import SplitView
from .witness import Answer, Growth, judge_growth

MAX_KNOWN_HEADS = 32


class Head(NamedTuple):
    """A checkpoint, and the note of it with the log's signature alone."""

    checkpoint: Checkpoint
    note: bytes


@dataclass(frozen=True, slots=True)
class LogView:
    """One log as a witness sees it.

    `known`: by size, heads that are on the history of the largest of them, the one that is kept.
    `loose`: by who showed it, a head that no path ties to these yet.
    """

    key: VerifierKey
    known: Mapping[int, Head] = field(default_factory=dict)
    loose: Mapping[bytes, Head] = field(default_factory=dict)

    @property
    def kept(self) -> Head | None:
        """The largest head on this history: what goes to disk, and is cosigned."""
        return self.known[max(self.known)] if self.known else None


class Seen(NamedTuple):
    """The log as it is seen from now on, and the proof where it has split."""

    view: LogView
    split: SplitView | None = None


def open_head(data: bytes, key: VerifierKey) -> Head:
    """Verify a head, and leave out what others have signed; raises DecodeError or SignatureError."""
    checkpoint, note = verify_checkpoint(data, [key]).checkpoint, decode_note(data)
    own = next(line for line in note.signatures if (line.name, line.key_id) == (key.name, key.key_id))
    return Head(checkpoint, encode_note(Note(note.text, (own,))))


def see_head(view: LogView, data: bytes, shown_by: bytes) -> Seen:
    """Take a head without a path, from whoever shows it; raises DecodeError or SignatureError."""
    told = decode_checkpoint(decode_note(data).text)
    held = view.known.get(told.size)
    if held is not None and held.checkpoint == told:
        return Seen(replace(view, loose={who: head for who, head in view.loose.items() if who != shown_by}))
    head = open_head(data, view.key)
    if not view.known:
        return Seen(_know(view, head))
    # [LOG] A witness compares each head of a log that it hears of with every one of that size that it knows.
    for other in (*view.loose.values(), *([] if held is None else [held])):
        if other.checkpoint.size == told.size and other.checkpoint.root != told.root:
            return Seen(view, SplitView(other.note, head.note, ()))
    # [LOG] A head that no path ties to the one that is kept is loose: of each who shows such, the newest.
    return Seen(replace(view, loose={**view.loose, shown_by: head}))


def see_growth(view: LogView, growth: Growth, shown_by: bytes) -> Seen:
    """Take a head with a path; raises DecodeError or SignatureError. A path that leads nowhere counts for nothing."""
    view, split = see_head(view, growth.checkpoint, shown_by)
    known = view.known.get(growth.old)
    for base in (*view.loose.values(), *([] if known is None else [known])):
        if split is not None:
            break
        # [LOG] A path is tried against every head that it starts from, those that are loose as well.
        if base.checkpoint.size == growth.old:
            view, split = _try_path(view, base, growth)
    return Seen(view, split)


def next_question(view: LogView) -> int | None:
    """The size from which the log has to show its growth so that a loose head is tied; None where none is loose."""
    sizes = [head.checkpoint.size for head in view.loose.values()]
    if not sizes:
        return None
    # [LOG] It is asked for its growth since the kept head while a loose one is larger, then since the smallest loose.
    largest = max(view.known)
    return largest if max(sizes) > largest else min(sizes)


def _try_path(view: LogView, base: Head, growth: Growth) -> Seen:
    with suppress(ProofError):
        answer, _, split = judge_growth(base.note, growth, view.key)
        if split is not None:
            return Seen(view, split)
        head = open_head(growth.checkpoint, view.key)
        kept = view.kept
        # The larger begins with the smaller: where one is on the kept history, so is the other.
        if answer is Answer.COSIGN and kept is not None:
            if base.checkpoint == kept.checkpoint:
                return Seen(_know(view, head))
            known = view.known.get(head.checkpoint.size)
            if known is not None and known.checkpoint == head.checkpoint:
                return Seen(_know(view, base))
    return Seen(view)


def _know(view: LogView, head: Head) -> LogView:
    known = {**view.known, head.checkpoint.size: head}
    while len(known) > MAX_KNOWN_HEADS:
        del known[min(known)]
    loose = {who: other for who, other in view.loose.items() if other.checkpoint != head.checkpoint}
    return replace(view, known=known, loose=loose)
