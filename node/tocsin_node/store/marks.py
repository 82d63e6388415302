"""Which stored signals touch us: marked on arrival, and again when our manifest or a neighbour's has changed."""

from __future__ import annotations

import sqlite3
from enum import IntEnum

from tocsin_protocol.body import decode_body
from tocsin_protocol.decision.judge import touches_us
from tocsin_protocol.envelope import decode_envelope
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.model import Signal
from tocsin_protocol.signing import Domain
from tocsin_protocol.taxonomy import Relation

from ..exposure import Exposure

# Half a second of work; older ones are past acting in all but a flood.
MAX_REMARKED = 10_000


class Mark(IntEnum):
    """Whether a signal could change a decision; two marks, for reports must not crowd out what takes them back."""

    NOTHING = 0
    TOUCHES = 1
    RETRACTS = 2


def mark_of(exposure: Exposure, signal: Signal) -> Mark:
    """Whether a signal touches what ours hangs on, or takes another back."""
    if any(reference.relation is Relation.RETRACTS for reference in signal.references):
        return Mark.RETRACTS
    return Mark.TOUCHES if touches_us(exposure.spread, signal) else Mark.NOTHING


def mark_for_exposure(connection: sqlite3.Connection, domain: Domain, exposure: Exposure) -> int:
    """Mark the newest signals anew when the exposure is not the one they were marked by; returns how many changed."""
    if connection.execute("SELECT exposure FROM node").fetchone()[0] == exposure.fingerprint:
        return 0
    rows = connection.execute(
        "SELECT id, encoded, matters FROM signals WHERE incident IS NOT NULL ORDER BY id DESC LIMIT ?", (MAX_REMARKED,)
    ).fetchall()
    changes = []
    for number, encoded, marked in rows:
        try:
            now = mark_of(exposure, decode_body(decode_envelope(domain, encoded).body))
        except DecodeError:
            continue
        if now != marked:
            changes.append((now, number))
    connection.executemany("UPDATE signals SET matters = ? WHERE id = ?", changes)
    connection.execute("UPDATE node SET exposure = ?", (exposure.fingerprint,))
    return len(changes)
