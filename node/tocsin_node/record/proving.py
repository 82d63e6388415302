"""Proof files out of a log's files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from tocsin_protocol.audit import EntryKind, decode_entry
from tocsin_protocol.log.bundle import ProofBundle
from tocsin_protocol.log.case import Case, CaseEntry
from tocsin_protocol.log.checkpoint import Checkpoint
from tocsin_protocol.log.proofs import NodeReader, prove_consistency, prove_inclusion
from tocsin_protocol.log.tiles import TILE_WIDTH, decode_bundle, node_reader, tile_at

from .files import LogFiles


class Prover:
    """Makes proofs under one head of a log; tiles are read once."""

    def __init__(self, files: LogFiles, head: Checkpoint, note: bytes) -> None:
        """`note` is the signed checkpoint that said `head`."""
        self._files = files
        self._head = head
        self._note = note
        self._node: NodeReader = node_reader(cache(lambda level, number: files.tile(tile_at(level, number, head.size))))

    def prove_entry(self, index: int) -> ProofBundle:
        """An entry with its proof; raises ProofError where the log has no such entry, LogFileError or DecodeError."""
        path = prove_inclusion(index, self._head.size, self._node)
        tile = tile_at(0, index // TILE_WIDTH, self._head.size)
        entry = decode_bundle(self._files.bundle(tile), tile.width)[index % TILE_WIDTH]
        return ProofBundle(entry, index, path, self._note)

    def prove_case(self, indexes: Sequence[int], read_signal: Callable[[bytes], bytes | None]) -> Case:
        """The entries at these rising indexes, with the signals that they are about; raises as `prove_entry`."""
        proven = [self.prove_entry(index) for index in indexes]
        entries = [decode_entry(bundle.index, bundle.entry) for bundle in proven]
        digests = dict.fromkeys(entry.reference for entry in entries if entry.kind is EntryKind.SIGNAL)
        signals = [signal for digest in digests if (signal := read_signal(digest)) is not None]
        return Case(
            self._note,
            tuple(CaseEntry(bundle.index, bundle.entry, bundle.path) for bundle in proven),
            tuple(signals),
        )

    def prove_growth(self, old: int) -> tuple[bytes, ...]:
        """That the log began with its first `old` entries; raises ProofError, LogFileError or DecodeError."""
        return prove_consistency(old, self._head.size, self._node)
