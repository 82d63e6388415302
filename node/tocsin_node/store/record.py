"""The tree over the audit table: grown, signed and committed with the entries; checked when the database is opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from tocsin_protocol.audit import encode_entry
from tocsin_protocol.errors import ProofError, ProtocolError
from tocsin_protocol.log.checkpoint import (
    MAX_GENERATION,
    decode_checkpoint,
    name_generation,
    read_origin,
    sign_checkpoint,
    verify_checkpoint,
)
from tocsin_protocol.log.note import Signer, VerifierKey, decode_note, encode_note
from tocsin_protocol.log.tiles import TILE_WIDTH, RightEdge, grow_edge, read_edge, split_tile
from tocsin_protocol.log.tree import leaf_hash

from .copies import why_log_waits

MAX_ENTRIES_AT_ONCE = 4096


class Record:
    """The tree's right edge in memory. The writer alone adds to it; anybody may ask for `fault`."""

    def __init__(self, connection: sqlite3.Connection, first_origin: str, secret: bytes) -> None:
        """Read the edge from the tiles, and add the entries that an older version left out of the tree."""
        self._first_origin = first_origin
        self._secret = secret
        self._signer = Signer(secret, self._name(connection))
        # Why the log does not agree with itself, or nothing; and why that of a copied database waits.
        self._broken = ""
        self.waits = self._waits_next = self._why_waits(connection)
        # What is on disk.
        self.edge = RightEdge()
        try:
            self.edge = self._read_edge(connection)
        except ProtocolError as exc:
            self._fail(exc)
        connection.execute("BEGIN IMMEDIATE")
        edge = self.integrate(connection)
        connection.execute("COMMIT")
        self.keep(edge)

    @property
    def key(self) -> VerifierKey:
        """The key that signs the heads, under the name that the log has now."""
        return self._signer.key

    @property
    def fault(self) -> str:
        """Why the log grows no more, or nothing."""
        return self._broken or self.waits

    def integrate(self, connection: sqlite3.Connection) -> RightEdge:
        """Add the entries of the open transaction; returns what to `keep` once it is committed."""
        # Whoever lets it go on, or stops it, does so in the open transaction, which may yet be taken back.
        self._waits_next = self._why_waits(connection)
        if self._broken or self._waits_next:
            return self.edge
        connection.execute("SAVEPOINT log")
        try:
            edge = self._grow(connection)
        except ProtocolError as exc:
            connection.execute("ROLLBACK TO log")
            self._fail(exc)
            edge = self.edge
        connection.execute("RELEASE log")
        return edge

    def keep(self, edge: RightEdge) -> None:
        """What was integrated is on disk."""
        self.edge, self.waits = edge, self._waits_next

    def _name(self, connection: sqlite3.Connection) -> str:
        generation = read_generation(connection)
        # What stands still for good keeps the name under which its head was signed.
        if why_spent(generation) and (note := read_head(connection)) is not None:
            with suppress(ProtocolError):
                named = read_origin(decode_checkpoint(decode_note(note).text).origin)
                generation = generation if named is None else named.generation
        return name_generation(self._first_origin, generation)

    def _why_waits(self, connection: sqlite3.Connection) -> str:
        return why_spent(read_generation(connection)) or why_log_waits(connection)

    def _fail(self, exc: ProtocolError) -> None:
        # [LOG] A log that does not agree with itself grows no more; whatever else a node does goes on.
        self._broken = f"the log does not agree with itself: {exc}; see `tocsin log fsck`"

    def _grow(self, connection: sqlite3.Connection) -> RightEdge:
        # [LOG] An entry, its tiles and the signed head over them are on disk together, before its writer is answered.
        edge = self.edge
        while rows := _rows(connection, edge.size, MAX_ENTRIES_AT_ONCE):
            edge, changed = grow_edge(edge, _leaves(rows, edge.size))
            connection.executemany(
                "INSERT OR REPLACE INTO log_tiles VALUES (?, ?, ?)",
                [(tile.level, tile.number, hashes) for tile, hashes in changed],
            )
        origin = self._name(connection)
        if origin != self._signer.key.name:
            self._signer = Signer(self._secret, origin)
        if edge.size != self.edge.size or not edge.size:
            note = sign_checkpoint(self._signer, edge.size, edge.root)
            connection.execute("INSERT OR REPLACE INTO log_head VALUES (1, ?, ?)", (str(self.key), encode_note(note)))
        return edge

    def _read_edge(self, connection: sqlite3.Connection) -> RightEdge:
        """The edge that the tiles tell of, checked against the head and the last entries."""
        note = read_head(connection)
        if note is None:
            if connection.execute("SELECT 1 FROM log_tiles LIMIT 1").fetchone():
                raise ProofError("it has tiles and no signed head")
            return RightEdge()
        # [LOG] At the start the right edge is read from the tiles; our own key has to have signed a head with its root.
        head = verify_checkpoint(note, [self.key]).checkpoint
        edge = read_edge(head.size, partial(read_tile, connection))
        if edge.root != head.root:
            raise ProofError(f"its tiles have another root than its head of {head.size} entries")
        if head.size:
            _check_last_entries(connection, head.size)
        return edge


