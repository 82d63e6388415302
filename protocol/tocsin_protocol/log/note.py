"""Signed notes (C2SP signed-note) with Ed25519, and cosignatures over them (C2SP tlog-cosignature, version 1)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ..errors import DecodeError, OversizedError, SignatureError

MAX_NOTE_BYTES = 65_536
MAX_NOTE_SIGNATURES = 100
MAX_NAME_BYTES = 256
MAX_TIMESTAMP_S = 2**53 - 1
ED25519_KEY_BYTES = 32
ED25519_SIGNATURE_BYTES = 64
_KEY_ID_BYTES = 4
_TIMESTAMP_BYTES = 8
_DASH = "\u2014 "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NOT_OF_NAMES = re.compile(r"[^!-*,-~]")


class Algorithm(IntEnum):
    """What a key signs: the text of a note, or that it has seen the text at a time."""

    ED25519 = 1
    COSIGNATURE = 4


_SIGNATURE_BYTES = {
    Algorithm.ED25519: ED25519_SIGNATURE_BYTES,
    Algorithm.COSIGNATURE: _TIMESTAMP_BYTES + ED25519_SIGNATURE_BYTES,
}


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A key that signatures are checked with; its name and id say which signature of a note is its."""

    name: str
    algorithm: Algorithm
    key: bytes

    @property
    def key_id(self) -> bytes:
        """The first bytes of a hash over name, algorithm and key."""
        # [LOG] A key's id is the first four bytes of SHA-256(name ‖ 0x0a ‖ algorithm ‖ key).
        return sha256(self.name.encode() + b"\n" + bytes((self.algorithm,)) + self.key).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        """The key as C2SP writes it (vkey)."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes((self.algorithm,)) + self.key)}"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        """The line, without its end."""
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.signature)}"

    @property
    def timestamp_s(self) -> int:
        """When a cosignature was made, in seconds since 1970: of a signature that was verified as one."""
        return int.from_bytes(self.signature[:_TIMESTAMP_BYTES], "big")


@dataclass(frozen=True, slots=True)
class Note:
    """A text, which ends its last line, and its signatures."""

    text: str
    signatures: tuple[NoteSignature, ...]


def verifier_key(secret: bytes, name: str, algorithm: Algorithm) -> VerifierKey:
    """The public half of a 32-byte Ed25519 secret under a name; raises DecodeError for a name that cannot be one."""
    key = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    return VerifierKey(check_name(name), algorithm, key)


def decode_verifier_key(text: str) -> VerifierKey:
    """Read a key as C2SP writes it; raises DecodeError."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    material = decode_base64("a verifier key", encoded)
    if len(material) != 1 + ED25519_KEY_BYTES:
        raise DecodeError(f"a verifier key of {len(material)} bytes where {1 + ED25519_KEY_BYTES} are wanted")
    if material[0] not in tuple(Algorithm):
        raise DecodeError(f"a verifier key of algorithm {material[0]}, where 1 or 4 is wanted")
    key = VerifierKey(check_name(name), Algorithm(material[0]), material[1:])
    if key_id != key.key_id.hex():
        raise DecodeError(f"a verifier key with the id {key_id[:16]!r} where {key.key_id.hex()} is its own")
    return key


def check_name(name: str) -> str:
    """Return the name of a key; raises DecodeError where no note could carry it."""
    # [LOG] A name is 1 to MAX_NAME_BYTES characters of ASCII, from `!` to `~`, without the plus sign.
    if _NOT_OF_NAMES.search(name):
        raise DecodeError(f"the name {name[:80]!r} has a character that is not ASCII, a space or a plus sign")
    if not 1 <= len(name) <= MAX_NAME_BYTES:
        raise DecodeError(f"a name of {len(name)} bytes where 1…{MAX_NAME_BYTES} are wanted")
    return name


def encode_note(note: Note) -> bytes:
    """The bytes of a note."""
    return (note.text + "\n" + "".join(f"{line}\n" for line in note.signatures)).encode()


def decode_note(data: bytes) -> Note:
    """Parse a note; raises DecodeError. Nothing of it counts before a signature was verified."""
    if len(data) > MAX_NOTE_BYTES:
        raise OversizedError(f"a note of {len(data)} bytes where at most {MAX_NOTE_BYTES} are allowed")
    try:
        whole = data.decode()
    except UnicodeDecodeError as exc:
        raise DecodeError("a note is not UTF-8") from exc
    # [LOG] A note is text of UTF-8 without control characters, an empty line, and 1 to MAX_NOTE_SIGNATURES signatures.
    if _CONTROL.search(whole):
        raise DecodeError("a note has a control character")
    text, gap, tail = whole.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise DecodeError("a note lacks the empty line before its signatures, or the end of its last line")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_NOTE_SIGNATURES:
        raise DecodeError(f"a note with {len(lines)} signatures where at most {MAX_NOTE_SIGNATURES} are allowed")
    return Note(text + "\n", tuple(_decode_line(line) for line in lines))


