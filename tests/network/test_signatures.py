"""The gossipsub signature."""

from __future__ import annotations

import hashlib
import secrets

import pytest
from google.protobuf.message import DecodeError
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.secp256k1 import create_new_key_pair as create_secp256k1_key_pair
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.validators import signature_validator
from mesh_kit import secret_of
from tocsin_node.mesh.signatures import is_ed25519_id, is_signed, sign_message

KEYS = create_new_key_pair(secret_of("signer"))


def _signed() -> rpc_pb2.Message:
    from_id = ID.from_pubkey(KEYS.public_key).to_bytes()
    message = rpc_pb2.Message(data=b"data", topicIDs=["topic"], from_id=from_id, seqno=secrets.token_bytes(8))
    sign_message(message, KEYS.private_key)
    return message


def test_ours_and_the_librarys_agree_on_a_signed_message() -> None:
    message = _signed()
    assert is_signed(message)
    assert signature_validator(message)


def test_a_message_without_its_key_is_signed_as_well() -> None:
    message = _signed()
    message.ClearField("key")
    assert is_signed(message)


@pytest.mark.parametrize("field", ["data", "from_id", "seqno", "signature", "key"])
def test_any_flipped_bit_breaks_it(field: str) -> None:
    for position in (0, -1):
        message = _signed()
        value = bytearray(getattr(message, field))
        value[position] ^= 1
        setattr(message, field, bytes(value))
        assert not is_signed(message)


def test_another_topic_breaks_it() -> None:
    message = _signed()
    message.topicIDs[0] = "other"
    assert not is_signed(message)


def test_a_key_of_another_type_is_refused_unverified() -> None:
    keys = create_secp256k1_key_pair()
    from_id = ID.from_pubkey(keys.public_key).to_bytes()
    message = rpc_pb2.Message(data=b"data", topicIDs=["topic"], from_id=from_id, seqno=b"12345678")
    sign_message(message, keys.private_key)
    assert signature_validator(message)
    assert not is_ed25519_id(from_id)
    assert not is_signed(message)


def test_a_bad_key_beside_a_sha_256_from_is_refused_where_stock_raises() -> None:
    message = _signed()
    message.from_id = bytes.fromhex("1220") + hashlib.sha256(b"key").digest()
    message.key = b"\xff\xff\xff"
    with pytest.raises(DecodeError):
        signature_validator(message)
    assert not is_signed(message)
