"""The heads of our own log that others are shown, and what becomes of it when they show one that it does not have."""

from __future__ import annotations

import sqlite3
from functools import partial

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.errors import ProofError
from tocsin_protocol.log.checkpoint import MAX_GENERATION, Checkpoint, decode_checkpoint
from tocsin_protocol.log.note import MAX_NOTE_SIGNATURES, Note, NoteSignature, decode_note, encode_note
from tocsin_protocol.log.proofs import prove_prefix, range_root
from tocsin_protocol.log.tiles import node_reader
from tocsin_protocol.log.tree import EMPTY_ROOT
from tocsin_protocol.log.witness import Growth

from .audit import append_audit
from .copies import Held, go_on
from .ledger_doubt import raise_doubt
from .record import read_generation, read_head, read_tile, why_spent

MAX_SHOWN_HEADS = 16
# With so few left it is told how many.
FEW_GENERATIONS = 10


def show_head(connection: sqlite3.Connection) -> Growth | None:
    """Note that others are shown the present head; returns how the log has grown since the one before it."""
    note = read_head(connection)
    if note is None:
        return None
    size = _head(note).size
    # [LOG] A head is noted before others are shown it, so that what they ask of it can be answered.
    connection.execute("INSERT OR IGNORE INTO shown_heads VALUES (?, ?)", (size, note))
    rows = connection.execute("SELECT size, note FROM shown_heads ORDER BY size DESC LIMIT ?", (MAX_SHOWN_HEADS,))
    sizes = [row[0] for row in rows]
    connection.execute("DELETE FROM shown_heads WHERE size < ?", (sizes[-1],))
    return read_growth(connection, sizes[1] if len(sizes) > 1 else 0)


def read_growth(connection: sqlite3.Connection, old: int) -> Growth | None:
    """How the log has grown from `old` entries to the head that was shown last; None where it shows none so large."""
    row = connection.execute("SELECT note FROM shown_heads ORDER BY size DESC LIMIT 1").fetchone()
    if row is None or old > (size := _head(row[0]).size):
        return None
    # [LOG] Others are shown heads with the signature of the log alone; who cosigned what is theirs to show.
    note = decode_note(row[0])
    path = prove_prefix(old, size, node_reader(partial(read_tile, connection))) if 0 < old < size else ()
    return Growth(old, path, encode_note(Note(note.text, note.signatures[:1])))


def read_best_shown(connection: sqlite3.Connection, least: int = 0) -> bytes | None:
    """Of the heads of so many entries that were shown last the one that most have cosigned, of those the largest."""
    rows = connection.execute("SELECT note FROM shown_heads WHERE size >= ? ORDER BY size", (least,)).fetchall()
    return max(
        (note for (note,) in rows), key=lambda note: (len(decode_note(note).signatures), _head(note).size), default=None
    )


def read_witnessed(connection: sqlite3.Connection, least: int) -> bytes | None:
    """A signed head over the first `least` entries, where there is one, for those to whom something is proven."""
    # [LOG] What is proven to others is proven under the most cosigned head that holds it, or else the newest.
    note = read_best_shown(connection, least)
    return read_head(connection) if note is None or len(decode_note(note).signatures) == 1 else note


def add_cosignature(connection: sqlite3.Connection, text: str, cosignature: NoteSignature) -> bool:
    """Keep a verified cosignature of a head that was shown, the newest of each witness; False where it is not kept."""
    size = decode_checkpoint(text).size
    row = connection.execute("SELECT note FROM shown_heads WHERE size = ?", (size,)).fetchone()
    if row is None or (note := decode_note(row[0])).text != text:
        return False
    others = [line for line in note.signatures if (line.name, line.key_id) != (cosignature.name, cosignature.key_id)]
    # [LOG] A head is kept with as many cosignatures as a note can hold; those that come later are not.
    if len(others) >= MAX_NOTE_SIGNATURES:
        return False
    connection.execute(
        "UPDATE shown_heads SET note = ? WHERE size = ?", (encode_note(Note(text, (*others, cosignature))), size)
    )
    return True


def has_head(connection: sqlite3.Connection, told: Checkpoint) -> bool:
    """Whether our log has, or had when it was so long, this head."""
    note = read_head(connection)
    if note is None or told.size > _head(note).size:
        return False
    if told.size == 0:
        return told.root == EMPTY_ROOT
    try:
        return range_root(0, told.size, node_reader(partial(read_tile, connection))) == told.root
    except ProofError:
        return False


def begin_anew(connection: sqlite3.Connection, told: Checkpoint, generation: int, now_ms: int) -> str:
    """Others keep a head that our key has signed and our log does not have; returns why the ledger is in doubt.

    Nothing where that is known, and the log has no name left to be begun anew under.
    """
    if why_spent(read_generation(connection)):
        return ""
    why = f"others keep a head of our log with {told.size} entries that it does not have: the database is an older copy"
    # [LOG] A log of whose key others keep a head that it does not have is begun anew under the next generation.
    following = next_generation(connection, generation)
    left = MAX_GENERATION - 1 - following
    if spent := why_spent(following):
        why = f"{why}; and {spent}"
    elif left < FEW_GENERATIONS:
        why = f"{why}; it can be begun anew {left} times more, and then needs another key"
    detail = {"log": why, "size": told.size, "root": told.root, "generation": following}
    append_audit(connection, now_ms, EntryKind.ALARM, b"", detail)
    # [LOG] Its ledger comes into doubt: nothing acts, and nobody is shown a head, until the operator has confirmed it.
    raise_doubt(connection, why, now_ms)
    return why


def next_generation(connection: sqlite3.Connection, generation: int) -> int:
    """Give our log the name of a generation after its own, and after this one; returns it."""
    # [LOG] The last generation is never signed: a log that comes to it stands still, and its node needs other keys.
    following = min(max(read_generation(connection), generation) + 1, MAX_GENERATION)
    connection.execute("UPDATE log_generation SET generation = ?", (following,))
    connection.execute("DELETE FROM shown_heads")
    # The log of a backup waits no more: under a name that nobody has seen it forks nothing.
    go_on(connection, Held.LOG)
    return following


def _head(note: bytes) -> Checkpoint:
    return decode_checkpoint(decode_note(note).text)
