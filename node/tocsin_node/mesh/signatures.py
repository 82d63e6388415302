"""The gossipsub signature (StrictSign), one verifier: libsodium's Ed25519 through PyNaCl, as libp2p itself uses.

Fast path: nothing is parsed, an Ed25519 peer id is the key itself. A roster names no peers of other key types.
"""

from __future__ import annotations

from libp2p.crypto.ed25519 import Ed25519PublicKey
from libp2p.crypto.keys import PrivateKey
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

PREFIX = b"libp2p-pubsub:"
# An Ed25519 peer id is the public key itself: identity multihash, then its protobuf.
ED25519_ID_PREFIX = bytes.fromhex("002408011220")
ED25519_ID_BYTES = 38
SIGNATURE_BYTES = 64
SEQUENCE_BYTES = 8


def signed_payload(message: rpc_pb2.Message) -> bytes:
    """The bytes a message's signature covers."""
    bare = rpc_pb2.Message(from_id=message.from_id, data=message.data, seqno=message.seqno, topicIDs=message.topicIDs)
    return PREFIX + bare.SerializeToString()


def sign_message(message: rpc_pb2.Message, key: PrivateKey) -> None:
    """Sign a message in place, as StrictSign wants it."""
    message.signature = key.sign(signed_payload(message))
    message.key = key.get_public_key().serialize()


def is_ed25519_id(peer_id: bytes) -> bool:
    """Whether bytes are the peer id of some Ed25519 key."""
    return len(peer_id) == ED25519_ID_BYTES and peer_id.startswith(ED25519_ID_PREFIX)


def is_signed(message: rpc_pb2.Message) -> bool:
    """Whether a message is signed by the peer its `from` names; false for anything odd, never raises.

    Stock raises on a bad `key` beside a SHA-256 `from`, and that ends the process.
    """
    from_id = message.from_id
    if not is_ed25519_id(from_id) or len(message.seqno) != SEQUENCE_BYTES:
        return False
    if len(message.signature) != SIGNATURE_BYTES or (message.key and message.key != from_id[2:]):
        return False
    try:
        crypto_sign_open(message.signature + signed_payload(message), from_id[6:])
    except (CryptoError, ValueError):
        return False
    return True


def ed25519_peer_id(public_key: bytes) -> ID:
    """The peer id of a raw 32-byte Ed25519 public key."""
    return ID.from_pubkey(Ed25519PublicKey.from_bytes(public_key))
