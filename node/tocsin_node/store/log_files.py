"""The log in our own database, as the files that others would read."""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path

from tocsin_protocol.audit import EntryKind
from tocsin_protocol.errors import ProofError
from tocsin_protocol.log.checkpoint import Checkpoint, verify_checkpoint
from tocsin_protocol.log.note import VerifierKey, decode_verifier_key
from tocsin_protocol.log.tiles import TILE_WIDTH, Tile, encode_bundle
from tocsin_protocol.log.tree import HASH_BYTES

from ..record.checking import MAX_FAULTS, LogFault
from ..record.files import LogFileError
from .database import StoreError, open_reader
from .pruning import find_prunable, keep_since, read_pruned
from .record import read_entries, read_head, read_key, read_tile
from .shown_heads import read_best_shown, read_witnessed


class StoreLog:
    """The log as it was when this was opened, whatever is written or pruned meanwhile. Use it from one thread, and
    close it soon: as long as it is open, the database's write-ahead log grows.
    """

    def __init__(self, data_dir: Path) -> None:
        """Open; raises StoreError where there is no database, or it has no log yet."""
        self._connection = open_reader(data_dir)
        self._connection.execute("BEGIN")
        note, key = read_head(self._connection), read_key(self._connection)
        if note is None:
            self.close()
            raise StoreError(f"{data_dir}: no log yet; start the node once with `tocsin run`")
        self._note = note
        self._key = key

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @property
    def key(self) -> VerifierKey:
        """The log's own key; raises DecodeError."""
        return decode_verifier_key(self._key)

    @property
    def head(self) -> Checkpoint:
        """The head, with the signature of the log's key; raises DecodeError or SignatureError."""
        return verify_checkpoint(self._note, [self.key]).checkpoint

    @property
    def pruned(self) -> int:
        """How many entries from the first are kept elsewhere only."""
        return read_pruned(self._connection)

    def find_prunable(self, keep_days: int, now_ms: int) -> int:
        """Up to where entries may go, as a number of entries; raises as `head`."""
        return find_prunable(self._connection, self.head.size, keep_since(self._connection, keep_days, now_ms))

    def checkpoint(self) -> bytes:
        """The signed head."""
        return self._note

    def shown_checkpoint(self) -> bytes:
        """Of the heads that others were shown last the most cosigned one; raises StoreError before there is any."""
        # [LOG] The feed serves, of the heads that were shown last, the one that most have cosigned.
        note = read_best_shown(self._connection)
        if note is None:
            raise StoreError("no head of this log is shown yet, or it was begun anew and is not confirmed")
        return note

    def witnessed_checkpoint(self, least: int) -> bytes:
        """A signed head over the first `least` entries, for those to whom something is proven."""
        return read_witnessed(self._connection, least) or self._note

    def tile(self, tile: Tile) -> bytes:
        """The hashes of a tile, cut to its width."""
        try:
            return read_tile(self._connection, tile.level, tile.number)[: tile.width * HASH_BYTES]
        except (ProofError, sqlite3.Error) as exc:
            raise LogFileError(f"{tile.path}: {exc}") from exc

    def bundle(self, tile: Tile) -> bytes:
        """The entries under a tile of level 0."""
        if tile.number * TILE_WIDTH < self.pruned:
            raise LogFileError(f"{tile.bundle_path}: its entries were pruned, and are where they were exported to")
        try:
            return encode_bundle(read_entries(self._connection, tile.number * TILE_WIDTH, tile.width))
        except (ProofError, sqlite3.Error) as exc:
            raise LogFileError(f"{tile.bundle_path}: {exc}") from exc

    def find_id(self, id_prefix: str) -> bytes:
        """The one id that entries are about and whose hex begins so; raises StoreError where none or several do."""
        rows = self._connection.execute(
            "SELECT DISTINCT reference FROM audit WHERE substr(hex(reference), 1, ?) = ? LIMIT 2",
            (len(id_prefix), id_prefix.upper()),
        ).fetchall()
        if len(rows) != 1:
            raise StoreError(f"{'no entry' if not rows else 'more than one id'} of the log is about {id_prefix!r}")
        found: bytes = rows[0][0]
        return found

    def find_entries(self, about: bytes, most: int) -> list[int]:
        """Indexes of the entries about an id and, if it is an incident's, about its signals and actions; oldest first.

        Raises as `head`.
        """
        rows = self._connection.execute(
            "SELECT sequence FROM audit WHERE sequence <= ?2 AND (reference = ?1"
            " OR reference IN (SELECT digest FROM signals WHERE incident = ?1)"
            " OR reference IN (SELECT id FROM actions WHERE incident = ?1)) ORDER BY sequence LIMIT ?3",
            (about, self.head.size, most),
        )
        return [sequence - 1 for (sequence,) in rows]

    def find_signal(self, digest: bytes) -> int | None:
        """Index of the entry that says when a signal was admitted, None where there is none; raises as `head`."""
        row = self._connection.execute(
            "SELECT MIN(sequence) FROM audit WHERE reference = ? AND kind = ? AND sequence <= ?",
            (digest, EntryKind.SIGNAL.value, self.head.size),
        ).fetchone()
        return None if row[0] is None else row[0] - 1

    def read_signal(self, digest: bytes) -> bytes | None:
        """The encoded envelope of a signal, None where it has none."""
        row = self._connection.execute("SELECT encoded FROM signals WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else row[0]

    def check_details(self) -> list[LogFault]:
        """The details that were too large for their entries and are not those that the entries tell of."""
        # [LOG] A detail kept beside the log is whole where its SHA-256 is the one that it is kept under.
        rows = self._connection.execute("SELECT sha256, detail FROM large_details")
        altered = [key for key, detail in rows if sha256(detail).digest() != key]
        return [LogFault(f"detail {key.hex()}", "is not the one that was logged") for key in altered[:MAX_FAULTS]]

    def count_outside(self) -> int:
        """How many entries are not under the head, because the log does not agree with itself; raises as `head`."""
        query = "SELECT COUNT(*) FROM audit WHERE sequence > ?"
        count: int = self._connection.execute(query, (self.head.size,)).fetchone()[0]
        return count
