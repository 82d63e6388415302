"""Power cuts while parts are logged and entries are dropped: both happen whole or not at all, and the log stays one."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from power_kit import DATABASE, Connection, Disk, DiskVFS, PowerCut
from protocol_kit import NETWORK_ID, NOW_MS, Feed
from store_kit import LOG_SECRET, OWN, make_rules
from tocsin_node.store.audit import append_audit
from tocsin_node.store.basis import log_rules
from tocsin_node.store.database import prepare_writer
from tocsin_node.store.pruning import prune_log, read_pruned
from tocsin_node.store.record import Record, read_entries, read_tile
from tocsin_node.store.writer import Job, _commit
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.log.checkpoint import origin_of
from tocsin_protocol.log.tiles import TILE_WIDTH, split_tile
from tocsin_protocol.log.tree import leaf_hash

OWNER = Feed(OWN).publisher
OLD_MS = NOW_MS - 1_000
TRIES = 3
"""A cut at one step loses different sectors each time."""
MAX_STEPS = 1_000
"""Far more than one commit takes."""
PARTS = 4
"""What rules are made of, with the part that names the others."""


@pytest.fixture(scope="module")
def vfs() -> DiskVFS:
    return DiskVFS("pruning-power-cuts")


@pytest.fixture(scope="module")
def image(vfs: DiskVFS) -> dict[str, bytes]:
    """A node whose log has the parts of its rules, in the first of two full tiles."""
    vfs.disk = Disk()
    connection, record = open_node(vfs)
    commit(connection, record, log_parts)
    commit(connection, record, lambda c: [append_audit(c, OLD_MS, EntryKind.NODE, b"", {"n": n}) for n in range(600)])
    connection.close()
    return vfs.disk.image()


def open_node(vfs: DiskVFS) -> tuple[Any, Record]:
    connection: Any = Connection(vfs.name)
    prepare_writer(connection, Path(DATABASE), OWNER, NETWORK_ID)
    connection.execute("PRAGMA synchronous = FULL")
    return connection, Record(connection, origin_of(NETWORK_ID, OWNER), LOG_SECRET)


def commit(connection: Any, record: Record, work: Callable[[Any], Any]) -> Any:
    job: Job = Job(work)
    _commit(connection, record, [job])
    assert job.result is not None
    return job.result.unwrap()


def log_parts(connection: Any) -> bytes:
    return log_rules(connection, make_rules(), OLD_MS)


def prune(connection: Any) -> int:
    return prune_log(connection, 2 * TILE_WIDTH, 600, NOW_MS, NOW_MS)


def states_after_cuts(vfs: DiskVFS, image: dict[str, bytes], work: Callable[[Any], Any]) -> list[tuple[int, int]]:
    """Cut the power at every step of a commit; how much was pruned after each, and how many parts are known."""
    found = []
    for steps in range(1, MAX_STEPS):
        is_over = False
        for attempt in range(TRIES):
            vfs.disk = Disk(image)
            connection, record = open_node(vfs)
            vfs.disk.steps = steps
            try:
                commit(connection, record, work)
                is_over = True
            except PowerCut:
                pass
            vfs.disk.steps = 0
            close_dead(connection)
            vfs.disk.cut(random.Random(1_000 * steps + attempt))
            found.append(state_of(vfs))
        if is_over:
            return found
    raise AssertionError(f"no commit after {MAX_STEPS} steps")


def close_dead(connection: Any) -> None:
    try:
        connection.close()
    except PowerCut:
        connection.close()


def state_of(vfs: DiskVFS) -> tuple[int, int]:
    """Start again: the log agrees with itself, and the database with the log."""
    connection, record = open_node(vfs)
    assert record.fault == ""
    pruned, size = read_pruned(connection), record.edge.size
    assert connection.execute("SELECT MIN(sequence) FROM audit").fetchone()[0] == pruned + 1
    hashes = [
        one
        for number in range(-(-size // TILE_WIDTH))
        for one in split_tile(read_tile(connection, 0, number), min(TILE_WIDTH, size - number * TILE_WIDTH))
    ]
    assert [leaf_hash(entry) for entry in read_entries(connection, pruned, size - pruned)] == hashes[pruned:]
    logged = {about for (about,) in connection.execute("SELECT reference FROM audit WHERE kind = 'basis'")}
    known = {about for (about,) in connection.execute("SELECT sha256 FROM logged_parts")}
    assert known == logged
    connection.close()
    return pruned, len(known)


def test_a_cut_while_entries_are_dropped_leaves_all_or_none(vfs: DiskVFS, image: dict[str, bytes]) -> None:
    states = states_after_cuts(vfs, image, prune)
    assert set(states) == {(0, PARTS), (2 * TILE_WIDTH, 0)}
    assert states[-1] == (2 * TILE_WIDTH, 0)


def test_a_cut_while_parts_are_logged_leaves_all_or_none(vfs: DiskVFS, image: dict[str, bytes]) -> None:
    vfs.disk = Disk(image)
    connection, record = open_node(vfs)
    assert commit(connection, record, prune) == 2 * TILE_WIDTH
    connection.close()
    states = states_after_cuts(vfs, vfs.disk.image(), log_parts)
    assert set(states) == {(2 * TILE_WIDTH, 0), (2 * TILE_WIDTH, PARTS)}
    assert states[-1] == (2 * TILE_WIDTH, PARTS)
