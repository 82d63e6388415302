"""The ledger in a running relay: in doubt or not, and the anchor that follows it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial

import structlog
import trio
from tocsin_protocol.containment.ledger import LEDGER_ID_BYTES, LedgerMark

from tocsin_node.store.ledger import describe_anchor, read_mark, replace_anchor, write_anchor
from tocsin_node.store.ledger_doubt import confirm_ledger, judge_found
from tocsin_node.store.writer import Store

_log = structlog.get_logger("tocsin.ledger")


class Ledger:
    """Knows whether the ledger may be acted on, and keeps the anchor from falling behind what goes out.

    `confirmed` is set while it may.
    """

    def __init__(self, store: Store, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms
        self._lock = trio.Lock()
        self._written: LedgerMark | None = None
        self._anchored: set[bytes] = set()
        self.doubt = ""
        self.confirmed = trio.Event()

    async def load(self) -> None:
        """Judge the ledger by its anchor, once, before anything is heard; raises OSError or ConfigError."""
        anchor, fault = await trio.to_thread.run_sync(describe_anchor, self._store.data_dir)
        judge = partial(judge_found, anchor=anchor, fault=fault, now_ms=self._now_ms())
        self.doubt = await self._store.writer.submit(judge)
        if self.doubt:
            _log.error("the ledger is in doubt: no hook acts until `tocsin ledger confirm`", why=self.doubt)
            return
        await self.write_anchor()
        self.confirmed.set()

    def doubted(self, why: str) -> None:
        """The ledger came into doubt while running: what is on disk says so already, and nothing acts by it."""
        if not self.doubt:
            _log.error("the ledger is in doubt: no hook acts until `tocsin ledger confirm`", why=why)
            self.doubt = why
            self.confirmed = trio.Event()

    async def write_anchor(self) -> None:
        """Make the anchor tell of all that was on disk when this was called; raises OSError or ConfigError."""
        await self._reach(await self._store.writer.submit(read_mark))

    async def reach(self, action_id: bytes, mark: LedgerMark) -> None:
        """Return once the anchor tells of an action's first step, which is on disk as `mark` has it.

        Raises OSError or ConfigError.
        """
        if action_id not in self._anchored:
            await self._reach(mark)
            self._anchored.add(action_id)

    async def _reach(self, mark: LedgerMark) -> None:
        async with self._lock:
            # Who was committed later may have been here first: counts rise, and the anchor never goes back.
            is_told = self._written is not None and self._written.sequence >= mark.sequence
            # [LEDGER] The anchor of a ledger in doubt is left as it is: it is what the operator has to go by.
            if not is_told and not self.doubt:
                await trio.to_thread.run_sync(write_anchor, self._store.data_dir, mark)
                self._written = mark

    def forget(self, action_id: bytes) -> None:
        """An action is settled: nobody will ask for it again."""
        self._anchored.discard(action_id)

    async def confirm(self) -> LedgerMark:
        """The operator takes this ledger for ours; raises LedgerError where it is not in doubt."""
        anchor, _ = await trio.to_thread.run_sync(describe_anchor, self._store.data_dir)
        new_id, now_ms = secrets.token_bytes(LEDGER_ID_BYTES), self._now_ms()
        mark = await self._store.writer.submit(lambda connection: confirm_ledger(connection, anchor, new_id, now_ms))
        async with self._lock:
            await trio.to_thread.run_sync(replace_anchor, self._store.data_dir, mark)
            self._written, self.doubt = mark, ""
        self.confirmed.set()
        return mark
