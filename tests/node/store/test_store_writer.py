"""One writer: group commit, jobs that fail alone, and a database that refuses strangers."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from protocol_kit import NETWORK_ID, OTHER_NETWORK_ID, Feed
from store_kit import LOG_SECRET
from tocsin_node.store.database import DATABASE_NAME, LOCK_NAME, StoreError, open_reader, open_writer
from tocsin_node.store.schema import SCHEMA_VERSION
from tocsin_node.store.writer import MAX_JOBS_PER_COMMIT, MAX_WAITING_JOBS, Store

OWNER = Feed("alba").publisher


def put(number: int) -> Callable[[sqlite3.Connection], int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO arms VALUES (?, ?, 0, 0)", (f"hook-{number}", number))
        return number

    return work


def held(store: Store) -> list[int]:
    with open_reader(store.data_dir) as reader:
        return [epoch for (epoch,) in reader.execute("SELECT epoch FROM arms ORDER BY epoch")]


def open_and_close(data_dir: Path, publisher: bytes = OWNER, network: bytes = NETWORK_ID) -> None:
    connection, lock = open_writer(data_dir, publisher, network)
    connection.close()
    lock.close()


async def test_what_was_submitted_is_on_disk_when_it_returns(store: Store) -> None:
    assert await store.writer.submit(put(1)) == 1
    assert held(store) == [1]


async def test_a_job_that_raises_takes_back_only_its_own_work(store: Store) -> None:
    class Odd(Exception):
        pass

    def fail(connection: sqlite3.Connection) -> None:
        put(2)(connection)
        raise Odd

    results: dict[int, object] = {}

    async def submit(number: int, work: Callable[[sqlite3.Connection], object]) -> None:
        try:
            results[number] = await store.writer.submit(work)
        except (Odd, sqlite3.Error) as exc:
            results[number] = type(exc)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(submit, 1, put(1))
        nursery.start_soon(submit, 2, fail)
        nursery.start_soon(submit, 3, put(3))
        nursery.start_soon(submit, 4, lambda connection: connection.execute("INSERT INTO nonsense VALUES (1)"))
        nursery.start_soon(submit, 5, put(5))
    assert results == {1: 1, 2: Odd, 3: 3, 4: sqlite3.OperationalError, 5: 5}
    assert held(store) == [1, 3, 5]


async def test_jobs_run_in_the_order_they_came_and_share_commits(store: Store) -> None:
    began: list[int] = []

    def job(number: int) -> Callable[[sqlite3.Connection], None]:
        def work(connection: sqlite3.Connection) -> None:
            began.append(number)
            put(number)(connection)

        return work

    total = MAX_WAITING_JOBS + 50
    reader = open_reader(store.data_dir)
    before = reader.execute("PRAGMA data_version").fetchone()
    async with trio.open_nursery() as nursery:
        for number in range(total):
            nursery.start_soon(store.writer.submit, job(number))
            await trio.lowlevel.checkpoint()
    assert held(store) == list(range(total))
    assert sorted(began) == list(range(total))
    assert reader.execute("PRAGMA data_version").fetchone() != before
    reader.close()


async def test_a_transaction_that_cannot_commit_fails_all_its_jobs_and_the_next_goes_on(store: Store) -> None:
    with pytest.raises(sqlite3.Error):
        # ends the shared transaction behind the writer's back, as SQLite itself does on a full disk
        await store.writer.submit(lambda connection: connection.execute("ROLLBACK"))
    assert await store.writer.submit(put(7)) == 7
    assert held(store) == [7]


async def test_a_cancelled_caller_hears_the_result_before_it_goes(tmp_path: Path) -> None:
    """What was set off by a commit must be passed on: else an intent would lie on disk with nobody to run it."""
    store = Store(tmp_path / "data", OWNER, NETWORK_ID, LOG_SECRET)
    passed_on: list[int] = []

    async def call(*, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        with trio.CancelScope() as scope:
            task_status.started(scope)
            passed_on.append(await store.writer.submit(put(1)))

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as callers:
            scope = await callers.start(call)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            # the job is queued and its caller cancelled before the writer comes to it
            await nursery.start(store.writer.run_writer)
        assert held(store) == passed_on == [1]
        nursery.cancel_scope.cancel()
    store.close()


async def test_what_was_submitted_is_done_when_the_writer_is_stopped(tmp_path: Path) -> None:
    store = Store(tmp_path / "data", OWNER, NETWORK_ID, LOG_SECRET)
    returned: list[int] = []

    async def call(number: int) -> None:
        returned.append(await store.writer.submit(put(number)))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(store.writer.run_writer)
            for number in range(2 * MAX_JOBS_PER_COMMIT):
                nursery.start_soon(call, number)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert held(store) == sorted(returned)
    store.close()


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    open_and_close(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    for name in (DATABASE_NAME, LOCK_NAME):
        assert (tmp_path / "data" / name).stat().st_mode & 0o077 == 0


def test_wal_and_full_synchronous(tmp_path: Path) -> None:
    connection, lock = open_writer(tmp_path / "data", OWNER, NETWORK_ID)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()
    lock.close()


def test_a_second_node_on_one_database_is_refused_with_the_process_that_has_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    connection, lock = open_writer(data_dir, OWNER, NETWORK_ID)
    with pytest.raises(StoreError) as refused:
        open_writer(data_dir, OWNER, NETWORK_ID)
    (instance,) = connection.execute("SELECT instance FROM ledger").fetchone()
    holder = f"process {os.getpid()} (instance {instance.hex()})"
    assert str(refused.value) == f"{data_dir}: already in use by {holder}; one node per database"
    connection.close()
    lock.close()
    open_and_close(data_dir)


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    code = (
        "import sys, os, signal; from pathlib import Path; from tocsin_node.store.database import open_writer;"
        f"kept = open_writer(Path({str(data_dir)!r}), {OWNER!r}, {NETWORK_ID!r}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    open_and_close(data_dir)


def test_a_database_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    open_and_close(tmp_path)
    path = tmp_path / DATABASE_NAME
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    newer = f"{path}: schema {SCHEMA_VERSION + 1} is newer than this program's {SCHEMA_VERSION}; upgrade tocsin"
    for _ in range(2):
        # the refusal leaves no lock behind
        with pytest.raises(StoreError) as refused:
            open_writer(tmp_path, OWNER, NETWORK_ID)
        assert str(refused.value) == newer
    with pytest.raises(StoreError, match=f"schema {SCHEMA_VERSION + 1} where this program reads {SCHEMA_VERSION}"):
        open_reader(tmp_path)


def test_a_database_of_another_node_is_refused(tmp_path: Path) -> None:
    open_and_close(tmp_path)
    other = Feed("brook").publisher
    with pytest.raises(StoreError) as refused:
        open_writer(tmp_path, other, NETWORK_ID)
    path = tmp_path / DATABASE_NAME
    assert str(refused.value) == f"{path}: belongs to publisher 0x{OWNER.hex()}, the keystore holds 0x{other.hex()}"
    open_and_close(tmp_path)


def test_a_database_of_another_network_is_refused(tmp_path: Path) -> None:
    open_and_close(tmp_path)
    with pytest.raises(StoreError, match=f"belongs to network {NETWORK_ID.hex()}, the roster is of"):
        open_writer(tmp_path, OWNER, OTHER_NETWORK_ID)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(b"this is not a database, however long it may be" * 100)
    with pytest.raises(StoreError, match="not a usable database"):
        open_writer(tmp_path, OWNER, NETWORK_ID)


def test_a_data_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be used as the data directory"):
        open_writer(tmp_path / "file" / "data", OWNER, NETWORK_ID)


def test_there_is_nothing_to_read_before_the_first_start(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database yet; start the node once with `tocsin run`"):
        open_reader(tmp_path)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    open_and_close(tmp_path)
    reader = open_reader(tmp_path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM node")
    reader.close()
