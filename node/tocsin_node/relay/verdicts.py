"""What was refused, in the audit log: counts by reason, so that nobody fills the record by sending rubbish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import structlog
import trio
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.encoding import MAX_UINT

from tocsin_node.store.audit import append_audit
from tocsin_node.store.writer import STORE_ERRORS, Connection, Store

from .metrics import Metrics

VERDICT_SECONDS = 15.0

_log = structlog.get_logger("tocsin.verdicts")


async def run_verdicts(
    store: Store,
    metrics: Metrics,
    now_ms: Callable[[], int],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Write one entry for every VERDICT_SECONDS in which something was refused."""
    task_status.started()
    written: Counter[str] = Counter()
    while True:
        await trio.sleep(VERDICT_SECONDS)
        refused = {reason: min(count, MAX_UINT) for reason, count in sorted((metrics.verdicts - written).items())}
        if refused:
            counted = Counter(metrics.verdicts)
            try:
                await store.writer.submit(partial(_append, at_ms=now_ms(), refused=refused))
                written = counted
            except STORE_ERRORS:
                # They are in the next entry; a store that cannot write disarms the node, and does not end it.
                _log.exception("what was refused could not be written down")


def _append(connection: Connection, at_ms: int, refused: dict[str, int]) -> None:
    append_audit(connection, at_ms, EntryKind.VERDICT, b"", {"refused": refused})
