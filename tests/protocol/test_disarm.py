"""Statements by an offline key."""

from __future__ import annotations

import pytest
from protocol_kit import DOMAIN, NOW_MS, OTHER_NETWORK_ID, Feed, root_secret
from tocsin_protocol.disarm import (
    DISARM_PREFIX,
    MAX_DISARM_AGE_MS,
    MAX_DISARM_AHEAD_MS,
    Disarm,
    read_disarm,
    write_disarm,
)
from tocsin_protocol.encoding import decode_canonical
from tocsin_protocol.errors import DecodeError, ProtocolError, SignatureError
from tocsin_protocol.signing import Domain, address_of_key, public_key_of

SECRET = root_secret("alba")
KEY = address_of_key(public_key_of(SECRET))
NODE = Feed("alba").publisher


def statement(**changes: object) -> str:
    given = {"domain": DOMAIN, "secret": SECRET, "publisher": NODE, "issued_ms": NOW_MS} | changes
    return write_disarm(**given)  # type: ignore[arg-type]


def read(text: str, now_ms: int = NOW_MS) -> Disarm:
    return read_disarm(DOMAIN, text, NODE, {KEY}, now_ms)


def test_a_statement_of_the_offline_key_is_read() -> None:
    assert read(statement()) == Disarm(KEY, NODE, NOW_MS)
    assert read(statement(), NOW_MS + MAX_DISARM_AGE_MS) == Disarm(KEY, NODE, NOW_MS)
    assert read(statement(), NOW_MS - MAX_DISARM_AHEAD_MS) == Disarm(KEY, NODE, NOW_MS)


@pytest.mark.parametrize(
    ("text", "now_ms", "why"),
    [
        (statement(publisher=Feed("brook").publisher), NOW_MS, "the statement is for 0x"),
        (statement(secret=root_secret("brook")), NOW_MS, "none of the operator's disarm_keys"),
        (statement(domain=Domain(OTHER_NETWORK_ID)), NOW_MS, "none of the operator's disarm_keys"),
        (statement(), NOW_MS + MAX_DISARM_AGE_MS + 1, "too old"),
        (statement(), NOW_MS - MAX_DISARM_AHEAD_MS - 1, "too old, or from the future"),
        ("disarm, please", NOW_MS, "does not begin"),
        (DISARM_PREFIX + "zz", NOW_MS, "not hex"),
        (DISARM_PREFIX, NOW_MS, "ends before"),
    ],
)
def test_what_is_no_statement_for_us_says_why(text: str, now_ms: int, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        read(text, now_ms)


def test_flipping_any_bit_breaks_a_statement() -> None:
    data = bytes.fromhex(statement().removeprefix(DISARM_PREFIX))
    for place in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises((DecodeError, SignatureError)):
            read(DISARM_PREFIX + flipped.hex())


def test_the_signature_is_over_typed_data_that_a_wallet_can_show() -> None:
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    fields = {"Disarm": [{"name": "publisher", "type": "address"}, {"name": "issued", "type": "uint64"}]}
    domain = {"name": "Tocsin", "version": "1", "salt": DOMAIN.network_id}
    typed = encode_typed_data(domain, fields, {"publisher": "0x" + NODE.hex(), "issued": NOW_MS})
    signed = Account.from_key(SECRET).sign_message(typed)
    _, _, signature = decode_canonical(bytes.fromhex(statement().removeprefix(DISARM_PREFIX)), max_bytes=256)
    compact = signed.s | (signed.v - 27) << 255
    assert signature == signed.r.to_bytes(32, "big") + compact.to_bytes(32, "big")
