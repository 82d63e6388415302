"""A log that was exported with what stands beside it; and whether an export holds what is to be dropped here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from tocsin_protocol.audit import MAX_DETAIL_BYTES, AuditEntry, EntryKind, decode_entry
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.log.checkpoint import Checkpoint
from tocsin_protocol.log.tiles import TILE_WIDTH, decode_bundle, split_tile, tile_at
from tocsin_protocol.log.tree import leaf_hash

from .beside import DETAILS, signals_path
from .files import MAX_BUNDLE_BYTES, LogFileError, LogFiles, LogFolder
from .source import MAX_LARGE_DETAIL_BYTES, STAND_IN

# What is asked for lies close together: parts shortly before what names them.
MAX_BUNDLES_KEPT = 16


class ExportedLog(LogFolder):
    """What `tocsin log export --whole` wrote, read in the order of its entries. A file that is not there raises
    LogFileError; what has no file of its own and was not written is None.
    """

    pruned = 0

    def __init__(self, folder: Path, head: Checkpoint) -> None:
        super().__init__(folder)
        self.head = head
        # Where the entry of a signal or a draft is that was heard of so far.
        self._signals: dict[bytes, int] = {}
        self._drafts: dict[bytes, int] = {}
        self._entries = lru_cache(MAX_BUNDLES_KEPT)(self._read_entries)
        self._records = lru_cache(MAX_BUNDLES_KEPT)(self._read_records)

    def entries(self, after: int = 0) -> Iterator[AuditEntry]:
        """The entries of a sequence above `after`, oldest first."""
        for sequence in range(after + 1, self.head.size + 1):
            entry = self.entry(sequence)
            if entry.kind is EntryKind.SIGNAL:
                is_draft = decode_canonical(entry.detail, max_bytes=MAX_DETAIL_BYTES).get("path") == "draft"
                (self._drafts if is_draft else self._signals).setdefault(entry.reference, sequence - 1)
            yield entry

    def entry(self, sequence: int) -> AuditEntry:
        """One entry that `entries` had."""
        number, place = divmod(sequence - 1, TILE_WIDTH)
        return decode_entry(sequence - 1, self._entries(number)[place])

    def read_large(self, digest: bytes) -> bytes | None:
        """A detail that was too large for its entry, by its SHA-256; whoever asks compares that."""
        path = f"{DETAILS}/{digest.hex()}"
        return self._read(path, MAX_LARGE_DETAIL_BYTES) if (self._folder / path).exists() else None

    def read_signal(self, digest: bytes) -> bytes | None:
        """The encoded envelope of a signal, None where it has none."""
        return self._record(self._signals.get(digest))

    def read_draft(self, digest: bytes) -> bytes | None:
        """The body of a word of the node's own that had no place in the feed yet."""
        return self._record(self._drafts.get(digest))

    def read_decision(self, number: bytes, digest: bytes) -> bytes | None:
        """The detail that was kept of a decision, by its SHA-256; whoever asks compares that."""
        return self.read_large(digest)

    def _record(self, index: int | None) -> bytes | None:
        if index is None:
            return None
        number, place = divmod(index, TILE_WIDTH)
        return self._records(number)[place] or None

    def _read_entries(self, number: int) -> list[bytes]:
        tile = tile_at(0, number, self.head.size)
        return decode_bundle(self.bundle(tile), tile.width)

    def _read_records(self, number: int) -> list[bytes]:
        tile = tile_at(0, number, self.head.size)
        return decode_bundle(self._read(signals_path(tile), MAX_BUNDLE_BYTES), tile.width)


def check_exported(own: LogFiles, folder: Path, first: int, to: int, head: Checkpoint) -> None:
    """Raises LogFileError or ProtocolError unless the folder holds these entries of our log, in whole tiles."""
    exported = ExportedLog(folder, head)
    for number in range(first // TILE_WIDTH, to // TILE_WIDTH):
        tile = tile_at(0, number, head.size)
        hashes = split_tile(own.tile(tile), tile.width)
        entries = decode_bundle(exported.bundle(tile), tile.width)
        # [KEEP] Nothing goes before an export of it was read again, and every entry has the hash that our tree keeps.
        if [leaf_hash(entry) for entry in entries] != hashes:
            raise LogFileError(f"{folder / tile.bundle_path}: does not hold the entries of our log")
        for index, data in enumerate(entries, tile.number * TILE_WIDTH):
            _check_detail(exported, folder, decode_entry(index, data))


def _check_detail(exported: ExportedLog, folder: Path, entry: AuditEntry) -> None:
    detail = decode_canonical(entry.detail, max_bytes=MAX_DETAIL_BYTES)
    if detail.keys() != STAND_IN:
        return
    # [KEEP] So was what was too large for an entry, and it has the SHA-256 that stands there.
    found = exported.read_large(detail["sha256"])
    if found is None or sha256(found).digest() != detail["sha256"]:
        where = folder / DETAILS / detail["sha256"].hex()
        raise LogFileError(f"{where}: is not there, or not what entry {entry.sequence - 1} tells of")
