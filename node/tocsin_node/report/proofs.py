"""What a report stands on in the audit log. The one place that knows how the log proves an entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from tocsin_protocol.audit import AuditEntry, encode_entry
from tocsin_protocol.log.checkpoint import decode_checkpoint
from tocsin_protocol.log.note import decode_note
from tocsin_protocol.log.proofs import prove_inclusion
from tocsin_protocol.log.tiles import node_reader
from tocsin_protocol.log.tree import leaf_hash
from tocsin_protocol.postmortem.entries import Head, Proof
from tocsin_protocol.taxonomy import Tlp

from ..store.record_reader import RecordReader


def proofs_of(
    reader: RecordReader, entries: Sequence[AuditEntry], label: Callable[[AuditEntry], Tlp]
) -> Iterator[Head | Proof]:
    """The log's head, and each audit entry with its path to it, under the label of what it is about.

    A database without a head has neither; an entry that came after the log's fault has no path. Raises ProofError and
    DecodeError where tiles are missing or the head cannot be read.
    """
    note, size = reader.log_head(max((entry.sequence for entry in entries), default=0)), 0
    node = node_reader(cache(reader.log_tile))
    if note is not None:
        # Whatever anybody may read of us, the head is shown to every witness.
        yield Head(tlp=Tlp.CLEAR, note=note.decode())
        size = decode_checkpoint(decode_note(note).text).size
    for entry in entries:
        index = entry.sequence - 1
        yield Proof(
            tlp=label(entry),
            sequence=entry.sequence,
            at_ms=entry.at_ms,
            kind=entry.kind.value,
            about=entry.reference.hex(),
            digest=leaf_hash(encode_entry(entry.at_ms, entry.kind.value, entry.reference, entry.detail)).hex(),
            path=tuple(item.hex() for item in prove_inclusion(index, size, node)) if index < size else (),
        )
