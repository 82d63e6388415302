"""The log in the database: every entry under a signed head when its writer is answered, and every change found."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
import trio
from protocol_kit import NETWORK_ID, NOW_MS, Feed
from store_kit import LOG_SECRET
from tocsin_node.store.audit import append_audit, read_audit
from tocsin_node.store.database import DATABASE_NAME, StoreError
from tocsin_node.store.record import MAX_ENTRIES_AT_ONCE, read_entries, read_head, read_tile
from tocsin_node.store.writer import MAX_JOBS_PER_COMMIT, Store
from tocsin_protocol.audit import MAX_DETAIL_BYTES, EntryKind, decode_entry, stand_in
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.errors import ProofError
from tocsin_protocol.log.checkpoint import Checkpoint, sign_checkpoint, verify_checkpoint
from tocsin_protocol.log.note import Signer, encode_note
from tocsin_protocol.log.tiles import TILE_WIDTH
from tocsin_protocol.log.tree import HASH_BYTES, leaf_hash, root_of_leaves

Change = Callable[[sqlite3.Connection], object]
OWNER = Feed("alba").publisher
MANY = 3 * TILE_WIDTH + 10


def note(number: int) -> Change:
    return lambda connection: append_audit(connection, NOW_MS, EntryKind.NODE, b"", {"number": number})


def notes(count: int) -> Change:
    return lambda connection: [note(number)(connection) for number in range(count)]


def open_store(data_dir: Path, secret: bytes = LOG_SECRET) -> Store:
    return Store(data_dir, OWNER, NETWORK_ID, secret)


def head_of(store: Store, connection: sqlite3.Connection) -> Checkpoint:
    data = read_head(connection)
    assert data is not None
    return verify_checkpoint(data, [store.record.key]).checkpoint


def check_agreement(store: Store, connection: sqlite3.Connection) -> int:
    """Head, tiles and entries say the same; returns how many entries there are."""
    head = head_of(store, connection)
    leaves = [leaf_hash(entry) for entry in read_entries(connection, 0, 10**6)]
    assert (head.size, head.root) == (len(leaves), root_of_leaves(leaves))
    for number in range(-(-head.size // TILE_WIDTH)):
        held = leaves[number * TILE_WIDTH : (number + 1) * TILE_WIDTH]
        assert read_tile(connection, 0, number) == b"".join(held)
    return head.size


async def grow(data_dir: Path, change: Change, secret: bytes = LOG_SECRET) -> Store:
    """Open, run one change through the writer, close."""
    store = open_store(data_dir, secret)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.writer.run_writer)
            await store.writer.submit(change)
            nursery.cancel_scope.cancel()
    finally:
        store.close()
    return store


def alter(data_dir: Path, statement: str, *values: object) -> None:
    """Change the closed database behind the node's back."""
    with closing(sqlite3.connect(data_dir / DATABASE_NAME)) as connection, connection:
        assert connection.execute(statement, values).rowcount >= 1


async def test_an_entry_is_under_a_signed_head_when_its_writer_is_answered(store: Store) -> None:
    for number in range(3):
        await store.writer.submit(note(number))
        assert await store.writer.submit(lambda c: check_agreement(store, c)) == number + 1
    assert store.record.key.name == f"tocsin/{NETWORK_ID.hex()}/0x{OWNER.hex()}"


async def test_a_log_without_entries_has_a_signed_head(store: Store) -> None:
    assert await store.writer.submit(lambda c: check_agreement(store, c)) == 0


async def test_many_entries_of_many_callers_stand_in_the_order_of_the_table(store: Store) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(3 * MAX_JOBS_PER_COMMIT):
            nursery.start_soon(store.writer.submit, note(number))
    assert await store.writer.submit(lambda c: check_agreement(store, c)) == 3 * MAX_JOBS_PER_COMMIT


async def test_more_entries_than_are_added_at_once_are_all_added(store: Store) -> None:
    await store.writer.submit(notes(MAX_ENTRIES_AT_ONCE + TILE_WIDTH + 1))
    assert await store.writer.submit(lambda c: check_agreement(store, c)) == MAX_ENTRIES_AT_ONCE + TILE_WIDTH + 1


