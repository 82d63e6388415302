"""A small log with its keys, made from fixed seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from tocsin_protocol.log.bundle import ProofBundle
from tocsin_protocol.log.checkpoint import Checkpoint, encode_checkpoint, origin_of, sign_checkpoint
from tocsin_protocol.log.note import (
    Algorithm,
    Cosigner,
    Note,
    NoteSignature,
    Signer,
    VerifierKey,
    encode_note,
    verifier_key,
)
from tocsin_protocol.log.proofs import NodeReader, prove_inclusion, prove_prefix
from tocsin_protocol.log.split_view import SplitView
from tocsin_protocol.log.tree import leaf_hash, perfect_root, root_of_leaves
from tocsin_protocol.log.trust import TrustPolicy, decode_trust
from tocsin_protocol.log.witness import Growth

ORIGIN = "tocsin.example/alba"
LOG_SECRET = sha256(b"log of alba").digest()
LOG_KEY = verifier_key(LOG_SECRET, ORIGIN, Algorithm.ED25519)
WITNESSES = ("brook", "cedar", "delta")
TIME_S = 1_767_225_600


def entries(size: int) -> list[bytes]:
    """Entries of 0, 1, 2, … bytes, all different."""
    return [b"%d " % n + b"." * (n % 7) for n in range(size)]


def leaves_of(items: Sequence[bytes]) -> list[bytes]:
    return [leaf_hash(item) for item in items]


def reader_of(leaves: Sequence[bytes]) -> NodeReader:
    """Nodes straight from the leaves."""
    return lambda height, index: perfect_root(leaves[index << height : (index + 1) << height])


def head_of(items: Sequence[bytes], origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin, len(items), root_of_leaves(leaves_of(items)))


def sign_note(text: str, secret: bytes, name: str) -> NoteSignature:
    return Signer(secret, name).sign(text)


def cosign_note(text: str, secret: bytes, name: str, time_s: int) -> NoteSignature:
    return Cosigner(secret, name).cosign(text, time_s)


def sign_head(checkpoint: Checkpoint, secret: bytes) -> Note:
    return sign_checkpoint(Signer(secret, checkpoint.origin), checkpoint.size, checkpoint.root)


def secret_of(witness: str) -> bytes:
    return sha256(b"witness " + witness.encode()).digest()


def witness_key(witness: str) -> VerifierKey:
    return verifier_key(secret_of(witness), f"{witness}.example/w", Algorithm.COSIGNATURE)


def cosignature(checkpoint: Checkpoint, witness: str, time_s: int = TIME_S) -> NoteSignature:
    return cosign_note(encode_checkpoint(checkpoint), secret_of(witness), witness_key(witness).name, time_s)


def signed(checkpoint: Checkpoint, *witnesses: str, secret: bytes = LOG_SECRET) -> bytes:
    """The bytes of a checkpoint with the log's signature and these cosignatures."""
    note = sign_head(checkpoint, secret)
    return encode_note(Note(note.text, (*note.signatures, *(cosignature(checkpoint, name) for name in witnesses))))


def trust_text(least: str = "2", *witnesses: str) -> str:
    names = witnesses or WITNESSES
    lines = [f"log {LOG_KEY}", *(f"witness {name} {witness_key(name)}" for name in names)]
    return "\n".join([*lines, f"group peers {least} {' '.join(names)}", "quorum peers", ""])


def trust(least: str = "2") -> TrustPolicy:
    return decode_trust(trust_text(least).encode())


def growth_of(old: int, items: Sequence[bytes]) -> Growth:
    """What a log of these entries sends to a witness that keeps its head of `old`."""
    proper = 0 < old < len(items)
    path = prove_prefix(old, len(items), reader_of(leaves_of(items))) if proper else ()
    return Growth(old, path, signed(head_of(items)))


def log_of(network_id: bytes, publisher: bytes, generation: int = 1) -> str:
    return origin_of(network_id, publisher, generation)


def growth_of_log(old: int, items: Sequence[bytes], secret: bytes, origin: str) -> Growth:
    """The same of any node's log."""
    return replace(growth_of(old, items), checkpoint=encode_note(sign_head(head_of(items, origin), secret)))


def bundle_of(items: Sequence[bytes], index: int, *witnesses: str) -> ProofBundle:
    path = prove_inclusion(index, len(items), reader_of(leaves_of(items)))
    return ProofBundle(items[index], index, path, signed(head_of(items), *witnesses))


def split_of(ours: Sequence[bytes], theirs: Sequence[bytes]) -> SplitView:
    """The proof that one log showed two histories; `theirs` is not shorter."""
    path: tuple[bytes, ...] = ()
    if len(ours) != len(theirs):
        path = prove_prefix(len(ours), len(theirs), reader_of(leaves_of(theirs)))
    return SplitView(signed(head_of(ours)), signed(head_of(theirs)), path)
