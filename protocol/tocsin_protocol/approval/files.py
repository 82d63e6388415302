"""Requests and approvals as JSON files, which people carry from one machine to the next (specs/approval.md).

A request's file is the very input of `eth_signTypedData_v4`; an approval's file is that and what the wallet gave back.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import DecodeError
from ..fields import enum_of, map_of, text_of, uint_of
from ..ids import DIGEST_BYTES, PUBLISHER_BYTES
from .request import Purpose, Request, typed_data

APPROVAL_VERSION = 1
MAX_APPROVAL_BYTES = 8 * 1024

_MESSAGE = (
    *("purpose", "effect", "scope", "lever", "target", "tier", "window"),
    *("payload", "incident", "epoch", "notBefore", "expires", "node"),
)
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*")
_WALLET_SIGNATURE = re.compile(r"0x[0-9a-fA-F]{128}(?:00|01|1[bB]|1[cC])")


@dataclass(frozen=True, slots=True)
class Approval:
    """A request of some network with a signature (64 bytes, EIP-2098) over it; nothing of it has been checked."""

    network_id: bytes
    request: Request
    signature: bytes


def encode_approval_request(network_id: bytes, request: Request) -> bytes:
    """The file of a request: what a wallet is given to sign."""
    return _json_bytes(typed_data(network_id, request))


def decode_approval_request(data: bytes) -> tuple[bytes, Request]:
    """Read a request's file: its network id and the request; raises DecodeError naming the field."""
    return _read_typed_data(_read_json(data))


def encode_approval(approval: Approval) -> bytes:
    """The file of an approval."""
    return _json_bytes(
        {
            "approval": APPROVAL_VERSION,
            "request": typed_data(approval.network_id, approval.request),
            "signature": wallet_signature(approval.signature),
        }
    )


def decode_approval(data: bytes) -> Approval:
    """Read an approval's file, checking no signature; raises DecodeError naming the field."""
    fields = map_of("approval file", _read_json(data), ("approval", "request", "signature"))
    uint_of("approval version", fields["approval"], APPROVAL_VERSION, APPROVAL_VERSION)
    network_id, request = _read_typed_data(fields["request"])
    return Approval(network_id, request, compact_signature(fields["signature"]))


def compact_signature(text: Any) -> bytes:
    """What a wallet returns (0x, r, s, v) as 64 bytes of EIP-2098; raises DecodeError.

    Some hardware wallets give 0 and 1 for v where most give 27 and 28.
    """
    if type(text) is not str or not _WALLET_SIGNATURE.fullmatch(text):
        raise DecodeError("signature is not 0x and 65 bytes of hex with a last byte of 0, 1, 27 or 28")
    raw = bytes.fromhex(text[2:])
    # [APPROVE] Of a signature's two values of s only the low one is taken.
    if raw[32] >> 7:
        raise DecodeError("signature with a high s")
    parity = raw[64] % 27
    return raw[:32] + bytes((raw[32] | parity << 7,)) + raw[33:64]


def wallet_signature(signature: bytes) -> str:
    """A signature in EIP-2098 form as wallets write it."""
    parity, first = signature[32] >> 7, signature[32] & 0x7F
    return "0x" + (signature[:32] + bytes((first,)) + signature[33:] + bytes((27 + parity,))).hex()


def _read_typed_data(value: Any) -> tuple[bytes, Request]:
    document = map_of("request", value, ("types", "primaryType", "domain", "message"))
    domain = map_of("request domain", document["domain"], ("name", "version", "salt"))
    message = map_of("request message", document["message"], _MESSAGE)
    network_id = _bytes_of_hex("salt", domain["salt"], DIGEST_BYTES)
    request = Request(
        purpose=enum_of("purpose", message["purpose"], Purpose),
        effect=message["effect"],
        scope=message["scope"],
        lever=message["lever"],
        target=message["target"],
        tier=message["tier"],
        payload=_bytes_of_hex("payload", message["payload"], DIGEST_BYTES),
        incident=_bytes_of_hex("incident", message["incident"], DIGEST_BYTES),
        epoch=message["epoch"],
        not_before_ms=message["notBefore"],
        expires_ms=message["expires"],
        node=_bytes_of_hex("node", message["node"], PUBLISHER_BYTES),
    )
    # [APPROVE] Typed data is that of its request to the letter: its types, its domain, its window in words.
    wanted = typed_data(network_id, request)
    if message["window"] != request.window:
        raise DecodeError(f"window is {str(message['window'])[:80]!r} where {request.window!r} follows from its times")
    for key in ("types", "primaryType", "domain", "message"):
        if document[key] != wanted[key]:
            raise DecodeError(f"request {key} is not that of an approval")
    return network_id, request


def _bytes_of_hex(where: str, value: Any, length: int) -> bytes:
    text = text_of(where, value)
    if len(text) != 2 + 2 * length or not _HEX.fullmatch(text):
        raise DecodeError(f"{where} is not 0x and {2 * length} lower-case hex digits")
    return bytes.fromhex(text[2:])


def _read_json(data: bytes) -> Any:
    if len(data) > MAX_APPROVAL_BYTES:
        raise DecodeError(f"file of {len(data)} bytes where at most {MAX_APPROVAL_BYTES} are allowed")
    try:
        return json.loads(data, object_pairs_hook=_pairs, parse_float=_no_number, parse_constant=_no_number)
    except (ValueError, RecursionError) as exc:
        raise DecodeError(f"file is not JSON: {exc}") from exc


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DecodeError("the same key stands twice in an object of the file")
    return found


def _no_number(text: str) -> NoReturn:
    raise DecodeError(f"{text[:80]} in the file is not an integer")


def _json_bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"
