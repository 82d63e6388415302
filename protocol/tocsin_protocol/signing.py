"""EIP-712 digests and EIP-2098 compact secp256k1 signatures (specs/signal.md, specs/roster.md).

The digest is written out by hand: the generic path costs seven times as much. eth_account judges it in tests.
"""

from __future__ import annotations

import sha3
from coincurve import PrivateKey, PublicKey

from .errors import SignatureError

SIGNATURE_BYTES = 64
PUBLIC_KEY_BYTES = 33
DOMAIN_NAME = "Tocsin"
DOMAIN_VERSION = "1"
DOMAIN_TYPE = "EIP712Domain(string name,string version,bytes32 salt)"
SIGNAL_TYPE = "Signal(address publisher,uint8 lane,uint64 sequence,bytes32 previous,bytes32 body)"
ROSTER_CHANGE_TYPE = "RosterChange(uint64 epoch,bytes32 roster)"
MANIFEST_TYPE = "Manifest(address publisher,uint64 issued,bytes32 body)"
DISARM_TYPE = "Disarm(address publisher,uint64 issued)"

_HALF_ORDER = bytes.fromhex("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0")


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it; 32 bytes."""
    digest: bytes = sha3.keccak_256(data).digest()
    return digest


_DOMAIN_TYPE_HASH = keccak256(DOMAIN_TYPE.encode())
_SIGNAL_TYPE_HASH = keccak256(SIGNAL_TYPE.encode())
_ROSTER_CHANGE_TYPE_HASH = keccak256(ROSTER_CHANGE_TYPE.encode())
_MANIFEST_TYPE_HASH = keccak256(MANIFEST_TYPE.encode())
_DISARM_TYPE_HASH = keccak256(DISARM_TYPE.encode())
_NAME_HASH = keccak256(DOMAIN_NAME.encode())
_VERSION_HASH = keccak256(DOMAIN_VERSION.encode())


class Domain:
    """The EIP-712 domain of one network, whose salt is the 32-byte network id."""

    __slots__ = ("_prefix", "network_id")

    def __init__(self, network_id: bytes) -> None:
        if len(network_id) != 32:
            raise SignatureError(f"network id of {len(network_id)} bytes where 32 are wanted")
        self.network_id = network_id
        self._prefix = b"\x19\x01" + keccak256(_DOMAIN_TYPE_HASH + _NAME_HASH + _VERSION_HASH + network_id)

    def digest_of(self, struct: bytes) -> bytes:
        """The EIP-712 digest of an encoded struct: its type hash and its fields, 32 bytes each."""
        return keccak256(self._prefix + keccak256(struct))

    def signal_digest(self, publisher: bytes, lane: int, sequence: int, previous: bytes, body: bytes) -> bytes:
        """The identity of a signal, and what its publisher signs (EIP-712 `Signal`); 32 bytes."""
        struct = (
            _SIGNAL_TYPE_HASH
            + publisher.rjust(32, b"\0")
            + lane.to_bytes(32, "big")
            + sequence.to_bytes(32, "big")
            + previous
            + keccak256(body)
        )
        return self.digest_of(struct)

    def roster_change_digest(self, epoch: int, roster_hash: bytes) -> bytes:
        """What member roots sign to bring a roster into force (EIP-712 `RosterChange`); 32 bytes."""
        return self.digest_of(_ROSTER_CHANGE_TYPE_HASH + epoch.to_bytes(32, "big") + roster_hash)

    def manifest_digest(self, publisher: bytes, issued_ms: int, body: bytes) -> bytes:
        """What a publisher signs to say what its protocol holds and hangs on (EIP-712 `Manifest`); 32 bytes."""
        struct = _MANIFEST_TYPE_HASH + publisher.rjust(32, b"\0") + issued_ms.to_bytes(32, "big") + keccak256(body)
        return self.digest_of(struct)

    def disarm_digest(self, publisher: bytes, issued_ms: int) -> bytes:
        """What an offline key signs to have a node act no more (EIP-712 `Disarm`); 32 bytes."""
        return self.digest_of(_DISARM_TYPE_HASH + publisher.rjust(32, b"\0") + issued_ms.to_bytes(32, "big"))


def address_of_key(public_key: bytes) -> bytes:
    """The 20-byte Ethereum address of a 33-byte compressed key; raises SignatureError."""
    try:
        uncompressed = PublicKey(public_key).format(compressed=False)
    except ValueError as exc:
        raise SignatureError("not a compressed secp256k1 public key") from exc
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise SignatureError(f"public key of {len(public_key)} bytes where {PUBLIC_KEY_BYTES} are wanted")
    return keccak256(uncompressed[1:])[12:]


def public_key_of(secret: bytes) -> bytes:
    """The 33-byte compressed public key of a 32-byte secret."""
    key: bytes = PrivateKey(secret).public_key.format()
    return key


def sign_digest(secret: bytes, digest: bytes) -> bytes:
    """Sign a 32-byte digest; 64 bytes in EIP-2098 form, low s, deterministic (RFC 6979)."""
    signature: bytes = PrivateKey(secret).sign_recoverable(digest, hasher=None)
    s = int.from_bytes(signature[32:64], "big") | (signature[64] << 255)
    return signature[:32] + s.to_bytes(32, "big")


def verify_digest(public_key: bytes, digest: bytes, signature: bytes) -> None:
    """Check an EIP-2098 signature against the signer's key; raises SignatureError.

    Recovery, not plain verification: a flipped parity bit would pass the latter and fail in every contract.
    """
    if recover_key(digest, signature) != public_key:
        raise SignatureError("signature is not by the publisher's key")


def is_signed_by(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether `verify_digest` raises nothing."""
    try:
        verify_digest(public_key, digest, signature)
    except SignatureError:
        return False
    return True


def recover_key(digest: bytes, signature: bytes) -> bytes:
    """The 33-byte key that made an EIP-2098 signature over a 32-byte digest; raises SignatureError."""
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError(f"signature of {len(signature)} bytes where {SIGNATURE_BYTES} are wanted")
    parity, s = signature[32] >> 7, bytes((signature[32] & 0x7F,)) + signature[33:]
    if s > _HALF_ORDER:
        raise SignatureError("signature with a high s")
    try:
        recoverable = signature[:32] + s + bytes((parity,))
        key: bytes = PublicKey.from_signature_and_message(recoverable, digest, hasher=None).format()
    except Exception as exc:  # coincurve raises bare Exception kinds for what cannot be recovered
        raise SignatureError("signature does not verify") from exc
    return key
