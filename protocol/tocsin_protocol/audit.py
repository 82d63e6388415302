"""The record: what every arrow of the flow leaves behind (specs/audit-log.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

import msgspec

from .encoding import MAX_UINT, decode_canonical, encode_canonical
from .errors import DecodeError
from .fields import enum_of, list_of, uint_of
from .ids import DIGEST_BYTES
from .log.tiles import MAX_ENTRY_BYTES

# What is left of an entry beside its detail.
MAX_DETAIL_BYTES = 65_000
_LIST_OF_FOUR = b"\x94"
# Four times as fast as `encode_canonical`, and every entry of the log passes here.
_encode_list = msgspec.msgpack.Encoder().encode


class EntryKind(StrEnum):
    """Which arrow of the flow an entry is about."""

    SIGNAL = "signal"
    VERDICT = "verdict"
    INCIDENT = "incident"
    EVIDENCE = "evidence"
    BASIS = "basis"
    DECISION = "decision"
    ADJUDICATION = "adjudication"
    REPORT = "report"
    ACTION = "action"
    OUTCOME = "outcome"
    ALARM = "alarm"
    ROSTER = "roster"
    EQUIVOCATION = "equivocation"
    OPERATOR = "operator"
    NODE = "node"
    ANCHOR = "anchor"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry: when (UTC ms), what kind, what it is about (a digest or an id), and canonical detail."""

    sequence: int
    at_ms: int
    kind: EntryKind
    reference: bytes
    detail: bytes


def encode_entry(at_ms: int, kind: str, reference: bytes, detail: bytes) -> bytes:
    """The bytes of an entry as the log holds them; `detail` is a canonical map of at most MAX_DETAIL_BYTES."""
    # [LOG] An entry is the canonical list of its time, kind, reference and detail; its sequence is its index and one.
    if not 0 <= at_ms <= MAX_UINT:
        raise DecodeError(f"the time {at_ms} of an entry is outside 0…2^53-1")
    return _LIST_OF_FOUR + _encode_list((at_ms, kind, reference))[1:] + detail


def decode_entry(index: int, data: bytes) -> AuditEntry:
    """Read the entry at an index of a log, which is its sequence less one; raises DecodeError."""
    fields = list_of("entry", decode_canonical(data, max_bytes=MAX_ENTRY_BYTES), 4, 4)
    if type(fields[2]) is not bytes or len(fields[2]) > DIGEST_BYTES:
        raise DecodeError(f"reference is not up to {DIGEST_BYTES} bytes")
    if type(fields[3]) is not dict:
        raise DecodeError("detail is not a map")
    kind = enum_of("kind", fields[1], EntryKind)
    return AuditEntry(index + 1, uint_of("time", fields[0]), kind, fields[2], encode_canonical(fields[3]))


def stand_in(detail: bytes) -> bytes:
    """What an entry says in place of a detail that is too large for it."""
    # [LOG] In place of a detail of more than MAX_DETAIL_BYTES stands a map of its length and its SHA-256.
    return encode_canonical({"bytes": len(detail), "sha256": sha256(detail).digest()})
