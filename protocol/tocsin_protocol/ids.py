"""Names of things on chains and of who speaks about them (CAIP-2, CAIP-10, CAIP-19)."""

from __future__ import annotations

import re

from .errors import DecodeError

PUBLISHER_BYTES = 20
DIGEST_BYTES = 32
NO_DIGEST = bytes(DIGEST_BYTES)

# An eip155 reference is a decimal number in its one spelling: `eip155:01` is not a second name of `eip155:1`.
_CHAIN = r"(?:eip155:(?:0|[1-9][0-9]{0,31})|(?!eip155:)[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32})"
_ACCOUNT = r"[-.%a-zA-Z0-9]{1,128}"
_HEX_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_CHAIN_ID = re.compile(_CHAIN)
_ACCOUNT_ID = re.compile(rf"({_CHAIN}):({_ACCOUNT})")
_ASSET_ID = re.compile(rf"({_CHAIN})/([-a-z0-9]{{3,8}}):({_ACCOUNT})(?:/([-.%a-zA-Z0-9]{{1,78}}))?")
_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,77}")
_HASH = re.compile(r"0x[0-9a-f]{64}")
_SLUG = re.compile(r"[a-z0-9][-.a-z0-9]{0,63}")
_DEPENDENCY = re.compile(r"[-a-z0-9_./@]{1,64} [-a-zA-Z0-9_.+<>=^~|]{1,63}")


def check_chain_id(text: str) -> str:
    """Return a CAIP-2 chain id such as `eip155:1`; raises DecodeError."""
    if not _CHAIN_ID.fullmatch(text):
        raise DecodeError(f"{text[:80]!r} is not a CAIP-2 chain id such as eip155:1")
    return text


def check_account_id(text: str) -> str:
    """Return a CAIP-10 account id; eip155 addresses in lower case only. Raises DecodeError."""
    match = _ACCOUNT_ID.fullmatch(text)
    if match is None:
        raise DecodeError(f"{text[:160]!r} is not a CAIP-10 account id such as eip155:1:0x…")
    _check_eip155_address(match[1], match[2])
    return text


def check_asset_id(text: str) -> str:
    """Return a CAIP-19 asset id; eip155 contracts in lower case only. Raises DecodeError."""
    match = _ASSET_ID.fullmatch(text)
    if match is None:
        raise DecodeError(f"{text[:160]!r} is not a CAIP-19 asset id such as eip155:1/erc20:0x…")
    if match[2].startswith("erc"):
        _check_eip155_address(match[1], match[3])
    if match[1].startswith("eip155:") and match[4] is not None and not _TOKEN_ID.fullmatch(match[4]):
        raise DecodeError(f"{match[4][:80]!r} is not a token id in decimal digits without leading zeros")
    return text


def check_hash(text: str) -> str:
    """Return a 32-byte hash as 0x and 64 lower-case hex digits; raises DecodeError."""
    if not _HASH.fullmatch(text):
        raise DecodeError(f"{text[:80]!r} is not 0x and 64 lower-case hex digits")
    return text


def check_slug(text: str) -> str:
    """Return a short lower-case name (1–64 of a-z 0-9 - .); raises DecodeError."""
    if not _SLUG.fullmatch(text):
        raise DecodeError(f"{text[:80]!r} is not a short name of a-z, 0-9, '-' and '.'")
    return text


def check_dependency(text: str) -> str:
    """Return a dependency as `name version`, such as `vyper 0.2.15`; raises DecodeError."""
    if not _DEPENDENCY.fullmatch(text):
        raise DecodeError(f"{text[:80]!r} is not a dependency such as 'vyper 0.2.15'")
    return text


def account_of(chain: str, address: str) -> str:
    """The CAIP-10 id of an EVM address of any letter case on a chain."""
    return check_account_id(f"{chain}:{address.lower()}")


def chain_of(account_or_asset: str) -> str:
    """The CAIP-2 chain of a CAIP-10 or CAIP-19 id."""
    if "/" in account_or_asset:
        return account_or_asset.split("/", 1)[0]
    return account_or_asset.rsplit(":", 1)[0]


def address_of(account_or_asset: str) -> str:
    """The address (0x…) of a CAIP-10 account or of a CAIP-19 asset's contract."""
    if "/" in account_or_asset:
        return account_or_asset.split("/", 2)[1].split(":", 1)[1]
    return account_or_asset.rsplit(":", 1)[1]


def _check_eip155_address(chain: str, address: str) -> None:
    if chain.startswith("eip155:") and not _HEX_ADDRESS.fullmatch(address):
        raise DecodeError(f"{address[:80]!r} is not 0x and 40 lower-case hex digits")
