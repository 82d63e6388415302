"""A case file: what a log says about a matter, with the signals themselves, for whoever has to judge it years later."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..audit import AuditEntry, EntryKind, decode_entry
from ..encoding import decode_canonical, encode_canonical
from ..envelope import Envelope, decode_envelope
from ..errors import DecodeError, ProofError, SignatureError
from ..fields import bytes_of, list_of, uint_of
from ..signing import Domain, address_of_key, recover_key
from .checkpoint import SignedHead, read_origin
from .proofs import MAX_PROOF_HASHES, verify_inclusion
from .tree import HASH_BYTES, leaf_hash
from .trust import TrustPolicy, judge_head

MAX_CASE_BYTES = 64 * 1024 * 1024
MAX_CASE_ENTRIES = 4096


@dataclass(frozen=True, slots=True)
class CaseEntry:
    """An entry as the log holds it, where it stands, and the way to the root."""

    index: int
    entry: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One signed head, entries under it in their order, and the encoded envelopes of signals that they are about."""

    checkpoint: bytes
    entries: tuple[CaseEntry, ...]
    signals: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A case that holds: whose log it is and who vouched for it, its entries, and its signals."""

    head: SignedHead
    publisher: bytes
    entries: tuple[AuditEntry, ...]
    signals: tuple[Envelope, ...]


def encode_case(case: Case) -> bytes:
    """The bytes of a case file."""
    entries = [[entry.index, entry.entry, list(entry.path)] for entry in case.entries]
    return encode_canonical([case.checkpoint, entries, list(case.signals)])


def decode_case(data: bytes) -> Case:
    """Read a case file; raises DecodeError. Nothing of it counts before `verify_case`."""
    decoded = decode_canonical(data, max_bytes=MAX_CASE_BYTES, max_items=MAX_CASE_ENTRIES)
    checkpoint, entries, signals = list_of("case", decoded, 3, 3)
    return Case(
        _bytes("checkpoint", checkpoint),
        tuple(_entry(item) for item in list_of("entries", entries, 1, MAX_CASE_ENTRIES)),
        tuple(_bytes("signal", item) for item in list_of("signals", signals, 0, MAX_CASE_ENTRIES)),
    )


def verify_case(case: Case, trust: TrustPolicy) -> Judged:
    """Check a case file step by step; raises DecodeError, SignatureError or ProofError at the first that fails."""
    # [LOG] 1. The head of a case file is one that the verifier's policy takes, and its origin that of a node.
    head = judge_head(case.checkpoint, trust)
    named = read_origin(head.checkpoint.origin)
    if named is None:
        raise ProofError(f"{head.checkpoint.origin} is not the log of a node")
    # [LOG] 2. Its entries are under that head, each once, in their order.
    if not all(one.index < following.index for one, following in pairwise(case.entries)):
        raise ProofError("the entries are not in their order, or one stands twice")
    for item in case.entries:
        verify_inclusion(item.index, head.checkpoint.size, leaf_hash(item.entry), item.path, head.checkpoint.root)
    entries = tuple(decode_entry(item.index, item.entry) for item in case.entries)
    # [LOG] 3. Its signals are signed by the keys of their publishers in the network of the origin.
    domain = Domain(named.network_id)
    signals = tuple(_open_signal(domain, data) for data in case.signals)
    # [LOG] 4. Each signal is one that an entry of kind `signal` is about: the log has it in that place.
    logged = {entry.reference for entry in entries if entry.kind is EntryKind.SIGNAL}
    for signal in signals:
        if signal.digest not in logged:
            raise ProofError(f"the signal {signal.digest.hex()} is in no entry of the case")
    return Judged(head, named.publisher, entries, signals)


def _open_signal(domain: Domain, data: bytes) -> Envelope:
    envelope = decode_envelope(domain, data)
    signer = address_of_key(recover_key(envelope.digest, envelope.signature))
    if signer != envelope.publisher:
        raise SignatureError(f"the signal {envelope.digest.hex()} is signed by 0x{signer.hex()}, not by its publisher")
    return envelope


def _entry(value: Any) -> CaseEntry:
    index, entry, path = list_of("entry", value, 3, 3)
    hashes = tuple(bytes_of("path", item, HASH_BYTES) for item in list_of("path", path, 0, MAX_PROOF_HASHES))
    return CaseEntry(uint_of("index", index), _bytes("entry", entry), hashes)


def _bytes(where: str, value: Any) -> bytes:
    if type(value) is not bytes:
        raise DecodeError(f"{where} is not bytes")
    return value
