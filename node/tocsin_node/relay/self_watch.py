"""What a node watches in itself: one that is not well acts no more, by conditions that no stranger can bring about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog
import trio

from tocsin_node.chain.client import ChainClient
from tocsin_node.chain.errors import RpcRefused, RpcUnavailable
from tocsin_node.chain.rpc import read_count
from tocsin_node.store.standstills import count_own_actions
from tocsin_node.store.writer import STORE_ERRORS, Connection, Store

from .brake import Brake, Cause

WATCH_SECONDS = 5.0
CHAIN_CLOCK_SECONDS = 60.0
# Beyond what signals allow between two clocks, and far beyond what a time daemon slews in one look.
MAX_CLOCK_STEP_MS = 5_000
# No block is from the future: where two endpoints show one, our clock is behind.
MAX_HEAD_AHEAD_MS = 60_000
# Below this the journal of one action may not fit any more.
MIN_FREE_BYTES = 64 * 1024 * 1024
ACTIONS_WINDOW_MS = 60 * 60 * 1000

_log = structlog.get_logger("tocsin.self-watch")


class SelfWatch:
    """Looks at the clock, the disk, the store and the number of actions, and pulls the brake."""

    def __init__(
        self,
        store: Store,
        brake: Brake,
        clients: Mapping[str, ChainClient],
        max_actions: int,
        now_ms: Callable[[], int],
        free_bytes: Callable[[os.PathLike[str]], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._store = store
        self._brake = brake
        self._clients = clients
        self._max_actions = max_actions
        self._now_ms = now_ms
        self._free_bytes = free_bytes
        self._offset_ms: float | None = None

    async def run_self_watch(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look every WATCH_SECONDS until cancelled."""
        task_status.started()
        while True:
            for look in (self.look_at_clock, self.look_at_disk, self.look_at_store):
                try:
                    await look()
                except Exception:  # noqa: BLE001 - the brake keeps what could not be written, and tries it again
                    _log.exception("a look at ourselves failed")
            await trio.sleep(WATCH_SECONDS)

    async def run_chain_clock(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Compare our clock with the heads of every chain that has two endpoints or more, until cancelled."""
        task_status.started()
        while True:
            try:
                await self.look_at_heads()
            except Exception:  # noqa: BLE001 - as above
                _log.exception("our clock could not be compared")
            await trio.sleep(CHAIN_CLOCK_SECONDS)

    async def look_at_clock(self) -> None:
        """Whether the wall clock has stepped against the one that only runs."""
        offset_ms = self._now_ms() - 1000 * trio.current_time()
        before, self._offset_ms = self._offset_ms, offset_ms
        step_ms = 0.0 if before is None else offset_ms - before
        # [CARE] A clock that steps by more than MAX_CLOCK_STEP_MS disarms: what is fresh, due or ended is not known.
        if abs(step_ms) > MAX_CLOCK_STEP_MS:
            await self._brake.pull(Cause.CLOCK, f"the clock stepped by {round(step_ms) / 1000:g} s")
        # A step is over when it was seen; what it disarmed stays so.
        elif before is not None and self._brake.holding.get(Cause.CLOCK, "").startswith("the clock stepped"):
            self._brake.release(Cause.CLOCK)

    async def look_at_heads(self) -> None:
        """Whether two endpoints of a chain show a block from our future."""
        behind = [line for chain, client in self._clients.items() if (line := await self._judge_heads(chain, client))]
        if behind:
            await self._brake.pull(Cause.CLOCK, behind[0])
        elif self._brake.holding.get(Cause.CLOCK, "").startswith("the clock is behind"):
            self._brake.release(Cause.CLOCK)

    async def _judge_heads(self, chain: str, client: ChainClient) -> str:
        ahead_ms = second_ahead_ms(await read_head_times(client), self._now_ms())
        # [CARE] A clock MAX_HEAD_AHEAD_MS behind the heads of two endpoints disarms; one endpoint's word does not.
        if ahead_ms is None or ahead_ms <= MAX_HEAD_AHEAD_MS:
            return ""
        return f"the clock is behind: two endpoints of {chain} show a block from {ahead_ms // 1000} s ahead"

    async def look_at_disk(self) -> None:
        """Whether the journal still has room."""
        free = await trio.to_thread.run_sync(self._free_bytes, self._store.data_dir)
        # [CARE] A disk with less than MIN_FREE_BYTES left disarms: a journal that is cut short may be done twice.
        if free < MIN_FREE_BYTES:
            await self._brake.pull(Cause.DISK, f"{free // 1024**2} MiB are free in {self._store.data_dir}")
        else:
            self._brake.release(Cause.DISK)

    async def look_at_store(self) -> None:
        """Whether the database takes a write, and how many levers were used of our own accord."""
        count = partial(_write_and_count, now_ms=self._now_ms())
        try:
            actions = await self._store.writer.submit(count)
        # [CARE] A store that refuses to write disarms; one that is only slow does not, for others can make it slow.
        except STORE_ERRORS as exc:
            await self._brake.pull(Cause.STORE, f"the database cannot be written ({exc})")
            return
        self._brake.release(Cause.STORE)
        # [CARE] More than max_actions uses of levers within ACTIONS_WINDOW_MS disarm, counted anew from each arming.
        if actions > self._max_actions:
            sentence = f"{actions} levers were used within an hour, and {self._max_actions} are allowed"
            await self._brake.pull(Cause.ACTIONS, sentence)
        else:
            self._brake.release(Cause.ACTIONS)


async def read_head_times(client: ChainClient) -> list[int]:
    """The time of the newest block by each endpoint that answers, in UTC ms."""
    times = []
    for answer in await client.ask_all([("eth_getBlockByNumber", ("latest", False))]):
        block = answer.results[0]
        if isinstance(block, RpcRefused) or not isinstance(block, dict):
            continue
        try:
            times.append(1000 * read_count(block.get("timestamp")))
        except RpcUnavailable:
            continue
    return times


def second_ahead_ms(times_ms: Sequence[int], now_ms: int) -> int | None:
    """By how much two endpoints at least say that the newest block is ahead of us; None where only one tells."""
    return sorted(times_ms)[-2] - now_ms if len(times_ms) > 1 else None


def _write_and_count(connection: Connection, now_ms: int) -> int:
    # A write that changes nothing is a write all the same: its page goes through the log and its fsync.
    connection.execute("UPDATE ledger SET instance = instance")
    return count_own_actions(connection, now_ms, ACTIONS_WINDOW_MS)