class Signer:
    """A log's secret, ready to sign: to read one takes longer than to sign."""

    __slots__ = ("_secret", "key")

    def __init__(self, secret: bytes, name: str) -> None:
        """`secret` has 32 bytes; raises DecodeError for a name that no note can carry."""
        self._secret = Ed25519PrivateKey.from_private_bytes(secret)
        self.key = verifier_key(secret, name, Algorithm.ED25519)

    def sign(self, text: str) -> NoteSignature:
        """Sign a text, which ends its last line."""
        return NoteSignature(self.key.name, self.key.key_id, self._secret.sign(text.encode()))


class Cosigner:
    """A witness's secret, ready to cosign."""

    __slots__ = ("_secret", "key")

    def __init__(self, secret: bytes, name: str) -> None:
        """`secret` has 32 bytes; raises DecodeError for a name that no note can carry."""
        self._secret = Ed25519PrivateKey.from_private_bytes(secret)
        self.key = verifier_key(secret, name, Algorithm.COSIGNATURE)

    def cosign(self, text: str, timestamp_s: int) -> NoteSignature:
        """Say at a time (seconds since 1970) that this is the largest head of its log that the cosigner has seen."""
        if not 0 <= timestamp_s <= MAX_TIMESTAMP_S:
            raise DecodeError(f"a cosignature at {timestamp_s} s, outside 0…{MAX_TIMESTAMP_S}")
        signature = timestamp_s.to_bytes(_TIMESTAMP_BYTES, "big") + self._secret.sign(_cosigned(text, timestamp_s))
        return NoteSignature(self.key.name, self.key.key_id, signature)


def verify_note(note: Note, keys: Collection[VerifierKey]) -> dict[VerifierKey, NoteSignature]:
    """The signatures of known keys; raises SignatureError where one of them is false.

    Signatures of other keys are passed over, and it may be that none is left: whom it takes is for the caller to say.
    """
    known = {(key.name, key.key_id): key for key in keys}
    verified: dict[VerifierKey, NoteSignature] = {}
    for line in note.signatures:
        # [LOG] A signature of no known name and id is passed over; a false one of a known key voids the note.
        key = known.get((line.name, line.key_id))
        if key is not None:
            _verify_line(key, note.text, line)
            verified.setdefault(key, line)
    return verified


def _verify_line(key: VerifierKey, text: str, line: NoteSignature) -> None:
    signature, message = line.signature, text.encode()
    if len(signature) != _SIGNATURE_BYTES[key.algorithm]:
        raise SignatureError(f"the signature of {key.name} has {len(signature)} bytes")
    if key.algorithm is Algorithm.COSIGNATURE:
        # [LOG] A cosignature signs `cosignature/v1`, a line with its time, and the whole text of the note.
        if line.timestamp_s > MAX_TIMESTAMP_S:
            raise SignatureError(f"the cosignature of {key.name} is of a time past {MAX_TIMESTAMP_S} s")
        signature, message = signature[_TIMESTAMP_BYTES:], _cosigned(text, line.timestamp_s)
    try:
        Ed25519PublicKey.from_public_bytes(key.key).verify(signature, message)
    except (InvalidSignature, ValueError) as exc:
        raise SignatureError(f"the signature of {key.name} does not verify") from exc


def _cosigned(text: str, timestamp_s: int) -> bytes:
    return f"cosignature/v1\ntime {timestamp_s}\n{text}".encode()


def _decode_line(line: str) -> NoteSignature:
    if not line.startswith(_DASH):
        raise DecodeError(f"a signature line begins with {line[:2]!r}, not with {_DASH!r}")
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    data = decode_base64("a signature", encoded)
    if len(data) <= _KEY_ID_BYTES:
        raise DecodeError(f"a signature of {len(data)} bytes: its key's id alone has {_KEY_ID_BYTES}")
    return NoteSignature(check_name(name), data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])


def encode_base64(data: bytes) -> str:
    """Bytes in standard base64."""
    return base64.b64encode(data).decode()


def decode_base64(where: str, text: str) -> bytes:
    """Bytes out of standard base64; raises DecodeError."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise DecodeError(f"{where} is not base64") from exc
    # [LOG] Base64 has one spelling: with padding, and no bits set beyond the bytes.
    if encode_base64(data) != text:
        raise DecodeError(f"{where} is not in the one spelling of base64")
    return data
