"""What waits for the operators, as `tocsin status` says it: what they are asked or must see, and what is not open."""

from __future__ import annotations

from tocsin_protocol.recovery.stages import Stage

from tocsin_node.action_words import next_step
from tocsin_node.store.actions import read_unknown
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
    unknown = [f"{action.hook} on {action.target}: {next_step(action)}" for action in read_unknown(connection)]
    tracks = active_tracks(read_tracks(connection), rules).values()
    return [*unknown, *requests] + [
        f"{row.track.scope} is {row.track.stage}: see tocsin recover {row.track.incident.hex()[:_ID_CHARS]}"
        for row in tracks
        if row.track.stage is not Stage.NORMAL
    ]