async def test_an_entry_of_a_job_that_failed_is_not_in_the_log(store: Store) -> None:
    class Odd(Exception):
        pass

    def fail(connection: sqlite3.Connection) -> None:
        note(1)(connection)
        raise Odd

    await store.writer.submit(note(0))
    with pytest.raises(Odd):
        await store.writer.submit(fail)
    await store.writer.submit(note(2))
    assert await store.writer.submit(lambda c: check_agreement(store, c)) == 2
    assert not store.record.fault


async def test_a_transaction_that_cannot_commit_leaves_the_log_as_it_was(store: Store) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        note(1)(connection)
        connection.execute("ROLLBACK")

    await store.writer.submit(note(0))
    with pytest.raises(sqlite3.Error):
        await store.writer.submit(fail)
    await store.writer.submit(note(2))
    assert await store.writer.submit(lambda c: check_agreement(store, c)) == 2


async def test_a_full_disk_takes_nothing_and_the_log_goes_on_when_there_is_room(store: Store) -> None:
    await store.writer.submit(note(0))
    pages = await store.writer.submit(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    connection = store.writer.connection
    connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        await store.writer.submit(notes(2000))
    connection.execute(f"PRAGMA max_page_count = {pages + 10_000}")
    await store.writer.submit(notes(2000))
    assert await store.writer.submit(lambda c: check_agreement(store, c)) == 2001
    assert not store.record.fault


async def test_an_entry_says_what_the_audit_table_says(store: Store) -> None:
    await store.writer.submit(notes(2))
    held = await store.writer.submit(lambda c: read_entries(c, 0, 10))
    assert [decode_entry(n, entry) for n, entry in enumerate(held)] == await store.writer.submit(
        lambda c: read_audit(c, 0, 10)
    )


@pytest.mark.parametrize("spare", [0, 1], ids=["fits", "too-large"])
async def test_a_detail_too_large_for_an_entry_is_told_by_its_hash(store: Store, spare: int) -> None:
    overhead = len(encode_canonical({"x": bytes(60_000)})) - 60_000
    detail = {"x": bytes(MAX_DETAIL_BYTES - overhead + spare)}
    encoded = encode_canonical(detail)
    for _ in range(2):
        await store.writer.submit(lambda c: append_audit(c, NOW_MS, EntryKind.NODE, b"", detail))
    entries = await store.writer.submit(lambda c: read_audit(c, 0, 2))
    kept = await store.writer.submit(lambda c: c.execute("SELECT sha256, detail FROM large_details").fetchall())
    if spare:
        assert [entry.detail for entry in entries] == 2 * [stand_in(encoded)]
        assert decode_canonical(entries[0].detail, max_bytes=64) == {
            "bytes": MAX_DETAIL_BYTES + 1,
            "sha256": sha256(encoded).digest(),
        }
        assert kept == [(sha256(encoded).digest(), encoded)]
    else:
        assert [entry.detail for entry in entries] == 2 * [encoded]
        assert not kept
    assert await store.writer.submit(lambda c: check_agreement(store, c)) == 2


@pytest.mark.parametrize("size", [0, 1, TILE_WIDTH - 1, TILE_WIDTH, TILE_WIDTH + 1, MANY])
async def test_a_log_opened_again_goes_on_where_it_was(tmp_path: Path, size: int) -> None:
    await grow(tmp_path, notes(size))
    store = await grow(tmp_path, note(0))
    assert not store.record.fault
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection:
        assert check_agreement(store, connection) == size + 1


async def test_entries_of_before_there_was_a_tree_are_added_at_the_start(tmp_path: Path) -> None:
    await grow(tmp_path, notes(MANY))
    alter(tmp_path, "DELETE FROM log_tiles")
    alter(tmp_path, "DELETE FROM log_head")
    store = open_store(tmp_path)
    store.close()
    assert not store.record.fault
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection:
        assert check_agreement(store, connection) == MANY


FLIPPED = encode_canonical({"number": 99})
TILE = "UPDATE log_tiles SET hashes = zeroblob(?) WHERE"
FAULTS = {
    "last-entry": ("UPDATE audit SET detail = ? WHERE sequence = ?", (FLIPPED, MANY), f"entry {MANY - 1} is not"),
    "time": ("UPDATE audit SET at_ms = at_ms + 1 WHERE sequence = ?", (MANY,), f"entry {MANY - 1} is not"),
    "kind": ("UPDATE audit SET kind = 'alarm' WHERE sequence = ?", (MANY,), f"entry {MANY - 1} is not"),
    "last-removed": ("DELETE FROM audit WHERE sequence = ?", (MANY,), f"it has {MANY - 1} entries where its head"),
    "one-removed": ("DELETE FROM audit WHERE sequence = ?", (MANY - 3,), f"entry {MANY - 4} is missing"),
    "all-removed": ("DELETE FROM audit WHERE sequence > ?", (0,), f"it has {3 * TILE_WIDTH} entries where its head"),
    "tile": (f"{TILE} level = 0 AND number = 3", (10 * HASH_BYTES,), "another root"),
    "upper-tile": (f"{TILE} level = 1", (3 * HASH_BYTES,), "another root"),
    "short-tile": (f"{TILE} level = 1", (7,), "a tile of 7 bytes where 3 hashes"),
    "no-tile": ("DELETE FROM log_tiles WHERE level = ?", (1,), "tile 0 of level 1 is missing"),
    "no-head": ("DELETE FROM log_head WHERE only = ?", (1,), "it has tiles and no signed head"),
    "garbage-head": ("UPDATE log_head SET note = ?", (b"garbage",), "a note lacks the empty line"),
    "other-head": ("UPDATE log_head SET note = ?", (None,), "another root than its head of 778 entries"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_change_is_found_at_the_start_and_the_log_grows_no_more(tmp_path: Path, fault: str) -> None:
    store = await grow(tmp_path, notes(MANY))
    statement, values, why = FAULTS[fault]
    if values == (None,):
        other = sign_checkpoint(Signer(LOG_SECRET, store.record.key.name), MANY, b"\x5a" * HASH_BYTES)
        values = (encode_note(other),)
    alter(tmp_path, statement, *values)
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection:
        before = read_head(connection)
    # what is written is kept, so that the node can still say what it sees
    store = await grow(tmp_path, note(7))
    assert store.record.fault.startswith("the log does not agree with itself: ")
    assert why in store.record.fault
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection:
        assert read_head(connection) == before
        assert connection.execute("SELECT MAX(sequence) FROM audit").fetchone()[0] in (1, MANY, MANY + 1)


async def test_a_head_of_another_key_is_found_at_the_start(tmp_path: Path) -> None:
    await grow(tmp_path, notes(MANY))
    store = await grow(tmp_path, note(7), secret=bytes(32))
    assert "signed by none of tocsin/" in store.record.fault


async def test_a_gap_that_comes_while_it_runs_is_found_by_the_next_entry(store: Store) -> None:
    await store.writer.submit(notes(3))
    insert = "INSERT INTO audit VALUES (9, 0, 'node', x'', ?)"
    await store.writer.submit(lambda c: c.execute(insert, (encode_canonical({}),)).rowcount)
    assert "entry 3 is missing" in store.record.fault
    # the rest of its transaction is committed, and nothing more goes into the tree
    await store.writer.submit(note(4))
    assert (await store.writer.submit(lambda c: head_of(store, c))).size == 3
    with pytest.raises(ProofError, match="entry 3 is missing"):
        await store.writer.submit(lambda c: read_entries(c, 0, 10))


def test_a_database_whose_log_cannot_be_read_is_refused_and_let_go(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection, connection:
        connection.execute("DROP TABLE log_tiles")
        connection.execute("DELETE FROM log_head")
    for _ in range(2):
        with pytest.raises(StoreError, match="the log cannot be read"):
            open_store(tmp_path)
