"""A log on disk, its anchors' task and a chain: what the tests of anchoring share."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
from chain_kit import DEADLINE_S
from tocsin_node.chain.client import open_chain
from tocsin_node.chain.config import ChainConfig
from tocsin_node.chain.guardian import Guardian
from tocsin_node.chain.sender import Sender
from tocsin_node.clock import now_ms
from tocsin_node.demo.anvil import Anvil
from tocsin_node.relay.anchoring import Anchoring
from tocsin_node.relay.metrics import Metrics
from tocsin_node.store.anchors import AnchorRow, AnchorStatus, read_anchor_status, read_anchors
from tocsin_node.store.audit import append_audit, read_audit
from tocsin_node.store.writer import Store
from tocsin_protocol.audit import AuditEntry, EntryKind
from tocsin_protocol.containment.life_cycle import State

ANCHOR_KEY = hashlib.sha256(b"anchor").digest()
ANCHOR = Guardian(ANCHOR_KEY)
ETHER = 10**18


@dataclass
class AnchorBench:
    """A chain and a data directory, over as many runs of a node as a test wants."""

    anvil: Anvil
    folder: Path
    may_show: bool = True

    def config(self, *urls: str, **settings: Any) -> ChainConfig:
        patience = {
            "settle_ms": 50_000,
            "poll_max_ms": 50,
            "rebroadcast_ms": 100,
            "bump_ms": 600_000,
            "watch_ms": 50,
            "request_timeout_ms": 30_000,
            "gas_limit": 60_000,
        }
        return ChainConfig(chain=self.anvil.chain, endpoints=list(urls or [self.anvil.url]), **(patience | settings))

    @asynccontextmanager
    async def open_run(self, *urls: str, interval_ms: int = 0, **settings: Any) -> AsyncIterator[AnchorRun]:
        """One run of a node: its store, and the task that anchors."""
        store, metrics = Store(self.folder, b"\1" * 20, b"\2" * 32, bytes(32)), Metrics()
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(store.writer.run_writer)
                # What anchors ends before its connections are closed, as in a node.
                async with open_chain(self.config(*urls, **settings)) as client, trio.open_nursery() as anchoring:
                    sender = Sender(client, ANCHOR)
                    task = Anchoring(store, sender, interval_ms, lambda: self.may_show, metrics, now_ms)
                    yield AnchorRun(store, task, metrics, anchoring)
                    anchoring.cancel_scope.cancel()
                nursery.cancel_scope.cancel()
        finally:
            store.close()

    async def wait_pooled(self) -> None:
        """Wait until the pool has what was sent: that is durable before."""
        with trio.fail_after(DEADLINE_S):
            while not int(await self.anvil.call("eth_getTransactionCount", ANCHOR.address, "pending"), 16):  # noqa: ASYNC110 - as in chain_kit
                await trio.sleep(0.02)

    async def count_sent(self) -> int:
        """Transactions of the anchor's account that the chain holds."""
        return int(await self.anvil.call("eth_getTransactionCount", ANCHOR.address, "latest"), 16)


@dataclass
class AnchorRun:
    """What a test sees of a run."""

    store: Store
    anchoring: Anchoring
    metrics: Metrics
    nursery: trio.Nursery

    async def start(self) -> None:
        await self.nursery.start(self.anchoring.run_anchoring)

    async def log(self, count: int = 1) -> None:
        """Something happens that is logged."""
        for _ in range(count):
            await self.store.writer.submit(
                lambda connection: append_audit(connection, now_ms(), EntryKind.VERDICT, b"", {"refused": {"rate": 1}})
            )

    async def rows(self) -> list[AnchorRow]:
        return await self.store.writer.submit(read_anchors)

    async def status(self) -> AnchorStatus:
        return await self.store.writer.submit(read_anchor_status)

    async def entries(self, kind: EntryKind) -> list[AuditEntry]:
        return [e for e in await self.store.writer.submit(lambda c: read_audit(c, 0, 10_000)) if e.kind is kind]

    async def wait_for(self, condition: Callable[[list[AnchorRow]], bool]) -> list[AnchorRow]:
        with trio.fail_after(DEADLINE_S):
            while not condition(rows := await self.rows()):  # noqa: ASYNC110 - as in chain_kit
                await trio.sleep(0.02)
        return rows

    async def wait_anchored(self, count: int = 1) -> list[AnchorRow]:
        """Wait until so many anchors are confirmed."""
        return await self.wait_for(lambda rows: sum(r.anchor.state is State.EFFECTIVE for r in rows) >= count)

    async def wait_trouble(self, cause: str) -> AnchorStatus:
        with trio.fail_after(DEADLINE_S):
            while not (status := await self.status()).trouble.startswith(cause):  # noqa: ASYNC110 - as in chain_kit
                await trio.sleep(0.02)
        return status
