"""The anchors that a log tells of, held against the log itself: what the chain says of them is asked elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache

from tocsin_protocol.audit import AuditEntry, EntryKind, decode_entry
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.errors import DecodeError, ProofError, ProtocolError
from tocsin_protocol.fields import bytes_of, map_of, text_of, uint_of
from tocsin_protocol.log.anchor import decode_anchor, verify_anchor
from tocsin_protocol.log.checkpoint import FIRST_GENERATION, Checkpoint, read_origin
from tocsin_protocol.log.proofs import NodeReader, prove_prefix, roots_of_path
from tocsin_protocol.log.tiles import MAX_ENTRY_BYTES, TILE_WIDTH, decode_bundle, node_reader, tile_at, tiles_of

from ..chain.anchor_blocks import AnchorBlock
from ..chain.guardian import read_signer, transaction_hash
from ..chain.raw import Sent, read_signed
from .checking import LogFault
from .files import LogFileError, LogFiles

# The newest of them; once an hour makes so many in a year and more.
MAX_ANCHORS = 10_000

_FIELDS = ("account", "block_hash", "block_number", "chain", "hash", "raw", "size")
_DROP_FIELDS = ("chain", "dropped", "why")
_Key = tuple[str, str, int]
# An entry of the kind says so within its first bytes, after its time.
_MARK, _MARK_WITHIN = b"\xa6" + EntryKind.ANCHOR.value.encode(), 20


@dataclass(frozen=True, slots=True)
class ToldAnchor:
    """What an entry of a log says about one of its anchors. `nonce` is that of the transaction, by its own bytes."""

    index: int
    at_ms: int
    size: int
    root: bytes
    account: str
    raw: bytes
    nonce: int
    block: AnchorBlock

    @property
    def place(self) -> str:
        """How a fault names it."""
        return f"entry {self.index} (anchor of {self.size} entries)"


@dataclass(frozen=True, slots=True)
class Told:
    """The anchors of a log that hold against the log itself, oldest first, and what is wrong with the others.

    `notes`: what a reader should know beside.
    """

    anchors: tuple[ToldAnchor, ...]
    faults: tuple[LogFault, ...]
    notes: tuple[str, ...]


def read_anchors(files: LogFiles, head: Checkpoint, pruned: int = 0) -> Told:
    """Read the anchors that stand in a log and check each against the log; raises LogFileError or DecodeError.

    The first `pruned` entries are not read.
    """
    node = node_reader(cache(lambda level, number: files.tile(tile_at(level, number, head.size))))
    found: dict[_Key, ToldAnchor] = {}
    faults: list[LogFault] = []
    for entry in _entries(files, head.size, pruned):
        try:
            detail = decode_canonical(entry.detail, max_bytes=MAX_ENTRY_BYTES)
            if "dropped" in detail:
                dropped = bytes_of("dropped", map_of("anchor", detail, _DROP_FIELDS)["dropped"], 32)
                # [LOG] Of anchors with one nonce the last that is told counts; one that a reorg dropped does not.
                found = {key: anchor for key, anchor in found.items() if anchor.block.hash != dropped}
                continue
            anchor = _read(entry, detail)
            _check(anchor, head, _root_at(node, head, anchor.size))
        except (LogFileError, ProtocolError) as exc:
            faults.append(LogFault(f"entry {entry.sequence - 1}", str(exc)))
            continue
        found[anchor.block.chain, anchor.account, anchor.nonce] = anchor
    anchors = tuple(sorted(found.values(), key=lambda anchor: anchor.index))
    gaps, notes = list(_find_gaps(found.keys())), []
    # [LOG] The key signs nothing else: a nonce between two of its anchors that the log does not tell of is a fault.
    # [LOG] In a log that was begun anew it is none: its name says that anchors may be lost.
    if _is_begun_anew(head.origin):
        gaps, notes = [], [f"{gap.where}: {gap.what}" for gap in gaps]
    if pruned:
        notes.append(f"anchors among the first {pruned} entries were not looked up: check the export that holds them")
    if len(anchors) > MAX_ANCHORS:
        notes.append(f"{len(anchors) - MAX_ANCHORS} older anchors were not looked up")
    return Told(anchors[-MAX_ANCHORS:], (*faults, *gaps), tuple(notes))


def _is_begun_anew(origin: str) -> bool:
    log = read_origin(origin)
    return log is not None and log.generation != FIRST_GENERATION


def _entries(files: LogFiles, size: int, pruned: int) -> Iterator[AuditEntry]:
    for tile in tiles_of(size):
        # Whole tiles go.
        if tile.level == 0 and tile.number * TILE_WIDTH >= pruned:
            for index, data in enumerate(decode_bundle(files.bundle(tile), tile.width), tile.number * TILE_WIDTH):
                if _MARK in data[:_MARK_WITHIN]:
                    entry = decode_entry(index, data)
                    if entry.kind is EntryKind.ANCHOR:
                        yield entry


def _read(entry: AuditEntry, detail: object) -> ToldAnchor:
    fields = map_of("anchor", detail, _FIELDS)
    raw = fields["raw"]
    if type(raw) is not bytes:
        raise DecodeError("raw of an anchor is not bytes")
    block = AnchorBlock(
        text_of("chain", fields["chain"]),
        bytes_of("hash", fields["hash"], 32),
        uint_of("block_number", fields["block_number"]),
        bytes_of("block_hash", fields["block_hash"], 32),
    )
    account = "0x" + bytes_of("account", fields["account"], 20).hex()
    nonce = _read_raw(raw).nonce
    size = uint_of("size", fields["size"])
    return ToldAnchor(entry.sequence - 1, entry.at_ms, size, entry.reference, account, raw, nonce, block)


def _read_raw(raw: bytes) -> Sent:
    try:
        return read_signed(raw)
    except ValueError as exc:
        raise DecodeError(f"raw of an anchor is {exc}") from exc


def _check(anchor: ToldAnchor, head: Checkpoint, root: bytes) -> None:
    sent = _read_raw(anchor.raw)
    # [LOG] An anchor's transaction is the one with that hash, for that chain, signed by the account that is told.
    if transaction_hash(anchor.raw) != anchor.block.hash or f"eip155:{sent.chain_id}" != anchor.block.chain:
        raise ProofError(f"the anchor's bytes are not those of transaction 0x{anchor.block.hash.hex()}")
    if (signer := read_signer(anchor.raw)) != anchor.account:
        raise ProofError(f"the anchor is by {signer}, and not by {anchor.account}")
    # [LOG] Its data is an anchor of this log, with the root that the log's own tiles give for that size.
    data = decode_anchor(sent.calldata)
    verify_anchor(data, head.origin, anchor.size, root)
    if anchor.root != data.root:
        raise ProofError(f"the anchored root is {data.root.hex()}, and {anchor.root.hex()} is told")


def _root_at(node: NodeReader, head: Checkpoint, size: int) -> bytes:
    root, whole = roots_of_path(size, head.size, prove_prefix(size, head.size, node))
    if whole != head.root:
        raise ProofError(f"the tiles do not lead from {size} entries to the head")
    return root


def _find_gaps(keys: Collection[_Key]) -> Iterator[LogFault]:
    """Transactions between the first and the last anchor of a key that the log says nothing of."""
    nonces: dict[tuple[str, str], set[int]] = {}
    for chain, account, nonce in keys:
        nonces.setdefault((chain, account), set()).add(nonce)
    for (chain, account), seen in nonces.items():
        missing = sorted(set(range(min(seen), max(seen))) - seen)
        if missing:
            what = (
                f"{len(missing)} of its transactions between anchors are not told of, the first of nonce {missing[0]}"
            )
            yield LogFault(f"{account} on {chain}", what)
