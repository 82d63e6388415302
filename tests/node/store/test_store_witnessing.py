"""What a witness keeps of others' logs, and what it showed of its own, is on disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from log_kit import LOG_KEY, entries, growth_of, head_of, signed, split_of
from protocol_kit import NETWORK_ID, NOW_MS, Feed
from store_kit import LOG_SECRET, OWN
from tocsin_node.errors import ControlError
from tocsin_node.record.proving import Prover
from tocsin_node.relay.log_desk import LogDesk
from tocsin_node.store.audit import append_audit
from tocsin_node.store.database import StoreError
from tocsin_node.store.ledger import read_doubt
from tocsin_node.store.log_files import StoreLog
from tocsin_node.store.record import read_generation, read_head
from tocsin_node.store.shown_heads import (
    MAX_SHOWN_HEADS,
    add_cosignature,
    begin_anew,
    has_head,
    read_best_shown,
    read_growth,
    show_head,
)
from tocsin_node.store.witnessing import keep_heads, read_kept, read_kept_head
from tocsin_node.store.writer import Job, Store, _commit
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.log.bundle import verify_proof_bundle
from tocsin_protocol.log.checkpoint import MAX_GENERATION, Checkpoint, decode_checkpoint, origin_of, verify_checkpoint
from tocsin_protocol.log.note import MAX_NOTE_SIGNATURES, Cosigner, Note, decode_note, encode_note
from tocsin_protocol.log.trust import TrustPolicy
from tocsin_protocol.log.watch import LogView, see_growth, see_head
from tocsin_protocol.log.witness import Answer, judge_growth

BROOK = b"\x22" * 20
US = origin_of(NETWORK_ID, Feed(OWN).publisher)


def test_the_largest_head_is_kept(database: sqlite3.Connection) -> None:
    view = LogView(LOG_KEY)
    for old, size in ((0, 5), (5, 5), (5, 9), (9, 300), (5, 9)):
        view = see_growth(view, growth_of(old, entries(size)), BROOK).view
        keep_heads(database, {BROOK: view})
    assert read_kept(database) == {BROOK: signed(head_of(entries(300)))}
    assert read_kept_head(database, b"\x23" * 20) is None


def test_a_loose_head_is_not_kept(database: sqlite3.Connection) -> None:
    view = see_head(LogView(LOG_KEY), signed(head_of(entries(5))), BROOK).view
    view = see_head(view, signed(head_of(entries(9))), BROOK).view
    keep_heads(database, {BROOK: view})
    assert read_kept_head(database, BROOK) == signed(head_of(entries(5)))


async def grow(store: Store, count: int = 1) -> None:
    for _ in range(count):
        await store.writer.submit(lambda c: append_audit(c, NOW_MS, EntryKind.OPERATOR, b"", {"verb": "test"}))


async def test_what_was_shown_grows_by_paths_that_hold(store: Store) -> None:
    kept = None
    for count in (1, 0, 7, 300, 1):
        await grow(store, count)
        growth = await store.writer.submit(show_head)
        assert growth is not None
        judged = judge_growth(kept, growth, store.record.key)
        assert judged.answer is Answer.COSIGN
        kept = judged.kept
    size = decode_checkpoint(decode_note(kept or b"").text).size
    assert size == 309
    await grow(store)
    for old in (0, 1, 8, 255, 256, 308, size):
        told = await store.writer.submit(lambda c, old=old: read_growth(c, old))  # type: ignore[misc]
        assert told is not None
        assert told.checkpoint == kept
    # Of what it has not shown it says nothing.
    assert await store.writer.submit(lambda c: read_growth(c, size + 1)) is None


async def test_a_log_that_has_shown_nothing_says_so(store: Store) -> None:
    assert await store.writer.submit(lambda c: (read_growth(c, 0), read_best_shown(c))) == (None, None)


async def test_the_most_cosigned_of_the_last_heads_is_served(store: Store) -> None:
    cosigner = Cosigner(b"\x44" * 32, "tocsin.example/brook")
    for number in range(MAX_SHOWN_HEADS + 3):
        await grow(store)
        growth = await store.writer.submit(show_head)
        assert growth is not None
        text = decode_note(growth.checkpoint).text
        if number == 10:
            assert await store.writer.submit(lambda c, text=text: add_cosignature(c, text, cosigner.cosign(text, 1)))  # type: ignore[misc]
            # The newer takes the place of the older one of the same witness.
            assert await store.writer.submit(lambda c, text=text: add_cosignature(c, text, cosigner.cosign(text, 2)))  # type: ignore[misc]
            wanted = text
    served = await store.writer.submit(read_best_shown)
    assert served is not None
    head = verify_checkpoint(served, [store.record.key], [cosigner.key])
    assert decode_note(served).text == wanted
    assert head.cosigned[cosigner.key].timestamp_s == 2
    assert await store.writer.submit(lambda c: c.execute("SELECT COUNT(*) FROM shown_heads").fetchone()[0]) == 16


async def test_what_is_proven_is_proven_under_a_head_that_others_have_cosigned(store: Store) -> None:
    cosigner = Cosigner(b"\x44" * 32, "tocsin.example/brook")
    await grow(store, 300)
    growth = await store.writer.submit(show_head)
    assert growth is not None
    text = decode_note(growth.checkpoint).text
    await store.writer.submit(lambda c: add_cosignature(c, text, cosigner.cosign(text, 1)))
    await grow(store, 5)
    await store.writer.submit(show_head)
    trust = TrustPolicy((store.record.key,), {"brook": cosigner.key}, {}, "brook")
    with closing(StoreLog(store.data_dir)) as log:
        size = decode_checkpoint(text).size
        for index in (0, 255, 256, size - 1):
            note = log.witnessed_checkpoint(index + 1)
            prover = Prover(log, verify_checkpoint(note, [log.key]).checkpoint, note)
            assert verify_proof_bundle(prover.prove_entry(index), trust).checkpoint.size == size
        assert log.witnessed_checkpoint(size + 1) == log.checkpoint()


async def test_no_head_is_served_before_any_was_shown_nor_after_the_log_was_begun_anew(store: Store) -> None:
    await grow(store)
    with closing(StoreLog(store.data_dir)) as log, pytest.raises(StoreError, match="no head of this log is shown"):
        log.shown_checkpoint()
    growth = await store.writer.submit(show_head)
    await grow(store)
    with closing(StoreLog(store.data_dir)) as log:
        assert growth is not None
        assert log.shown_checkpoint() == growth.checkpoint
    await store.writer.submit(lambda c: begin_anew(c, Checkpoint(US, 100, b"\x01" * 32), 1, NOW_MS))
    with closing(StoreLog(store.data_dir)) as log, pytest.raises(StoreError, match="begun anew"):
        log.shown_checkpoint()


async def test_a_cosignature_of_what_was_not_shown_is_not_kept(store: Store) -> None:
    await grow(store)
    await store.writer.submit(show_head)
    await grow(store)
    unshown = decode_note(await store.writer.submit(read_head) or b"").text
    line = Cosigner(b"\x44" * 32, "tocsin.example/brook").cosign(unshown, 1)
    assert not await store.writer.submit(lambda c: add_cosignature(c, unshown, line))


async def test_a_head_is_kept_with_as_many_cosignatures_as_a_note_can_hold(store: Store) -> None:
    await grow(store)
    growth = await store.writer.submit(show_head)
    assert growth is not None
    text = decode_note(growth.checkpoint).text
    for number in range(MAX_NOTE_SIGNATURES + 2):
        line = Cosigner(b"\x44" * 32, f"tocsin.example/{number}").cosign(text, 1)
        is_kept = await store.writer.submit(lambda c, line=line: add_cosignature(c, text, line))  # type: ignore[misc]
        assert is_kept == (number + 1 < MAX_NOTE_SIGNATURES)
    served = await store.writer.submit(read_best_shown)
    assert served is not None
    assert len(decode_note(served).signatures) == MAX_NOTE_SIGNATURES


async def test_our_own_heads_of_every_size_are_known(store: Store) -> None:
    told = []
    for _ in range(20):
        await grow(store)
        told.append(decode_checkpoint(decode_note(await store.writer.submit(read_head) or b"").text))
    for head in told:
        assert await store.writer.submit(lambda c, head=head: has_head(c, head))  # type: ignore[misc]
    last = told[-1]
    for foreign in (Checkpoint(US, last.size + 1, last.root), Checkpoint(US, last.size - 1, last.root)):
        assert not await store.writer.submit(lambda c, foreign=foreign: has_head(c, foreign))  # type: ignore[misc]


async def test_a_log_begun_anew_has_another_name_and_the_same_entries(store: Store) -> None:
    await grow(store, 5)
    await store.writer.submit(show_head)
    before = store.record.edge.size
    lost = Checkpoint(US, 100, b"\x01" * 32)
    why = await store.writer.submit(lambda c: begin_anew(c, lost, 1, NOW_MS))
    assert "100 entries" in why
    assert await store.writer.submit(lambda c: (read_generation(c), read_doubt(c))) == (2, why)
    assert await store.writer.submit(read_best_shown) is None
    note = await store.writer.submit(read_head)
    assert note is not None
    # No more head is signed under the old name, not even for ourselves.
    assert store.record.key.name == f"{US}/2"
    assert verify_checkpoint(note, [store.record.key]).checkpoint.size > before


@pytest.mark.parametrize("generation", [1, 2, 7])
async def test_the_next_generation_is_above_what_others_keep(store: Store, generation: int) -> None:
    await store.writer.submit(lambda c: begin_anew(c, Checkpoint(US, 9, b"\x01" * 32), generation, NOW_MS))
    assert await store.writer.submit(read_generation) == generation + 1


async def begin(store: Store, generation: int) -> str:
    return await store.writer.submit(lambda c: begin_anew(c, Checkpoint(US, 9, b"\x01" * 32), generation, NOW_MS))


async def test_with_few_generations_left_it_is_told_how_many(store: Store) -> None:
    assert "times more" not in await begin(store, 500)
    assert "it can be begun anew 3 times more" in await begin(store, MAX_GENERATION - 5)
    assert store.record.fault == ""


@pytest.mark.parametrize("generation", [MAX_GENERATION - 2, MAX_GENERATION - 1, MAX_GENERATION])
async def test_a_log_whose_name_is_used_up_signs_nothing_more_and_says_what_to_do(
    store: Store, generation: int
) -> None:
    why = await begin(store, generation)
    if generation == MAX_GENERATION - 2:
        assert ("it can be begun anew 0 times more" in why, store.record.fault) == (True, "")
        why = await begin(store, generation + 1)
    assert "a new publisher and a new log key" in why
    before = await store.writer.submit(read_head)
    await grow(store)
    assert await store.writer.submit(read_head) == before
    assert "is used up" in store.record.fault
    assert f"/{MAX_GENERATION}".encode() not in (before or b"")
    # Whoever still shows such a head brings nothing new.
    assert await begin(store, MAX_GENERATION) == ""
    desk = LogDesk(store, Feed(OWN).secret, lambda: NOW_MS, lambda: True)
    for anew in (False, True):
        with pytest.raises(ControlError, match="a new publisher and a new log key"):
            await desk.confirm_log({"anew": anew})


def test_a_log_whose_name_is_used_up_stands_still_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "data", Feed(OWN).publisher, NETWORK_ID, LOG_SECRET)
    job = Job(lambda c: begin_anew(c, Checkpoint(US, 9, b"\x01" * 32), MAX_GENERATION, NOW_MS))
    _commit(store.writer.connection, store.record, [job])
    store.close()
    again = Store(tmp_path / "data", Feed(OWN).publisher, NETWORK_ID, LOG_SECRET)
    assert "is used up" in again.record.fault
    again.close()


def test_a_log_is_opened_again_under_its_generation(tmp_path: Path) -> None:
    store = Store(tmp_path / "data", Feed(OWN).publisher, NETWORK_ID, LOG_SECRET)
    job = Job(lambda c: begin_anew(c, Checkpoint(US, 9, b"\x01" * 32), 2, NOW_MS))
    _commit(store.writer.connection, store.record, [job])
    store.close()
    again = Store(tmp_path / "data", Feed(OWN).publisher, NETWORK_ID, LOG_SECRET)
    assert (again.record.key.name, again.record.fault) == (f"{US}/3", "")
    again.close()


def test_notes_of_a_split_are_what_each_view_kept() -> None:
    split = split_of(entries(5), [b"another", *entries(8)[1:]])
    view = see_head(LogView(LOG_KEY), split.smaller, BROOK).view
    note = decode_note(split.larger)
    cosigned = encode_note(Note(note.text, (*note.signatures, Cosigner(b"\x44" * 32, "w").cosign(note.text, 1))))
    view = see_head(view, cosigned, BROOK).view
    assert view.loose[BROOK].note == split.larger
