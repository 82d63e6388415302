"""The brake: whatever keeps all hooks of this node from acting, and the operator's ways to pull it.

Disarmed is not mute: the node goes on hearing, judging, publishing and recording. Nothing here arms a hook.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from enum import StrEnum
from functools import partial

import structlog
import trio
from tocsin_protocol.disarm import DISARM_PREFIX, read_disarm
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.signing import Domain

from tocsin_node.errors import NodeError
from tocsin_node.store.arrivals import Filed
from tocsin_node.store.arrivals import Path as Way
from tocsin_node.store.standstills import accept_statement, stand_still
from tocsin_node.store.writer import Connection, Store

from .ledger import Ledger
from .metrics import Metrics

DISARM_FILE = "disarm"
# So long at most does the file stand before every hook is disarmed; the next first step is kept back at once.
FILE_POLL_SECONDS = 1.0
# Statements that wait to be checked; they are rare, and each is in a stored signal.
MAX_WAITING_STATEMENTS = 16

_log = structlog.get_logger("tocsin.brake")


class Cause(StrEnum):
    """What disarms all hooks at once."""

    FILE = "disarm-file"
    STATEMENT = "disarm-statement"
    CLOCK = "clock"
    STORE = "store"
    ACTIONS = "too-many-actions"
    DISK = "disk"
    DOUBLE = "another-instance"
    RECORD = "record"


class Brake:
    """Knows what stands in the way of acting, and disarms everything when something new does."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        domain: Domain,
        disarm_keys: Collection[bytes],
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._domain = domain
        self._keys = frozenset(disarm_keys)
        self._metrics = metrics
        self._now_ms = now_ms
        self._file = store.data_dir / DISARM_FILE
        self._send, self._receive = trio.open_memory_channel[str](MAX_WAITING_STATEMENTS)
        # Conditions that hold now: while one does, nothing is armed.
        self.holding: dict[Cause, str] = {}
        # What the database has not heard of yet.
        self._unwritten: dict[Cause, str] = {}

    async def pull(self, cause: Cause, sentence: str) -> None:
        """Disarm every hook, durable when this returns; raises what the store raises, and is then tried again."""
        if self.holding.get(cause) is None:
            _log.error("every hook is disarmed", cause=cause.value, why=sentence)
        self.holding[cause] = sentence
        self._unwritten.setdefault(cause, sentence)
        await self._write()

    def release(self, cause: Cause) -> None:
        """A condition is over; hooks stay disarmed until the operator arms them."""
        self.holding.pop(cause, None)

    async def look(self) -> None:
        """Disarm at once where the file stands or something is unwritten: asked before each first step of an action."""
        # [CARE] While the file `disarm` stands in the data directory, nothing is armed and no action begins to go out.
        if self._is_file_there():
            await self.pull(Cause.FILE, f"{self._file} stands there: remove it to arm again")
        else:
            self.release(Cause.FILE)
            await self._write()
        # [CARE] A log that does not agree with itself disarms every hook.
        if self._store.record.fault:
            await self.pull(Cause.RECORD, self._store.record.fault)
        else:
            self.release(Cause.RECORD)

    def filed(self, filed: Filed, way: Way) -> None:
        """Take statements out of stored signals, whoever carried them: only their own signature counts."""
        for opened in filed.stored:
            if opened.signal is not None and opened.signal.text.startswith(DISARM_PREFIX):
                try:
                    self._send.send_nowait(opened.signal.text)
                except trio.WouldBlock:
                    self._metrics.dropped.labels("disarm-statement").inc()

    async def take_statement(self, text: str) -> list[str]:
        """Disarm by an offline key's statement; returns the hooks that were armed.

        Raises DecodeError or SignatureError, and NodeError for one that has counted already.
        """
        now_ms = self._now_ms()
        statement = read_disarm(self._domain, text, self._store.publisher, self._keys, now_ms)
        sentence = f"the offline key 0x{statement.key.hex()} said so"

        def write(connection: Connection) -> list[str] | None:
            if not accept_statement(connection, statement.key, statement.issued_ms):
                return None
            return stand_still(connection, Cause.STATEMENT.value, sentence, now_ms)

        disarmed = await self._store.writer.submit(write)
        if disarmed is None:
            raise NodeError("this statement has counted already: sign a new one")
        _log.error("every hook is disarmed", cause=Cause.STATEMENT.value, why=sentence)
        await self._ledger.write_anchor()
        return disarmed

    async def run_file(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look for the file until cancelled, and write what could not be written before."""
        task_status.started()
        while True:
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - a store that cannot write must not end the task that waits for it
                _log.exception("the disarming could not be written; nothing acts meanwhile")
            await trio.sleep(FILE_POLL_SECONDS)

    async def run_statements(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Check statements that came by signal."""
        task_status.started()
        async for text in self._receive:
            try:
                await self.take_statement(text)
            except (ProtocolError, NodeError) as exc:
                _log.warning("a disarm statement does not count", why=str(exc))
            except Exception:  # noqa: BLE001 - what others send must not end the relay
                _log.exception("a disarm statement could not be taken")

    def _is_file_there(self) -> bool:
        # Not in a thread: a look of microseconds, and it stands before every action.
        return os.path.lexists(self._file)

    async def _write(self) -> None:
        if not self._unwritten:
            return
        now_ms = self._now_ms()
        for cause, sentence in list(self._unwritten.items()):
            await self._store.writer.submit(partial(stand_still, cause=cause.value, sentence=sentence, now_ms=now_ms))
            self._unwritten.pop(cause, None)
        # [CARE] The anchor knows of it: a copy of the database from before does not bring the arming back.
        await self._ledger.write_anchor()
