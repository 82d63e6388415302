"""Another instance with our guardian's key: two processes with one key take each other's nonces and lose actions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import structlog
import trio

from tocsin_node.chain.client import ChainClient
from tocsin_node.chain.errors import RpcRefused, RpcUnavailable
from tocsin_node.chain.rpc import read_count
from tocsin_node.hooks.reading import LATEST, ask_agreed
from tocsin_node.store.guardian_counts import explain_count
from tocsin_node.store.writer import Store

from .brake import Brake, Cause

DOUBLE_SECONDS = 60.0
# Acting waits for the first look so long at most: endpoints that are down must not keep a node from acting.
FIRST_LOOK_SECONDS = 10.0
MIN_ENDPOINTS = 2

_log = structlog.get_logger("tocsin.doubles")


class Doubles:
    """Looks whether the guardian's account moves without us, on every chain on which it acts."""

    def __init__(self, store: Store, brake: Brake, guardian: str, clients: Mapping[str, ChainClient]) -> None:
        self._store = store
        self._brake = brake
        self._guardian = guardian
        self._clients = clients

    async def run_doubles(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look each DOUBLE_SECONDS until cancelled; started after the first look, or when that takes too long."""
        # [CARE] Nothing acts before the first look at the guardian's account, or before FIRST_LOOK_SECONDS have passed.
        with trio.move_on_after(FIRST_LOOK_SECONDS):
            await self._look()
        task_status.started()
        while True:
            await trio.sleep(DOUBLE_SECONDS)
            await self._look()

    async def _look(self) -> None:
        try:
            await self.look()
        except Exception:  # noqa: BLE001 - the brake keeps what could not be written, and tries it again
            _log.exception("the guardian's account could not be looked at")

    async def look(self) -> None:
        """Ask every chain how many transactions the guardian has made, and disarm where some are not ours."""
        for chain, client in self._clients.items():
            # [CARE] One endpoint's word about the guardian's account says nothing.
            if len(client.endpoints) < MIN_ENDPOINTS:
                continue
            (said,) = await ask_agreed(client, [("eth_getTransactionCount", (self._guardian, LATEST))])
            if said is None or isinstance(said, RpcRefused):
                continue
            try:
                count = read_count(said)
            except RpcUnavailable:
                continue
            foreign = await self._store.writer.submit(partial(explain_count, chain=chain, count=count))
            # [CARE] Transactions of the guardian that this node has not signed disarm it, until a person arms again.
            if foreign:
                sentence = (
                    f"{foreign} transactions of {self._guardian} on {chain} are not of this node: is there another?"
                )
                await self._brake.pull(Cause.DOUBLE, sentence)
                # Told once: the operator who arms again says that it was himself, or is over.
                self._brake.release(Cause.DOUBLE)
