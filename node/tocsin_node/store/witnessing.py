"""The heads of other logs that this node has cosigned: the largest of each, on disk before the cosignature leaves."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from tocsin_protocol.log.note import Cosigner, NoteSignature, VerifierKey, decode_note
from tocsin_protocol.log.split_view import encode_split_view
from tocsin_protocol.log.witness import Answer, Growth, judge_growth


@dataclass(frozen=True, slots=True)
class Witnessed:
    """An answer to a log: the cosignature, the head that we keep of it, or the proof that it has split."""

    answer: Answer
    kept: bytes
    cosignature: NoteSignature | None = None
    split: bytes = b""


def witness_growth(
    connection: sqlite3.Connection, growth: Growth, log: VerifierKey, cosigner: Cosigner, now_s: int
) -> Witnessed:
    """Judge a head in the caller's transaction, which has to be on disk before the answer is sent.

    Raises DecodeError, SignatureError or ProofError.
    """
    row = connection.execute("SELECT note, split FROM witnessed WHERE origin = ?", (log.name,)).fetchone()
    kept, split = row or (None, b"")
    # [LOG] A log that was proven to have split is cosigned no more; the proof is the answer.
    if kept is not None and split:
        return Witnessed(Answer.SPLIT, kept, split=split)
    judged = judge_growth(kept, growth, log)
    proof = encode_split_view(judged.split) if judged.split is not None else b""
    # [LOG] The largest head of each log is kept, in the transaction that is on disk before its cosignature leaves.
    connection.execute("INSERT OR REPLACE INTO witnessed VALUES (?, ?, ?)", (log.name, judged.kept, proof))
    if judged.answer is not Answer.COSIGN:
        return Witnessed(judged.answer, judged.kept, split=proof)
    text = decode_note(growth.checkpoint).text
    return Witnessed(Answer.COSIGN, judged.kept, cosigner.cosign(text, now_s))


def read_witnessed(connection: sqlite3.Connection, origin: str) -> bytes | None:
    """The largest signed head that we have seen of a log."""
    row = connection.execute("SELECT note FROM witnessed WHERE origin = ?", (origin,)).fetchone()
    return None if row is None else row[0]
