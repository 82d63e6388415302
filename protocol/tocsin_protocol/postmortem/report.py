"""A report as leaves under one root: whoever has the whole one can check what another was shown of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ..encoding import encode_canonical
from ..errors import DecodeError, ProtocolError
from ..taxonomy import Tlp
from .entries import AnyEntry, Header

FORMAT = "tocsin/report/1"
SALT_BYTES = 32
MAX_LEAVES = 50_000
MAX_REPORT_BYTES = 128 * 1024 * 1024

_LEAF = b"\x00"
_ORDER = tuple(Tlp)


class CommitmentError(ProtocolError):
    """Two reports do not belong together, or one does not match its own root; the message says where."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One entry with its salt, or its hash alone where it is withheld."""

    hash: bytes
    salt: bytes = b""
    entry: AnyEntry | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Leaves whose hashes give the root; the first is the header."""

    root: bytes
    leaves: tuple[Leaf, ...]

    @property
    def header(self) -> Header:
        """Which incident it is about, by whom."""
        header = self.leaves[0].entry
        assert isinstance(header, Header)  # noqa: S101 - no report is built or read without
        return header

    @property
    def entries(self) -> tuple[AnyEntry, ...]:
        """What is shown, in order."""
        return tuple(leaf.entry for leaf in self.leaves if leaf.entry is not None)

    @property
    def withheld(self) -> int:
        """How many entries are not shown."""
        return sum(leaf.entry is None for leaf in self.leaves)


def build_report(entries: Sequence[AnyEntry], salts: Sequence[bytes]) -> Report:
    """The whole report; `salts` are as many fresh random 32 bytes. Raises DecodeError on entries out of bounds."""
    if len(entries) > MAX_LEAVES:
        raise DecodeError(f"report: {len(entries)} entries where at most {MAX_LEAVES} are allowed")
    leaves = []
    for entry, salt in zip(entries, salts, strict=True):
        # What is built is held to what is read: a value that no reader takes is never under a root.
        try:
            checked: AnyEntry = msgspec.convert(msgspec.to_builtins(entry), AnyEntry)
        except msgspec.ValidationError as exc:
            raise DecodeError(f"report: {exc}") from exc
        leaves.append(Leaf(leaf_hash(salt, checked), salt, checked))
    return _checked(Report(root_of(leaf.hash for leaf in leaves), tuple(leaves)))


def leaf_hash(salt: bytes, entry: AnyEntry) -> bytes:
    """The 32 bytes that stand for an entry."""
    # [REPORT] A leaf's hash is SHA-256(0x00 ‖ salt ‖ entry), the salt 32 random bytes, the entry canonical msgpack.
    if len(salt) != SALT_BYTES:
        raise DecodeError(f"salt: {len(salt)} bytes where {SALT_BYTES} are wanted")
    return hashlib.sha256(_LEAF + salt + _encoded(entry)).digest()


def _encoded(entry: AnyEntry) -> bytes:
    return encode_canonical(msgspec.to_builtins(entry))


def root_of(hashes: Iterable[bytes]) -> bytes:
    """The 32 bytes that commit to all leaves and their order."""
    # [REPORT] The root is SHA-256("tocsin/report/1" ‖ number of leaves in 4 bytes ‖ their hashes in order).
    found = list(hashes)
    return hashlib.sha256(FORMAT.encode() + len(found).to_bytes(4, "big") + b"".join(found)).digest()


def redact_report(report: Report, allowed: Tlp) -> Report:
    """The report as those may read it to whom `allowed` is open; the header is always shown."""

    def shown(leaf: Leaf) -> Leaf:
        # [REPORT] Of an entry above the allowed label only the hash is shown; the root stays the same.
        is_open = leaf.entry is not None and strictness(leaf.entry.tlp) <= strictness(allowed)
        return leaf if is_open or isinstance(leaf.entry, Header) else Leaf(leaf.hash)

    return replace(report, leaves=tuple(shown(leaf) for leaf in report.leaves))


def verify_redaction(public: Report, full: Report) -> None:
    """Raises CommitmentError unless `public` shows a part of `full`, and hides only what stands there."""
    # [REPORT] A report is the whole one of another when both have one root and it withholds nothing.
    if full.withheld:
        raise CommitmentError(f"the full report withholds {full.withheld} entries: it is not the whole one")
    if public.root != full.root:
        raise CommitmentError(f"the roots differ: {public.root.hex()} and {full.root.hex()}")


def strictness(label: Tlp) -> int:
    """The place of a label from what is open to all to what is open to nobody else."""
    return _ORDER.index(label)


def strictest(labels: Iterable[Tlp]) -> Tlp:
    """The label that what draws on all of these stands under; CLEAR where it draws on nothing."""
    # [REPORT] What draws on several signals stands under the strictest of their labels.
    return max(labels, key=strictness, default=Tlp.CLEAR)


def encode_report(report: Report) -> bytes:
    """The file: JSON, one leaf in each line."""
    leaves = ",\n".join(json.dumps(_leaf_to_json(leaf), ensure_ascii=True) for leaf in report.leaves)
    return f'{{"format": "{FORMAT}", "root": "{report.root.hex()}", "leaves": [\n{leaves}\n]}}\n'.encode()


def decode_report(data: bytes) -> Report:
    """Read a file; raises DecodeError on any other form, CommitmentError where its leaves do not give its root."""
    if len(data) > MAX_REPORT_BYTES:
        raise DecodeError(f"report: {len(data)} bytes where at most {MAX_REPORT_BYTES} are allowed")
    try:
        value = json.loads(data, object_pairs_hook=_once, parse_float=_refuse_float, parse_constant=_refuse_float)
        document = msgspec.convert(value, _Document)
    except (ValueError, RecursionError, msgspec.ValidationError) as exc:
        raise DecodeError(f"report: {str(exc)[:300]}") from exc
    if document.format != FORMAT:
        raise DecodeError(f"report: format {document.format[:80]!r} where {FORMAT!r} is wanted")
    if len(document.leaves) > MAX_LEAVES:
        raise DecodeError(f"report: {len(document.leaves)} leaves where at most {MAX_LEAVES} are allowed")
    leaves = tuple(_leaf_of(number, leaf) for number, leaf in enumerate(document.leaves))
    for number, (leaf, given) in enumerate(zip(leaves, value["leaves"], strict=True)):
        # [REPORT] An entry has one spelling: a field that has no value does not stand there.
        if leaf.entry is not None and _encoded(leaf.entry) != encode_canonical(given["entry"]):
            raise DecodeError(f"leaf {number}: a field without a value stands in its entry, and is to be left out")
    report = Report(_octets("root", document.root), leaves)
    found = root_of(leaf.hash for leaf in leaves)
    # [REPORT] A report whose leaves do not give its root is refused.
    if found != report.root:
        raise CommitmentError(f"report: its leaves give the root {found.hex()}, it says {report.root.hex()}")
    return _checked(report)


def _checked(report: Report) -> Report:
    # [REPORT] The first entry is the header, and no other is one.
    headers = [number for number, leaf in enumerate(report.leaves) if isinstance(leaf.entry, Header)]
    if headers != [0]:
        raise DecodeError(f"report: headers at {headers[:5]} where one at 0 is wanted")
    return report


class _Leaf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    hash: str = ""
    salt: str = ""
    entry: AnyEntry | None = None


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: str
    root: str
    leaves: list[_Leaf]


def _leaf_of(number: int, leaf: _Leaf) -> Leaf:
    where = f"leaf {number}"
    if leaf.entry is None:
        if leaf.salt:
            raise DecodeError(f"{where}: a salt without an entry")
        return Leaf(_octets(f"{where} hash", leaf.hash))
    if leaf.hash:
        raise DecodeError(f"{where}: a hash beside its entry")
    salt = _octets(f"{where} salt", leaf.salt)
    return Leaf(leaf_hash(salt, leaf.entry), salt, leaf.entry)


def _leaf_to_json(leaf: Leaf) -> dict[str, Any]:
    if leaf.entry is None:
        return {"hash": leaf.hash.hex()}
    return {"salt": leaf.salt.hex(), "entry": msgspec.to_builtins(leaf.entry)}


def _octets(name: str, text: str) -> bytes:
    if len(text) != 2 * SALT_BYTES or set(text) - set("0123456789abcdef"):
        raise DecodeError(f"{name}: {text[:80]!r} is not {2 * SALT_BYTES} lower-case hex digits")
    return bytes.fromhex(text)


def _refuse_float(text: str) -> Any:
    raise ValueError(f"{text[:40]} is not a whole number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no key stands twice: one reader takes the first, another the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"a key stands twice in {sorted(key for key, _ in pairs)[:8]}")
    return found
