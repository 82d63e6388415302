"""The one writer: jobs from many tasks share a transaction and its fsync (group commit)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import outcome
import trio
from tocsin_protocol.log.checkpoint import origin_of

from .database import DATABASE_NAME, StoreError, open_writer
from .record import Record

MAX_WAITING_JOBS = 256
MAX_JOBS_PER_COMMIT = 128

Connection = sqlite3.Connection
# What `Writer.submit` raises where the database does not take a write.
STORE_ERRORS = (sqlite3.Error, OSError)
T = TypeVar("T")


class Job:
    """One unit of work inside a shared transaction, and where its result goes."""

    __slots__ = ("done", "result", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        self.work = work
        self.done = trio.Event()
        self.result: outcome.Outcome[Any] | None = None


class Writer:
    """Runs jobs on the database in the order they came; a job's result is returned once it is on disk."""

    def __init__(self, connection: sqlite3.Connection, record: Record) -> None:
        self.connection = connection
        self._record = record
        self._send, self._receive = trio.open_memory_channel[Job](MAX_WAITING_JOBS)

    async def submit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the next transaction; returns after its commit, raises what `work` raised.

        Once queued it is not cancelled: an intent on disk that its caller never heard of would have nobody to run it.
        What follows up to the caller's next checkpoint happens whenever the work was committed.
        """
        job = Job(work)
        await self._send.send(job)
        with trio.CancelScope(shield=True):
            await job.done.wait()
        assert job.result is not None  # noqa: S101 - set before the event
        result: T = job.result.unwrap()
        return result

    async def run_writer(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit jobs until cancelled; those already queued are finished first, since their callers wait shielded."""
        limiter = trio.CapacityLimiter(1)
        task_status.started()
        try:
            while True:
                await self._run_jobs([await self._receive.receive(), *self._queued(MAX_JOBS_PER_COMMIT - 1)], limiter)
        finally:
            while jobs := self._queued(MAX_JOBS_PER_COMMIT):
                await self._run_jobs(jobs, limiter)
            self._receive.close()

    def _queued(self, most: int) -> list[Job]:
        jobs: list[Job] = []
        with suppress(trio.WouldBlock):
            while len(jobs) < most:
                jobs.append(self._receive.receive_nowait())
        return jobs

    async def _run_jobs(self, jobs: list[Job], limiter: trio.CapacityLimiter) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_commit, self.connection, self._record, jobs, limiter=limiter)
        for job in jobs:
            job.done.set()


def _commit(connection: sqlite3.Connection, record: Record, jobs: list[Job]) -> None:
    """Run the jobs in one transaction; a job that fails takes back only its own work."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            connection.execute("SAVEPOINT job")
            job.result = outcome.capture(job.work, connection)
            if isinstance(job.result, outcome.Error):
                if not connection.in_transaction:
                    raise _reason(job.result.error)
                connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
        edge = record.integrate(connection)
        connection.execute("COMMIT")
        record.keep(edge)
    except sqlite3.Error as exc:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        for job in jobs:
            job.result = outcome.Error(exc)


def _reason(error: BaseException) -> sqlite3.Error:
    """Why the whole transaction ended within a job: a full disk does that, and all its callers hear its words."""
    return error if isinstance(error, sqlite3.Error) else sqlite3.OperationalError(f"the transaction ended: {error}")


class Store:
    """The writer with its database and lock, as one thing to open and close."""

    def __init__(self, data_dir: Path, publisher: bytes, network_id: bytes, log_secret: bytes) -> None:
        self._connection, self._lock = open_writer(data_dir, publisher, network_id)
        self.data_dir = data_dir
        self.publisher = publisher
        try:
            self.record = Record(self._connection, origin_of(network_id, publisher), log_secret)
        except sqlite3.DatabaseError as exc:
            self._connection.close()
            self._lock.close()
            raise StoreError(f"{data_dir / DATABASE_NAME}: the log cannot be read ({exc})") from exc
        self.writer = Writer(self._connection, self.record)

    def close(self) -> None:
        """Checkpoint, close, and let the next node in."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._lock.close()
