"""The digest and the signature, judged by eth_account."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import bytes_of_label
from strategies_kit import FIXED, digests
from tocsin_protocol.errors import SignatureError
from tocsin_protocol.signing import (
    Domain,
    address_of_key,
    keccak256,
    public_key_of,
    sign_digest,
    verify_digest,
)

SECRET = bytes_of_label("judged")
KEY = public_key_of(SECRET)
DOMAIN_FIELDS = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "salt", "type": "bytes32"},
]
SIGNAL_FIELDS = [
    {"name": "publisher", "type": "address"},
    {"name": "lane", "type": "uint8"},
    {"name": "sequence", "type": "uint64"},
    {"name": "previous", "type": "bytes32"},
    {"name": "body", "type": "bytes32"},
]
CHANGE_FIELDS = [{"name": "epoch", "type": "uint64"}, {"name": "roster", "type": "bytes32"}]


def judged(network: bytes, kind: str, fields: list[dict[str, str]], message: dict[str, Any]) -> tuple[bytes, Any]:
    """eth_account's digest of typed data, and the message to sign with it."""
    typed = encode_typed_data(
        full_message={
            "types": {"EIP712Domain": DOMAIN_FIELDS, kind: fields},
            "primaryType": kind,
            "domain": {"name": "Tocsin", "version": "1", "salt": network},
            "message": message,
        }
    )
    return keccak(b"\x19" + typed.version + typed.header + typed.body), typed


@FIXED
@given(digests, st.binary(min_size=20, max_size=20), st.integers(0, 1), st.integers(1, 2**53 - 1), digests, st.binary())
def test_signal_digest_is_that_of_eth_account(
    network: bytes, publisher: bytes, lane: int, sequence: int, previous: bytes, body: bytes
) -> None:
    message = {
        "publisher": "0x" + publisher.hex(),
        "lane": lane,
        "sequence": sequence,
        "previous": previous,
        "body": keccak256(body),
    }
    expected, _ = judged(network, "Signal", SIGNAL_FIELDS, message)
    assert Domain(network).signal_digest(publisher, lane, sequence, previous, body) == expected


@FIXED
@given(digests, st.integers(0, 2**53 - 1), digests)
def test_roster_change_digest_is_that_of_eth_account(network: bytes, epoch: int, roster: bytes) -> None:
    expected, _ = judged(network, "RosterChange", CHANGE_FIELDS, {"epoch": epoch, "roster": roster})
    assert Domain(network).roster_change_digest(epoch, roster) == expected


@FIXED
@given(digests, st.integers(0, 2**53 - 1))
def test_signatures_are_those_of_eth_account(network: bytes, epoch: int) -> None:
    message = {"epoch": epoch, "roster": bytes(32)}
    digest, typed = judged(network, "RosterChange", CHANGE_FIELDS, message)
    theirs = Account.sign_message(typed, SECRET)
    packed = theirs.s | (theirs.v - 27) << 255
    compact = theirs.r.to_bytes(32, "big") + packed.to_bytes(32, "big")
    assert sign_digest(SECRET, digest) == compact
    verify_digest(KEY, digest, compact)
    assert bytes.fromhex(Account.from_key(SECRET).address[2:]) == address_of_key(KEY)


@FIXED
@given(digests, st.integers(0, 511))
def test_any_flipped_bit_of_a_signature_is_refused(digest: bytes, bit: int) -> None:
    good = int.from_bytes(sign_digest(SECRET, digest), "big")
    with pytest.raises(SignatureError):
        verify_digest(KEY, digest, (good ^ (1 << bit)).to_bytes(64, "big"))


@FIXED
@given(digests, st.binary(max_size=70))
def test_garbage_is_no_signature(digest: bytes, garbage: bytes) -> None:
    with pytest.raises(SignatureError):
        verify_digest(KEY, digest, garbage)


@FIXED
@given(st.binary(max_size=70))
def test_garbage_is_no_key(garbage: bytes) -> None:
    try:
        assert len(address_of_key(garbage)) == 20
    except SignatureError:
        return
    assert len(garbage) == 33


def test_an_uncompressed_key_is_a_second_spelling() -> None:
    from coincurve import PublicKey

    with pytest.raises(SignatureError):
        address_of_key(PublicKey(KEY).format(compressed=False))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_network_ids_have_32_bytes(length: int) -> None:
    with pytest.raises(SignatureError):
        Domain(bytes(length))


def test_a_network_is_part_of_every_digest() -> None:
    one, other = Domain(bytes(32)), Domain(b"\x01" * 32)
    assert one.signal_digest(bytes(20), 0, 1, bytes(32), b"x") != other.signal_digest(bytes(20), 0, 1, bytes(32), b"x")
    assert one.roster_change_digest(1, bytes(32)) != other.roster_change_digest(1, bytes(32))
