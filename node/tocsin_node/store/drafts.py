"""Own signals that wait for their place in the feed: they count for our own decisions at once."""

from __future__ import annotations

import sqlite3

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.body import decode_body, encode_body
from tocsin_protocol.model import Signal
from tocsin_protocol.signing import keccak256

from .audit import append_audit
from .decisions import Decided, decide_incident
from .incidents import OpenIncidents
from .rules import Rules

MAX_DRAFTS = 1024
# Of the oldest, how many are looked through for one that has expired before the very oldest goes.
MAX_DRAFTS_SEARCHED = 64


def file_draft(connection: sqlite3.Connection, rules: Rules, signal: Signal, now_ms: int) -> Decided | None:
    """Keep a signal that may not be sealed yet and decide its incident.

    A new one is never refused: where MAX_DRAFTS are kept, an expired or else the oldest one goes.
    """
    body = encode_body(signal)
    digest = keccak256(body)
    # Before it joins an incident: what is not logged must not keep one open.
    if connection.execute("SELECT 1 FROM drafts WHERE digest = ?", (digest,)).fetchone():
        return None
    incidents = OpenIncidents(connection, (signal,), now_ms)
    incident, _ = incidents.join(digest, signal)
    incidents.write()
    connection.execute(
        "INSERT INTO drafts (digest, body, at_ms, incident) VALUES (?, ?, ?, ?)", (digest, body, now_ms, incident)
    )
    append_audit(connection, now_ms, EntryKind.SIGNAL, digest, {"path": "draft"})
    _make_room(connection, now_ms)
    return decide_incident(connection, rules, incident, now_ms)


def _make_room(connection: sqlite3.Connection, now_ms: int) -> None:
    if connection.execute("SELECT COUNT(*) FROM drafts").fetchone()[0] <= MAX_DRAFTS:
        return
    oldest = connection.execute("SELECT id, digest, body FROM drafts ORDER BY id LIMIT ?", (MAX_DRAFTS_SEARCHED,))
    drafts = oldest.fetchall()
    expired = (draft for draft in drafts if decode_body(draft[2]).expires_ms <= now_ms)
    number, digest, _ = next(expired, drafts[0])
    connection.execute("DELETE FROM drafts WHERE id = ?", (number,))
    detail = {"path": "draft", "dropped": f"{MAX_DRAFTS} drafts are kept, and newer ones came"}
    append_audit(connection, now_ms, EntryKind.SIGNAL, digest, detail)


def take_drafts(connection: sqlite3.Connection) -> list[Signal]:
    """Remove all drafts, oldest first, to be published in the same transaction."""
    bodies = connection.execute("SELECT body FROM drafts ORDER BY id").fetchall()
    connection.execute("DELETE FROM drafts")
    return [decode_body(body) for (body,) in bodies]
