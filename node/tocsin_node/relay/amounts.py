"""Reading again what lies in our holdings: by it decisions know what an incident would cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog
import trio
from tocsin_protocol.exposure.manifest import Amount

from tocsin_node.amounts import AmountKey, with_amounts
from tocsin_node.chain.amounts import read_amounts
from tocsin_node.chain.client import ChainClient
from tocsin_node.exposure import make_exposure
from tocsin_node.manifest_file import LoadedExposure

from .rules_in_force import RulesInForce

READ_EVERY_SECONDS = 300.0
"""Value in a market moves by a few percent in it; a run of readings costs a request for each balance and endpoint."""

_log = structlog.get_logger("tocsin.amounts")


class Amounts:
    """Reads the amounts that the manifest says how to read, at the start and ever again."""

    def __init__(
        self,
        loaded: LoadedExposure,
        clients: Mapping[str, ChainClient],
        rules: RulesInForce,
        now_ms: Callable[[], int],
    ) -> None:
        self._loaded = loaded
        self._clients = clients
        self._rules = rules
        self._now_ms = now_ms
        self._known: dict[AmountKey, Amount] = {}

    async def run_amounts(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until cancelled; a node whose manifest has no balances reads nothing."""
        task_status.started()
        while self._loaded.readings:
            try:
                await self._read()
            except Exception:  # noqa: BLE001 - what is known still counts; the log has the traceback
                _log.exception("amounts could not be read")
            await trio.sleep(READ_EVERY_SECONDS)

    async def _read(self) -> None:
        read = await read_amounts(self._clients, self._loaded.readings, self._now_ms())
        # [EXPOSURE] An amount that cannot be read now stays what it was.
        for name, fault in read.faults.items():
            _log.warning("an amount could not be read, the last one still counts", amount=name, why=fault)
        if not read.amounts:
            return
        self._known |= read.amounts
        own = with_amounts(self._loaded.exposure.own, self._known)
        self._rules.use_exposure(make_exposure(own, self._loaded.others))
