"""A log with what its entries name by a hash: enough to take everything in it again."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Protocol

from tocsin_protocol.audit import MAX_DETAIL_BYTES, AuditEntry
from tocsin_protocol.decision.basis import MAX_PART_BYTES
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.errors import ProofError
from tocsin_protocol.log.checkpoint import Checkpoint

from .files import LogFiles

# A part, and what stands around it in the detail that holds it.
MAX_LARGE_DETAIL_BYTES = MAX_PART_BYTES + 256
STAND_IN = {"bytes", "sha256"}


class LogSource(LogFiles, Protocol):
    """Where it is read from. Whether the log is whole, and its head to be believed, is for the caller to check."""

    @property
    def head(self) -> Checkpoint:
        """The head that all of it is under."""

    @property
    def pruned(self) -> int:
        """How many entries from the first are kept elsewhere only."""

    def entries(self, after: int = 0) -> Iterator[AuditEntry]:
        """The entries of a sequence above `after`, oldest first."""

    def entry(self, sequence: int) -> AuditEntry:
        """One entry that `entries` had."""

    def read_large(self, digest: bytes) -> bytes | None:
        """A detail that was too large for its entry, by its SHA-256; whoever asks compares that."""

    def read_signal(self, digest: bytes) -> bytes | None:
        """The encoded envelope of a signal, None where it has none."""

    def read_draft(self, digest: bytes) -> bytes | None:
        """The body of a word of the node's own that had no place in the feed yet, published since or not."""

    def read_decision(self, number: bytes, digest: bytes) -> bytes | None:
        """The detail that was kept of a decision, by its number and its SHA-256; whoever asks compares that."""


def detail_of(source: LogSource, entry: AuditEntry) -> dict[str, Any]:
    """An entry's detail, also where it was too large for the entry; raises ProofError or DecodeError."""
    detail: dict[str, Any] = decode_canonical(entry.detail, max_bytes=MAX_DETAIL_BYTES)
    if detail.keys() != STAND_IN:
        return detail
    found = source.read_large(detail["sha256"])
    if found is None or sha256(found).digest() != detail["sha256"]:
        raise ProofError(f"the detail of entry {entry.sequence - 1} is not kept, or not the one that was logged")
    whole: dict[str, Any] = decode_canonical(found, max_bytes=MAX_LARGE_DETAIL_BYTES)
    return whole
