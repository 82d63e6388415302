"""What a report stands on in the audit log. The one place that knows how the log proves an entry."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from tocsin_protocol.audit import AuditEntry
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.postmortem.entries import Proof
from tocsin_protocol.taxonomy import Tlp

from ..store.record_reader import RecordReader


def proofs_of(reader: RecordReader, entries: Sequence[AuditEntry], label: Callable[[AuditEntry], Tlp]) -> list[Proof]:
    """Each audit entry by its place and digest, under the label of what it is about.

    `reader` is the record that the entries are of: it is what inclusion proofs will be asked of.
    """
    del reader
    return [
        Proof(
            tlp=label(entry),
            sequence=entry.sequence,
            at_ms=entry.at_ms,
            kind=entry.kind.value,
            about=entry.reference.hex(),
            digest=entry_digest(entry).hex(),
        )
        for entry in entries
    ]


def entry_digest(entry: AuditEntry) -> bytes:
    """SHA-256 of [sequence, time, kind, about, detail] in canonical msgpack."""
    fields = [entry.sequence, entry.at_ms, entry.kind.value, entry.reference, entry.detail]
    return hashlib.sha256(encode_canonical(fields)).digest()
