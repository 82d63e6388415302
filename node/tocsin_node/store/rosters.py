"""Rosters and proofs of equivocation on disk."""

from __future__ import annotations

import sqlite3

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.roster_encoding import decode_signed_roster, encode_signed_roster, roster_hash
from tocsin_protocol.roster_model import SignedRoster

from .audit import append_audit

# One roster change is a meeting of people; this is a thousand years of them.
MAX_EPOCHS = 100_000


def read_rosters(connection: sqlite3.Connection, first_epoch: int, most: int) -> list[SignedRoster]:
    """Signed rosters from an epoch on, in order."""
    rows = connection.execute("SELECT signed FROM rosters WHERE epoch >= ? ORDER BY epoch LIMIT ?", (first_epoch, most))
    return [decode_signed_roster(signed) for (signed,) in rows]


def load_rosters(connection: sqlite3.Connection, genesis: SignedRoster, now_ms: int) -> list[SignedRoster]:
    """All rosters, the given genesis among them when there was none yet."""
    insert_roster(connection, 0, genesis, now_ms)
    return read_rosters(connection, 0, MAX_EPOCHS)


def insert_roster(connection: sqlite3.Connection, epoch: int, signed: SignedRoster, now_ms: int) -> None:
    """Keep a verified roster; the same epoch again changes nothing."""
    row = connection.execute("INSERT OR IGNORE INTO rosters VALUES (?, ?)", (epoch, encode_signed_roster(signed)))
    if row.rowcount == 1:
        append_audit(connection, now_ms, EntryKind.ROSTER, roster_hash(signed.body), {"epoch": epoch})


def read_proofs(connection: sqlite3.Connection, skip: int, most: int) -> list[bytes]:
    """Proofs of equivocation in the order they came."""
    rows = connection.execute("SELECT proof FROM equivocations ORDER BY id LIMIT ? OFFSET ?", (most, skip))
    return [proof for (proof,) in rows]


def read_equivocators(connection: sqlite3.Connection) -> frozenset[bytes]:
    """Publishers proven to have told two histories."""
    return frozenset(publisher for (publisher,) in connection.execute("SELECT publisher FROM equivocations"))
