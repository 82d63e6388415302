"""What a witness has cosigned is on disk, and it never cosigns two histories of one log, restarted or not."""

from __future__ import annotations

import sqlite3

import pytest
from log_kit import LOG_KEY, TIME_S, entries, growth_of, head_of, signed
from tocsin_node.store.witnessing import Witnessed, read_witnessed, witness_growth
from tocsin_node.store.writer import Store
from tocsin_protocol.errors import ProofError
from tocsin_protocol.log.checkpoint import verify_checkpoint
from tocsin_protocol.log.note import Cosigner, Note, decode_note, encode_note
from tocsin_protocol.log.split_view import decode_split_view, verify_split_view
from tocsin_protocol.log.witness import Answer, Growth

US = Cosigner(b"\x44" * 32, "tocsin.example/brook")


def ask(connection: sqlite3.Connection, told: Growth, now_s: int = TIME_S) -> Witnessed:
    return witness_growth(connection, told, LOG_KEY, US, now_s)


def test_a_cosignature_holds_beside_the_logs_own(database: sqlite3.Connection) -> None:
    told = growth_of(0, entries(5))
    answer = ask(database, told)
    assert answer.cosignature is not None
    note = decode_note(told.checkpoint)
    head = verify_checkpoint(encode_note(Note(note.text, (*note.signatures, answer.cosignature))), [LOG_KEY], [US.key])
    assert head.cosigned[US.key].timestamp_s == TIME_S
    assert read_witnessed(database, LOG_KEY.name) == told.checkpoint


def test_only_growth_is_cosigned_and_the_largest_head_is_kept(database: sqlite3.Connection) -> None:
    for old, size in ((0, 5), (5, 5), (5, 9), (9, 300)):
        assert ask(database, growth_of(old, entries(size))).answer is Answer.COSIGN
        assert read_witnessed(database, LOG_KEY.name) == signed(head_of(entries(size)))
    behind = ask(database, growth_of(5, entries(9)))
    assert (behind.answer, behind.kept, behind.cosignature) == (Answer.BEHIND, signed(head_of(entries(300))), None)


def test_a_log_that_split_is_cosigned_no_more_and_the_proof_is_kept(database: sqlite3.Connection) -> None:
    ask(database, growth_of(0, entries(5)))
    forked = [b"another", *entries(9)[1:]]
    for told in (growth_of(5, forked), growth_of(5, entries(9)), growth_of(5, entries(5))):
        answer = ask(database, told)
        assert (answer.answer, answer.cosignature, answer.kept) == (Answer.SPLIT, None, signed(head_of(entries(5))))
        verify_split_view(decode_split_view(answer.split), LOG_KEY)


def test_what_proves_nothing_changes_nothing(database: sqlite3.Connection) -> None:
    ask(database, growth_of(0, entries(5)))
    with pytest.raises(ProofError):
        ask(database, Growth(5, (), signed(head_of(entries(9)))))
    assert read_witnessed(database, LOG_KEY.name) == signed(head_of(entries(5)))
    assert ask(database, growth_of(5, entries(9))).answer is Answer.COSIGN


async def test_the_head_is_on_disk_when_the_cosignature_leaves(store: Store) -> None:
    answer = await store.writer.submit(lambda connection: ask(connection, growth_of(0, entries(5))))
    assert answer.answer is Answer.COSIGN
    assert await store.writer.submit(lambda c: read_witnessed(c, LOG_KEY.name)) == signed(head_of(entries(5)))
