"""libp2p peer ids of Ed25519 transport keys, without libp2p (which takes a second to import)."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# identity multihash of 36 bytes: protobuf PublicKey{Type: Ed25519, Data: 32 bytes}
_PREFIX = bytes.fromhex("002408011220")
_DECODED_BYTES = len(_PREFIX) + 32


def peer_id_of_seed(seed: bytes) -> str:
    """The peer id (base58btc, `12D3Koo…`) of a 32-byte Ed25519 seed; libp2p peer-ids specification."""
    data = _PREFIX + Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return _encode_base58(data)


def is_ed25519_peer_id(text: str) -> bool:
    """Whether a text is the peer id of some Ed25519 key, in its one spelling."""
    number = 0
    for digit in text[:64]:
        place = _ALPHABET.find(digit)
        if place < 0:
            return False
        number = number * 58 + place
    if number >= 1 << (8 * _DECODED_BYTES):
        return False
    data = number.to_bytes(_DECODED_BYTES, "big")
    return data.startswith(_PREFIX) and _encode_base58(data) == text


def _encode_base58(data: bytes) -> str:
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        digits = _ALPHABET[rest] + digits
    zeros = len(data) - len(data.lstrip(b"\0"))
    return _ALPHABET[0] * zeros + digits
