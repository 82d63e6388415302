"""Signals about our own addresses: somebody says that a key of ours is the threat. An alarm, and no more."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import structlog
import trio
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.ids import address_of
from tocsin_protocol.taxonomy import SubjectKind

from tocsin_node.store.arrivals import Filed, Path
from tocsin_node.store.audit import append_audit
from tocsin_node.store.writer import STORE_ERRORS, Store

# One alarm for each publisher and address; beyond so many of them nobody reads more.
MAX_ALARMS = 64

_log = structlog.get_logger("tocsin.about-us")


class AboutUs:
    """Alarms once for each publisher that names an address of ours; `warnings` are shown in status."""

    def __init__(self, store: Store, own: Collection[str], now_ms: Callable[[], int]) -> None:
        self._store = store
        self._own = frozenset(own)
        self._now_ms = now_ms
        self._told: set[tuple[bytes, str]] = set()
        self._send, self._receive = trio.open_memory_channel[tuple[bytes, str, bytes]](MAX_ALARMS)

    @property
    def warnings(self) -> list[str]:
        """One sentence for each, in a fixed order."""
        return [
            f"publisher 0x{publisher.hex()} says that {address}, which is ours, is part of a threat: is the key safe?"
            for publisher, address in sorted(self._told)
        ]

    def filed(self, filed: Filed, path: Path) -> None:
        """Look at what a batch stored."""
        for opened in filed.stored:
            # [CARE] A signal about an address of our own alarms; it disarms nothing and bars that address alone.
            for subject in opened.signal.subjects if opened.signal is not None else ():
                address = address_of(subject.value).lower() if subject.kind is SubjectKind.ACCOUNT else ""
                seen = (opened.envelope.publisher, address)
                if address in self._own and seen not in self._told and len(self._told) < MAX_ALARMS:
                    self._told.add(seen)
                    self._send.send_nowait((*seen, opened.envelope.digest))

    async def run_alarms(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write the alarms down until cancelled."""
        task_status.started()
        async for publisher, address, digest in self._receive:
            _log.error("a signal is about an address of our own", publisher=publisher, address=address)
            write = partial(
                append_audit,
                at_ms=self._now_ms(),
                kind=EntryKind.ALARM,
                reference=digest,
                detail={"about_us": address, "publisher": publisher},
            )
            try:
                await self._store.writer.submit(write)
            except STORE_ERRORS:
                # The log has it, and status shows it; a store that cannot write disarms by itself.
                _log.exception("the alarm could not be written down")
