"""What a replay reads of a node's database: the log's entries, and what they name by its hash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from tocsin_protocol.audit import AuditEntry, EntryKind
from tocsin_protocol.decision.basis import Part, parts_named
from tocsin_protocol.envelope import decode_envelope
from tocsin_protocol.signing import Domain, keccak256

from ..record.source import detail_of
from .audit import read_audit
from .log_files import StoreLog

MAX_ENTRIES_READ = 1_000
_WITH_BASIS = {EntryKind.DECISION, EntryKind.ADJUDICATION}


class ReplaySource(StoreLog):
    """The log in our own database, with what is kept beside it. Whether it is whole is for the caller to check."""

    def entries(self, after: int = 0) -> Iterator[AuditEntry]:
        """The entries of a sequence above `after`, oldest first."""
        size = self.head.size
        while page := read_audit(self._connection, after, min(MAX_ENTRIES_READ, size - after)):
            yield from page
            after = page[-1].sequence

    def entry(self, sequence: int) -> AuditEntry:
        """One entry that `entries` had."""
        return read_audit(self._connection, sequence - 1, 1)[0]

    def find_parts(self, indexes: Sequence[int]) -> list[int]:
        """Indexes of the parts that the decisions and findings among these entries stand on, as far as they are here.

        Raises ProofError or DecodeError.
        """
        entries = [self.entry(index + 1) for index in indexes]
        details = [detail_of(self, entry) for entry in entries if entry.kind in _WITH_BASIS]
        wanted = [detail["basis"] for detail in details if "basis" in detail]
        found: dict[bytes, int] = {}
        while wanted:
            about = wanted.pop()
            sequence = None if about in found else self._find_part(about)
            if sequence is None:
                continue
            found[about] = sequence - 1
            detail = detail_of(self, self.entry(sequence))
            wanted += parts_named(Part(detail["part"]), detail["body"])
        return sorted(found.values())

    def _find_part(self, about: bytes) -> int | None:
        row = self._connection.execute(
            "SELECT MAX(sequence) FROM audit WHERE reference = ? AND kind = ? AND sequence <= ?",
            (about, EntryKind.BASIS.value, self.head.size),
        ).fetchone()
        return None if row is None else row[0]

    def read_large(self, digest: bytes) -> bytes | None:
        """A detail that was too large for its entry, by its SHA-256; whoever asks compares that."""
        row = self._connection.execute("SELECT detail FROM large_details WHERE sha256 = ?", (digest,)).fetchone()
        return None if row is None else row[0]

    def read_draft(self, digest: bytes) -> bytes | None:
        """The body of a word of our own that had no place in the feed yet, published since or not."""
        row = self._connection.execute("SELECT body FROM drafts WHERE digest = ?", (digest,)).fetchone()
        return row[0] if row else self._published.get(digest)

    @cached_property
    def _published(self) -> dict[bytes, bytes]:
        """Bodies of our own signals by their digest."""
        network, own = self._connection.execute("SELECT network, publisher FROM node").fetchone()
        rows = self._connection.execute("SELECT encoded FROM signals WHERE publisher = ?", (own,))
        bodies = (decode_envelope(Domain(network), encoded).body for (encoded,) in rows)
        return {keccak256(body): body for body in bodies}

    def read_decision(self, number: bytes, digest: bytes) -> bytes | None:
        """The detail that was kept of a decision, by its number; whoever asks compares its SHA-256."""
        query = "SELECT detail FROM decisions WHERE id = ?"
        row = self._connection.execute(query, (int.from_bytes(number, "big"),)).fetchone()
        return None if row is None else row[0]
