"""Anchors on disk: one for each chain and size of the log, every event of its life, and what keeps them from success.

An anchor lives as an action does, and is followed as one (hooks.pursuit); it is none of the ledger's: it contains
nothing, needs no arming, and no hook waits for it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.containment.action import Action, Detail, SignedTransaction, apply_event
from tocsin_protocol.containment.life_cycle import SETTLED, ContainmentError, Event, State
from tocsin_protocol.encoding import decode_canonical, encode_canonical
from tocsin_protocol.log.anchor import decode_anchor, encode_anchor
from tocsin_protocol.log.checkpoint import Checkpoint, verify_checkpoint
from tocsin_protocol.log.note import VerifierKey

from .actions import MAX_EVENT_BYTES
from .audit import append_audit
from .record import read_head

# Of what is shown and read at the start; once an hour makes so many in six weeks.
MAX_ANCHORS_READ = 1024
HOOK = "log-anchor"

_ID_DOMAIN = b"tocsin/anchor/1"
_COLUMNS = "id, account, payload, created_ms"
_SETTLED_STATES = tuple(sorted(state.value for state in SETTLED))
# With a hook at work; the others wait for people, for as long as those take.
_UNDER_WAY = (State.PLANNED, State.PREFLIGHT, State.SIGNED, State.BROADCAST, State.INCLUDED)


class Trouble(StrEnum):
    """What keeps the log from being anchored."""

    SPEND = "spend"
    REFUSED = "refused"
    UNCONFIRMED = "unconfirmed"
    ENDPOINTS = "endpoints"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class AnchorRow:
    """An anchor as people are shown it."""

    anchor: Action
    chain: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class AnchorStatus:
    """The newest anchor that is confirmed, and what is in the way of the next one, or nothing."""

    newest: AnchorRow | None
    trouble: str


def read_unanchored(connection: sqlite3.Connection, key: VerifierKey, chain: str) -> Checkpoint | None:
    """The signed head, where it holds something that this chain does not have yet; raises as `verify_checkpoint`."""
    note = read_head(connection)
    # [LOG] Only a head that the log's key has signed, and that is on disk, is anchored.
    head = None if note is None else verify_checkpoint(note, [key]).checkpoint
    if head is None or head.size == 0:
        return None
    query = "SELECT COALESCE(MAX(size), 0), COALESCE(MAX(size) FILTER (WHERE state IN (?, ?)), 0) FROM anchors"
    told = (State.EFFECTIVE.value, State.INCLUDED.value, chain)
    tried, anchored = connection.execute(f"{query} WHERE chain = ?", told).fetchone()
    # [LOG] A chain has at most one anchor of a size, and none of a log that grew by nothing but anchors' entries.
    news = "SELECT 1 FROM audit WHERE sequence > ? AND sequence <= ? AND kind != ? LIMIT 1"
    if head.size <= tried or connection.execute(news, (anchored, head.size, EntryKind.ANCHOR)).fetchone() is None:
        return None
    return head


def begin_anchor(
    connection: sqlite3.Connection,
    head: Checkpoint,
    account: str,
    chain: str,
    signed: SignedTransaction,
    sign_detail: Detail,
    now_ms: int,
) -> Action:
    """Make an anchor durable with its signed bytes, before anybody is sent them."""
    # [LOG] An anchor and its signed bytes are on disk before they are sent, and the same bytes are sent again.
    connection.execute(
        "INSERT INTO anchors VALUES (?, ?, ?, ?, ?, ?, ?)",
        (_anchor_id(chain, head.size), chain, head.size, account, encode_anchor(head), now_ms, State.PLANNED.value),
    )
    return append_anchor_event(connection, _anchor_id(chain, head.size), Event.SIGN, sign_detail, now_ms)


def append_anchor_event(
    connection: sqlite3.Connection, anchor_id: bytes, event: Event, detail: Detail, now_ms: int
) -> Action:
    """Apply one event to an anchor; raises ContainmentError where its life-cycle does not allow it."""
    anchor = _find(connection, anchor_id)
    if anchor is None:
        raise ContainmentError(f"anchor {anchor_id.hex()} is not on disk")
    after = apply_event(anchor, event, detail)
    if event is Event.SEND and after.state is anchor.state:
        return after  # one that waits for weeks must not fill the disk with its tries
    connection.execute(
        "INSERT INTO anchor_events (anchor, at_ms, event, detail) VALUES (?, ?, ?, ?)",
        (anchor_id, now_ms, event.value, encode_canonical(dict(detail))),
    )
    connection.execute("UPDATE anchors SET state = ? WHERE id = ?", (after.state.value, anchor_id))
    (chain,) = connection.execute("SELECT chain FROM anchors WHERE id = ?", (anchor_id,)).fetchone()
    if after.state is State.EFFECTIVE:
        clear_trouble(connection)
        _log_anchor(connection, after, chain, now_ms)
    elif event is Event.REORG and anchor.state is State.EFFECTIVE:
        _log_drop(connection, anchor, chain, after.reason, now_ms)
    elif event is Event.LOSE:
        raise_trouble(connection, Trouble.UNCONFIRMED, chain, after.reason, now_ms)
    elif after.is_settled:
        raise_trouble(connection, Trouble.REFUSED, chain, after.reason, now_ms)
    return after


def raise_trouble(connection: sqlite3.Connection, cause: Trouble, chain: str, why: str, now_ms: int) -> bool:
    """Note what keeps the log from being anchored; False where the same was known before, and nothing is logged."""
    row = connection.execute("SELECT cause FROM anchor_trouble").fetchone()
    # [LOG] What keeps a log from being anchored is alarmed once, until an anchor holds; the log goes on.
    is_new = row is None or row[0] != cause.value
    connection.execute("INSERT OR REPLACE INTO anchor_trouble VALUES (1, ?, ?, ?)", (cause.value, why, now_ms))
    if is_new:
        append_audit(connection, now_ms, EntryKind.ALARM, b"", {"anchor": chain, "cause": cause.value, "why": why})
    return is_new


def clear_trouble(connection: sqlite3.Connection) -> None:
    """Nothing is in the way any more."""
    connection.execute("DELETE FROM anchor_trouble")


def read_open_anchor(connection: sqlite3.Connection, chain: str, account: str) -> Action | None:
    """The anchor of this key on this chain that is under way, if one is."""
    marks = ", ".join("?" * len(_SETTLED_STATES))
    query = f"SELECT id FROM anchors WHERE chain = ? AND account = ? AND state NOT IN ({marks}) ORDER BY size"  # noqa: S608
    row = connection.execute(query, (chain, account, *_SETTLED_STATES)).fetchone()
    return None if row is None else _find(connection, row[0])


def read_signed_anchors(connection: sqlite3.Connection, chain: str, account: str) -> list[Action]:
    """The newest anchors of this key on this chain, newest first, at most MAX_ANCHORS_READ."""
    query = "SELECT id FROM anchors WHERE chain = ? AND account = ? ORDER BY size DESC LIMIT ?"
    rows = connection.execute(query, (chain, account, MAX_ANCHORS_READ)).fetchall()
    return [anchor for (anchor_id,) in rows if (anchor := _find(connection, anchor_id)) is not None]


def read_anchors(connection: sqlite3.Connection, most: int = MAX_ANCHORS_READ) -> list[AnchorRow]:
    """The newest anchors of any key and chain, newest first."""
    rows = connection.execute("SELECT id, chain FROM anchors ORDER BY created_ms DESC, size DESC LIMIT ?", (most,))
    return [row for anchor_id, chain in rows.fetchall() if (row := _row(connection, anchor_id, chain)) is not None]


def read_anchor_status(connection: sqlite3.Connection) -> AnchorStatus:
    """What `tocsin status` says."""
    query = "SELECT id, chain FROM anchors WHERE state = ? ORDER BY created_ms DESC, size DESC LIMIT 1"
    newest = connection.execute(query, (State.EFFECTIVE.value,)).fetchone()
    trouble = connection.execute("SELECT cause, sentence FROM anchor_trouble").fetchone()
    return AnchorStatus(
        None if newest is None else _row(connection, *newest), "" if trouble is None else f"{trouble[0]}: {trouble[1]}"
    )


def is_acting(connection: sqlite3.Connection) -> bool:
    """Whether an action is under way that a hook is at work on."""
    marks = ", ".join("?" * len(_UNDER_WAY))
    query = f"SELECT EXISTS (SELECT 1 FROM actions WHERE state IN ({marks}))"  # noqa: S608
    return bool(connection.execute(query, tuple(state.value for state in _UNDER_WAY)).fetchone()[0])


def _log_anchor(connection: sqlite3.Connection, after: Action, chain: str, now_ms: int) -> None:
    """The entry of an anchor that is as deep in the chain as is wanted."""
    (included,) = [item for item in after.transactions if item.hash == after.included_hash]
    anchor = decode_anchor(after.payload)
    detail = {
        "account": bytes.fromhex(after.target.removeprefix("0x")),
        "block_hash": after.block_hash,
        "block_number": after.block_number,
        "chain": chain,
        "hash": included.hash,
        "raw": included.raw,
        "size": anchor.size,
    }
    append_audit(connection, now_ms, EntryKind.ANCHOR, anchor.root, detail)


def _log_drop(connection: sqlite3.Connection, before: Action, chain: str, why: str, now_ms: int) -> None:
    detail = {"chain": chain, "dropped": before.included_hash, "why": why}
    append_audit(connection, now_ms, EntryKind.ANCHOR, decode_anchor(before.payload).root, detail)


def _anchor_id(chain: str, size: int) -> bytes:
    return sha256(_ID_DOMAIN + size.to_bytes(8, "big") + chain.encode()).digest()


def _row(connection: sqlite3.Connection, anchor_id: bytes, chain: str) -> AnchorRow | None:
    found = _find(connection, anchor_id)
    if found is None:
        return None
    anchor = decode_anchor(found.payload)
    return AnchorRow(found, chain, anchor.size, anchor.root)


def _find(connection: sqlite3.Connection, anchor_id: bytes) -> Action | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM anchors WHERE id = ?", (anchor_id,)).fetchone()  # noqa: S608
    if row is None:
        return None
    _, account, payload, created_ms = row
    anchor = Action(anchor_id, HOOK, account, 0, b"", b"", payload, created_ms, created_ms)
    events = connection.execute("SELECT event, detail FROM anchor_events WHERE anchor = ? ORDER BY id", (anchor_id,))
    for event, detail in events:
        anchor = apply_event(anchor, Event(event), decode_canonical(detail, max_bytes=MAX_EVENT_BYTES))
    return anchor