def _check_last_entries(connection: sqlite3.Connection, size: int) -> None:
    # [LOG] The entries of the last tile are then hashed anew, and have to be those of its hashes.
    number = (size - 1) // TILE_WIDTH
    first = number * TILE_WIDTH
    wanted = split_tile(read_tile(connection, 0, number), size - first)
    found = _leaves(_rows(connection, first, len(wanted)), first)
    for index, (leaf, held) in enumerate(zip(found, wanted, strict=False), first):
        if leaf != held:
            raise ProofError(f"entry {index} is not the one that was logged")
    if len(found) != len(wanted):
        raise ProofError(f"it has {first + len(found)} entries where its head has {size}")


def read_generation(connection: sqlite3.Connection) -> int:
    """How often the log was begun anew, and one."""
    generation: int = connection.execute("SELECT generation FROM log_generation").fetchone()[0]
    return generation


def why_spent(generation: int) -> str:
    """Why a log of this generation stands still for good, or nothing."""
    if generation < MAX_GENERATION:
        return ""
    return (
        f"the name of this log is used up: heads of it are signed up to generation {MAX_GENERATION - 1}. Have the"
        " roster give this node a new publisher and a new log key, and start it with them in a new home"
    )


def read_head(connection: sqlite3.Connection) -> bytes | None:
    """The signed head, None in a database that no version with a log has opened."""
    row = connection.execute("SELECT note FROM log_head").fetchone()
    return None if row is None else row[0]


def read_key(connection: sqlite3.Connection) -> str:
    """The log's public key as C2SP writes it, as the node that signed the head left it; nothing without a head."""
    row = connection.execute("SELECT key FROM log_head").fetchone()
    return "" if row is None else row[0]


def read_tile(connection: sqlite3.Connection, level: int, number: int) -> bytes:
    """The hashes of a tile as far as the log has them; raises ProofError without any."""
    query = "SELECT hashes FROM log_tiles WHERE level = ? AND number = ?"
    row = connection.execute(query, (level, number)).fetchone()
    if row is None:
        raise ProofError(f"tile {number} of level {level} is missing")
    hashes: bytes = row[0]
    return hashes


def read_entries(connection: sqlite3.Connection, first: int, most: int) -> list[bytes]:
    """Entries from an index on, as the log holds them; raises ProofError where one is missing."""
    rows = _rows(connection, first, most)
    _check_sequences(rows, first)
    return [encode_entry(*row[1:]) for row in rows]


_Row = tuple[int, int, str, bytes, bytes]


def _rows(connection: sqlite3.Connection, first: int, most: int) -> list[_Row]:
    query = "SELECT sequence, at_ms, kind, reference, detail FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?"
    return connection.execute(query, (first, most)).fetchall()


def _leaves(rows: Sequence[_Row], first: int) -> list[bytes]:
    _check_sequences(rows, first)
    return [leaf_hash(encode_entry(*row[1:])) for row in rows]


def _check_sequences(rows: Sequence[_Row], first: int) -> None:
    """They rise by one, so the last tells whether one is missing."""
    if rows and rows[-1][0] != first + len(rows):
        missing = next(n for n, row in enumerate(rows, first + 1) if row[0] != n)
        raise ProofError(f"entry {missing - 1} is missing")
