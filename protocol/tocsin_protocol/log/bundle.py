"""One file that proves, without a network, that an entry is in a log: C2SP tlog-proof, version 1."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import DecodeError, OversizedError
from .checkpoint import SignedHead, decode_size
from .note import MAX_NOTE_BYTES, decode_base64, encode_base64
from .proofs import MAX_PROOF_HASHES, verify_inclusion
from .tiles import MAX_ENTRY_BYTES
from .tree import HASH_BYTES, leaf_hash
from .trust import TrustPolicy, judge_head

MAX_BUNDLE_BYTES = 262_144
_HEADING = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class ProofBundle:
    """An entry, where it stands, the way to the root, and the signed checkpoint as it was given."""

    entry: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes


def encode_proof_bundle(bundle: ProofBundle) -> bytes:
    """The bytes of a `.tlog-proof` file."""
    # [LOG] The extra data of a proof bundle is the entry itself, so that the file is enough.
    lines = [_HEADING, f"extra {encode_base64(bundle.entry)}", f"index {bundle.index}"]
    lines += [encode_base64(sibling) for sibling in bundle.path]
    return ("\n".join(lines) + "\n\n").encode() + bundle.checkpoint


def decode_proof_bundle(data: bytes) -> ProofBundle:
    """Read a proof bundle; raises DecodeError. Nothing of it counts before `verify_proof_bundle`."""
    if len(data) > MAX_BUNDLE_BYTES:
        raise OversizedError(f"a proof of {len(data)} bytes where at most {MAX_BUNDLE_BYTES} are allowed")
    head, gap, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as exc:
        raise DecodeError("a proof whose head is not ASCII") from exc
    if not gap or lines[0] != _HEADING:
        raise DecodeError(f"a proof begins with the line {_HEADING!r}, and has an empty line before its checkpoint")
    if len(lines) < 3 or not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise DecodeError("a proof has the lines extra and index before its hashes")
    if len(lines) - 3 > MAX_PROOF_HASHES:
        raise DecodeError(f"{len(lines) - 3} hashes where at most {MAX_PROOF_HASHES} are allowed")
    path = tuple(decode_base64("a hash", line) for line in lines[3:])
    if any(len(sibling) != HASH_BYTES for sibling in path):
        raise DecodeError(f"a hash that is not {HASH_BYTES} bytes")
    entry = decode_base64("extra", lines[1].removeprefix("extra "))
    if len(entry) > MAX_ENTRY_BYTES:
        raise OversizedError(f"an entry of {len(entry)} bytes where at most {MAX_ENTRY_BYTES} are allowed")
    if len(checkpoint) > MAX_NOTE_BYTES:
        raise OversizedError(f"a checkpoint of {len(checkpoint)} bytes where at most {MAX_NOTE_BYTES} are allowed")
    return ProofBundle(entry, decode_size("index", lines[2].removeprefix("index ")), path, checkpoint)


def verify_proof_bundle(bundle: ProofBundle, trust: TrustPolicy) -> SignedHead:
    """Check a bundle against a policy; raises DecodeError, SignatureError or ProofError."""
    # [LOG] A proof bundle holds where the verifier's policy takes its head and its entry is under that head's root.
    head = judge_head(bundle.checkpoint, trust)
    verify_inclusion(bundle.index, head.checkpoint.size, leaf_hash(bundle.entry), bundle.path, head.checkpoint.root)
    return head
