"""Ids, times and addresses as STIX writes them: the same on every node, and on every day."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from ..errors import DecodeError
from ..signing import keccak256

# uuid5 of the DNS namespace and `tocsin`; every id of ours stands in it.
NAMESPACE = "8a5ccf9a-c700-55ea-ac6d-d153b2039fca"
# Of STIX 2.1, section 2.9, for objects that are known by their content.
OBSERVABLE_NAMESPACE = "00abedb4-aa42-466c-9c01-fed23315a9b7"
SPEC_VERSION = "2.1"
# The last millisecond that four digits of a year can tell.
MAX_TIME_MS = 253_402_300_799_999

_OURS = uuid.UUID(NAMESPACE)
_OBSERVABLE = uuid.UUID(OBSERVABLE_NAMESPACE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")

# A signal is told to several circles, and to each the same: its ids, times and addresses are worked out once.
_remembered = lru_cache(maxsize=8192)


def canonical_json(value: Any) -> str:
    """JSON in one spelling (RFC 8785 for text, integers, lists and maps)."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@_remembered
def stix_id(kind: str, *parts: str) -> str:
    """The id of one of our objects, from what it is about."""
    # [STIX] An id of ours is made of the object's type and what it is about, and is the same on every node.
    return f"{kind}--{uuid.uuid5(_OURS, canonical_json([kind, *parts]))}"


@_remembered
def observable_id(kind: str, **properties: str) -> str:
    """The id of an observable, which others give it as well."""
    # [STIX] A wallet's id is made of its value and nothing else, as other platforms make it.
    return f"{kind}--{uuid.uuid5(_OBSERVABLE, canonical_json(properties))}"


@_remembered
def stix_time(at_ms: int) -> str:
    """A time (UTC ms) with three digits of a second; what is past the year 9999 is its end."""
    moment = _EPOCH + timedelta(milliseconds=min(at_ms, MAX_TIME_MS))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def time_of(where: str, value: Any) -> int:
    """A STIX timestamp as UTC ms, finer digits cut off; raises DecodeError."""
    match = _TIME.fullmatch(value) if type(value) is str else None
    if match is None:
        raise DecodeError(f"{where} is not a time such as 2026-01-31T12:00:00.000Z")
    try:
        moment = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError as exc:
        raise DecodeError(f"{where} names a time that there is not: {match[1]}") from exc
    return (moment - _EPOCH) // timedelta(milliseconds=1) + int((match[2] or "0").ljust(3, "0")[:3])


@_remembered
def checksum_address(address: str) -> str:
    """An EVM address in the letter case of EIP-55; whatever else is an address stays as it is."""
    # [STIX] An EVM address is written in the letter case of EIP-55.
    if not _ADDRESS.fullmatch(address):
        return address
    digits = address[2:]
    nibbles = keccak256(digits.encode()).hex()
    return "0x" + "".join(c.upper() if int(n, 16) >= 8 else c for c, n in zip(digits, nibbles, strict=False))
