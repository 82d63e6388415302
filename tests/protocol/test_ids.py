"""Identifiers in their one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_kit import ASSET, VAULT
from strategies_kit import FIXED
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.ids import (
    account_of,
    address_of,
    chain_of,
    check_account_id,
    check_asset_id,
    check_chain_id,
    check_dependency,
    check_hash,
    check_slug,
)

CHECKS = (check_chain_id, check_account_id, check_asset_id, check_hash, check_slug, check_dependency)


@pytest.mark.parametrize(
    "text", ["eip155:1", "eip155:0", "eip155:42161", "cosmos:cosmoshub-4", "bip122:000000000019d6689c085ae165831e93"]
)
def test_chain_ids(text: str) -> None:
    assert check_chain_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "eip155:",
        "eip155:01",
        "eip155:1a",
        "eip155:-1",
        "EIP155:1",
        "eip155:1 ",
        "eip155:1\n",
        "eip155:" + "1" * 33,
    ],
)
def test_other_spellings_of_chains(text: str) -> None:
    with pytest.raises(DecodeError):
        check_chain_id(text)


def test_addresses_come_in_lower_case() -> None:
    assert check_account_id(VAULT) == VAULT
    assert account_of("eip155:1", VAULT.rsplit(":", 1)[1].upper().replace("0X", "0x")) == VAULT
    with pytest.raises(DecodeError):
        check_account_id(VAULT.upper().replace("EIP155", "eip155").replace("0X", "0x"))


def test_accounts_of_other_chains_keep_their_case() -> None:
    text = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:7S3P4HxJpyyigGzodYwHtCxZyUQe9JiBMHyRWXArAaKv"
    assert check_account_id(text) == text
    assert chain_of(text) == "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"


@pytest.mark.parametrize("token", ["0", "771769", str(2**256 - 1)])
def test_token_ids_are_decimal(token: str) -> None:
    text = f"{ASSET.replace('erc20', 'erc721')}/{token}"
    assert check_asset_id(text) == text
    for other in (f"0{token}", f"0x{token}", f"+{token}"):
        with pytest.raises(DecodeError):
            check_asset_id(f"{ASSET.replace('erc20', 'erc721')}/{other}")


def test_parts_of_an_id() -> None:
    assert chain_of(VAULT) == chain_of(ASSET) == "eip155:1"
    assert address_of(VAULT) == "0x" + "5a" * 20
    assert address_of(ASSET) == address_of(ASSET.replace("erc20", "erc721") + "/7") == "0x" + "c0" * 20


@FIXED
@given(st.text(max_size=60))
def test_checks_return_what_they_got_or_raise_ours(text: str) -> None:
    for check in CHECKS:
        try:
            assert check(text) == text
        except DecodeError:
            continue


def test_long_texts_are_not_repeated_in_errors() -> None:
    for check in CHECKS:
        with pytest.raises(DecodeError) as caught:
            check("x" * 100_000)
        assert len(str(caught.value)) < 400
