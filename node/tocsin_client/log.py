"""The log of a node, checked from its static files: heads that grow, and entries that are in them."""

from __future__ import annotations

from collections.abc import Callable

from tocsin_protocol.audit import EntryKind, encode_entry
from tocsin_protocol.encoding import encode_canonical
from tocsin_protocol.errors import ProofError, ProtocolError
from tocsin_protocol.log.checkpoint import Checkpoint, SignedHead, decode_checkpoint
from tocsin_protocol.log.members import log_key, log_of_head
from tocsin_protocol.log.note import MAX_NOTE_BYTES, decode_note
from tocsin_protocol.log.proofs import (
    NodeReader,
    prove_consistency,
    prove_inclusion,
    verify_consistency,
    verify_inclusion,
)
from tocsin_protocol.log.tiles import CHECKPOINT_PATH, TILE_WIDTH, node_reader, split_tile, tile_at
from tocsin_protocol.log.tree import HASH_BYTES, leaf_hash
from tocsin_protocol.log.trust import NO_QUORUM, TrustPolicy, judge_head
from tocsin_protocol.roster import RosterIndex

from .asking import Ask, Flow
from .errors import LogRolledBack, LogSplit, NotLoggedYet, NotVerified
from .results import FeedSignal

LOG_PATH = "/log/"
_BLANK = bytes(TILE_WIDTH * HASH_BYTES)


def fetch_head(trust: TrustPolicy | RosterIndex, seen: bytes | None) -> Flow[tuple[SignedHead, bytes]]:
    """The log's head and its note, once it is proven to go on from the one seen before.

    Raises NotVerified, LogRolledBack or LogSplit.
    """
    note = yield Ask(LOG_PATH + CHECKPOINT_PATH, most=MAX_NOTE_BYTES)
    # [CLIENT] A head of the log counts where the policy takes it, or the key in the roster of the log's publisher.
    try:
        head = judge_head(note, trust if isinstance(trust, TrustPolicy) else _policy(trust, note))
    except ProtocolError as exc:
        raise NotVerified(f"the head of the log: {exc}") from exc
    if seen is not None:
        yield from _check_growth(seen, note, head.checkpoint)
    return head, note


def check_logged(head: Checkpoint, sequence: int, at_ms: int, signal: FeedSignal) -> Flow[None]:
    """Raise NotVerified unless the log has, at this sequence, the entry that tells of this signal as it was shown."""
    if sequence > head.size:
        raise NotLoggedYet(f"the head has {head.size} entries, the signal is in entry {sequence}")
    # [CLIENT] A live signal is in the log where the entry made of what was shown is under the head.
    detail = encode_canonical({"path": signal.path, "verdict": signal.standing})
    try:
        entry = encode_entry(at_ms, EntryKind.SIGNAL.value, signal.envelope.digest, detail)
        path = yield from _prove(head.size, lambda node: prove_inclusion(sequence - 1, head.size, node))
        verify_inclusion(sequence - 1, head.size, leaf_hash(entry), path, head.root)
    except ProtocolError as exc:
        raise NotVerified(f"signal {signal.digest} in the log: {exc}") from exc


def _policy(index: RosterIndex, note: bytes) -> TrustPolicy:
    named = log_of_head(index, note)
    return TrustPolicy((log_key(index, named.publisher, named.generation),), {}, {}, NO_QUORUM)


def _check_growth(seen: bytes, shown: bytes, head: Checkpoint) -> Flow[None]:
    before = decode_checkpoint(decode_note(seen).text)
    # [CLIENT] A head is of the log that was seen before, no smaller, and begins with what was seen.
    if head.origin != before.origin:
        raise NotVerified(f"the log is {head.origin}, and was {before.origin} before")
    if head.size < before.size:
        text = f"the log has {head.size} entries, and had {before.size} before: it was rolled back"
        raise LogRolledBack(text, seen, shown)
    path: tuple[bytes, ...] = ()
    try:
        if 0 < before.size < head.size:
            path = yield from _prove(head.size, lambda node: prove_consistency(before.size, head.size, node))
        verify_consistency(before.size, head.size, path, before.root, head.root)
    except ProofError as exc:
        raise LogSplit(f"the log shows two histories: {exc}", seen, shown) from exc


def _prove(size: int, prove: Callable[[NodeReader], tuple[bytes, ...]]) -> Flow[tuple[bytes, ...]]:
    """Make a proof out of hash tiles. Which ones it needs does not hang on what is in them: that is asked first."""
    tiles: dict[tuple[int, int], bytes] = {}

    def note(level: int, number: int) -> bytes:
        tiles[level, number] = b""
        return _BLANK

    prove(node_reader(note))
    for level, number in tiles:
        tile = tile_at(level, number, size)
        data = yield Ask(LOG_PATH + tile.path, most=TILE_WIDTH * HASH_BYTES)
        split_tile(data, tile.width)
        tiles[level, number] = data
    return prove(node_reader(lambda level, number: tiles[level, number]))
