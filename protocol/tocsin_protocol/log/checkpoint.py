"""Checkpoints: a log's signed word on how many entries it has, and on their root (C2SP tlog-checkpoint)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from ..encoding import MAX_UINT
from ..errors import DecodeError, SignatureError
from .note import (
    Algorithm,
    Note,
    NoteSignature,
    Signer,
    VerifierKey,
    check_name,
    decode_base64,
    decode_note,
    encode_base64,
    verify_note,
)
from .tree import EMPTY_ROOT, HASH_BYTES

FIRST_GENERATION = 1
MAX_GENERATION = 999
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,15})\Z")
_NODE_ORIGIN = re.compile(r"tocsin/([0-9a-f]{64})/0x([0-9a-f]{40})(?:/([1-9][0-9]{0,2}))?\Z")


class NodeLog(NamedTuple):
    """What the origin of a node's log says."""

    network_id: bytes
    publisher: bytes
    generation: int


def origin_of(network_id: bytes, publisher: bytes, generation: int = FIRST_GENERATION) -> str:
    """The name of a node's log."""
    # [LOG] The origin of a node's log is `tocsin/`, the network's id, `/0x` and the publisher's address, in hex.
    return name_generation(f"tocsin/{network_id.hex()}/0x{publisher.hex()}", generation)


def name_generation(first_origin: str, generation: int) -> str:
    """The name of a log that was begun anew so often."""
    # [LOG] A log that was begun anew has `/` and its generation after that; the first generation, 1, is not written.
    return first_origin if generation == FIRST_GENERATION else f"{first_origin}/{generation}"


def read_origin(origin: str) -> NodeLog | None:
    """What an origin says of the log, None where it is not that of a node."""
    named = _NODE_ORIGIN.match(origin)
    if named is None or named[3] == str(FIRST_GENERATION):
        return None
    generation = FIRST_GENERATION if named[3] is None else int(named[3])
    return NodeLog(bytes.fromhex(named[1]), bytes.fromhex(named[2]), generation)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log. The origin is the log's name, and that of its key."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A checkpoint whose log signed it, with the cosignatures that were asked for and hold."""

    checkpoint: Checkpoint
    cosigned: dict[VerifierKey, NoteSignature]


def encode_checkpoint(checkpoint: Checkpoint) -> str:
    """The text that a log signs."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{encode_base64(checkpoint.root)}\n"


def decode_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint; raises DecodeError."""
    # [LOG] A checkpoint has three lines, origin, size and root, and no others.
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise DecodeError(f"a checkpoint of {len(lines) - 1} lines where 3 are wanted")
    checkpoint = Checkpoint(check_name(lines[0]), decode_size("size", lines[1]), decode_base64("root", lines[2]))
    if len(checkpoint.root) != HASH_BYTES:
        raise DecodeError(f"root is {len(checkpoint.root)} bytes where {HASH_BYTES} are wanted")
    # [LOG] The root of a log without entries is that of the empty tree.
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise DecodeError("root of size 0 is not that of the empty tree")
    return checkpoint


def decode_size(where: str, text: str) -> int:
    """A size or an index in decimal; raises DecodeError."""
    if not _DECIMAL.match(text) or int(text) > MAX_UINT:
        raise DecodeError(f"{where} is {text[:20]!r}, not a decimal number in 0…2^53-1 without leading zeros")
    return int(text)


def sign_checkpoint(signer: Signer, size: int, root: bytes) -> Note:
    """The head of the signer's own log as a signed note."""
    text = encode_checkpoint(Checkpoint(signer.key.name, size, root))
    return Note(text, (signer.sign(text),))


def verify_checkpoint(
    data: bytes, logs: Collection[VerifierKey], witnesses: Collection[VerifierKey] = ()
) -> SignedHead:
    """Read a checkpoint that one of these logs signed, with these witnesses; raises DecodeError or SignatureError."""
    note = decode_note(data)
    verified = verify_note(note, (*logs, *witnesses))
    signers = {key.name for key in verified if key.algorithm is Algorithm.ED25519}
    if not signers:
        raise SignatureError(f"the checkpoint is signed by none of {', '.join(log.name for log in logs) or 'no logs'}")
    checkpoint = decode_checkpoint(note.text)
    # [LOG] A head is a log's own where a key of algorithm 1 whose name is the origin signed it.
    if checkpoint.origin not in signers:
        raise SignatureError(f"{', '.join(sorted(signers))} signed a checkpoint of {checkpoint.origin}")
    # [LOG] Only a key of algorithm 4 cosigns.
    cosigned = {key: line for key, line in verified.items() if key.algorithm is Algorithm.COSIGNATURE}
    return SignedHead(checkpoint, cosigned)
