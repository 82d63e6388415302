"""Server-sent events from the audit table: the id of an event is its audit sequence, so a client can resume."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from tocsin_protocol.audit import AuditEntry, EntryKind
from tocsin_protocol.encoding import decode_canonical

from tocsin_node.store.reader import Reader
from tocsin_node.views import action_view, decision_view, incident_view, signal_view

POLL_SECONDS = 0.05
KEEP_ALIVE_SECONDS = 15.0
PAGE = 200
MAX_DETAIL_BYTES = 1024 * 1024
MAX_STREAMS = 256
# Of an incident's decisions, the one an entry speaks of is among the newest.
RECENT_DECISIONS = 20


async def stream_events(open_reader: Callable[[], Reader], after: int | None) -> AsyncIterator[str]:
    """Yield events after an audit sequence (None: from now on), as they are committed; comments keep it alive."""
    reader = await asyncio.to_thread(open_reader)
    try:
        position = await asyncio.to_thread(reader.audit_head) if after is None else after
        version, quiet = -1, 0.0
        yield ": tocsin live\n\n"
        while True:
            seen = await asyncio.to_thread(reader.data_version)
            if seen != version:
                version = seen
                while entries := await asyncio.to_thread(_page, reader, position):
                    for sequence, kind, data in entries:
                        position, quiet = sequence, 0.0
                        yield f"id: {sequence}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
            if quiet >= KEEP_ALIVE_SECONDS:
                quiet = 0.0
                yield ": still here\n\n"
            await asyncio.sleep(POLL_SECONDS)
            quiet += POLL_SECONDS
    finally:
        await asyncio.to_thread(reader.close)


def _page(reader: Reader, after: int) -> list[tuple[int, str, dict[str, Any]]]:
    return [(e.sequence, str(e.kind), event_view(reader, e)) for e in reader.audit(after=after, limit=PAGE)]


def event_view(reader: Reader, entry: AuditEntry) -> dict[str, Any]:
    """An audit entry with what it is about."""
    detail = decode_canonical(entry.detail, max_bytes=MAX_DETAIL_BYTES)
    view: dict[str, Any] = {
        "sequence": entry.sequence,
        "at_ms": entry.at_ms,
        "kind": str(entry.kind),
        "about": entry.reference.hex(),
        "detail": _plain(detail),
    }
    match entry.kind:
        case EntryKind.SIGNAL:
            row = reader.signal(entry.reference)
            if row is not None:
                view["signal"] = signal_view(row, reader.roster())
        case EntryKind.INCIDENT:
            view["incident"] = incident_view(reader.incident(entry.reference.hex()), reader.roster())
        case EntryKind.DECISION:
            number = int.from_bytes(detail["decision"], "big")
            recent = reader.decisions(entry.reference, limit=RECENT_DECISIONS)
            view["decision"] = next((decision_view(row) for row in recent if row.id == number), None)
        case EntryKind.ACTION | EntryKind.OUTCOME:
            row_of = reader.action(entry.reference)
            view["action"] = action_view(row_of) if row_of else None
    return view


def _plain(value: Any) -> Any:
    """Bytes as hex, so that it is JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
