"""What waits for the operators, as `tocsin status` says it: what they are asked, and what is not open yet."""

from __future__ import annotations

from tocsin_protocol.recovery.stages import Stage

from tocsin_node.store.requests import read_requests
from tocsin_node.store.rules import Rules
from tocsin_node.store.scene import active_tracks
from tocsin_node.store.tracks import read_tracks
from tocsin_node.store.writer import Connection

_ID_CHARS = 12


def read_waiting(connection: Connection, rules: Rules, now_ms: int) -> list[str]:
    """A sentence for each, what expires first before the rest."""
    asked = [row for row in read_requests(connection, is_open=True) if now_ms < row.request.expires_ms]
    asked.sort(key=lambda row: row.request.expires_ms)
    requests = [
        f"the operators are asked: {row.request.effect} See tocsin approve show {row.digest.hex()[:_ID_CHARS]}"
        for row in asked
    ]
    tracks = active_tracks(read_tracks(connection), rules).values()
    return requests + [
        f"{row.track.scope} is {row.track.stage}: see tocsin recover {row.track.incident.hex()[:_ID_CHARS]}"
        for row in tracks
        if row.track.stage is not Stage.NORMAL
    ]
