"""An operator's word from an offline key that his node is to act no more (specs/self-protection.md). It never arms."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .encoding import decode_canonical, encode_canonical
from .errors import DecodeError, SignatureError
from .fields import bytes_of, list_of, uint_of
from .ids import PUBLISHER_BYTES
from .signing import SIGNATURE_BYTES, Domain, address_of_key, recover_key, sign_digest

DISARM_PREFIX = "tocsin-disarm:"
MAX_DISARM_BYTES = 256
MAX_DISARM_AGE_MS = 24 * 60 * 60 * 1000
MAX_DISARM_AHEAD_MS = 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Disarm:
    """A statement that was checked: by which key (its address), for whose node, issued when (UTC ms)."""

    key: bytes
    publisher: bytes
    issued_ms: int


def write_disarm(domain: Domain, secret: bytes, publisher: bytes, issued_ms: int) -> str:
    """Return the statement as text: a line for a file, or the text of a signal."""
    signature = sign_digest(secret, domain.disarm_digest(publisher, issued_ms))
    return DISARM_PREFIX + encode_canonical([publisher, issued_ms, signature]).hex()


def read_disarm(domain: Domain, text: str, publisher: bytes, keys: Collection[bytes], now_ms: int) -> Disarm:
    """Check a statement; raises DecodeError or SignatureError saying why it disarms nothing.

    `keys` are the addresses of the operator's offline keys, `publisher` is our node.
    """
    if not text.startswith(DISARM_PREFIX):
        raise DecodeError(f"a disarm statement does not begin with {DISARM_PREFIX!r}")
    try:
        data = bytes.fromhex(text.removeprefix(DISARM_PREFIX).strip())
    except ValueError as exc:
        raise DecodeError("a disarm statement is not hex") from exc
    fields = list_of("disarm statement", decode_canonical(data, max_bytes=MAX_DISARM_BYTES), 3, 3)
    named, issued_ms = bytes_of("publisher", fields[0], PUBLISHER_BYTES), uint_of("issued", fields[1])
    signature = bytes_of("signature", fields[2], SIGNATURE_BYTES)
    # [CARE] A statement is for one node: it names that node's publisher.
    if named != publisher:
        raise DecodeError(f"the statement is for 0x{named.hex()}, and this node is 0x{publisher.hex()}")
    # [CARE] Only the offline keys of the config may make one.
    key = address_of_key(recover_key(domain.disarm_digest(named, issued_ms), signature))
    if key not in keys:
        raise SignatureError(f"signed by 0x{key.hex()}, which is none of the operator's disarm_keys")
    # [CARE] It is at most MAX_DISARM_AGE_MS old, and at most MAX_DISARM_AHEAD_MS ahead of the node's clock.
    if not now_ms - MAX_DISARM_AGE_MS <= issued_ms <= now_ms + MAX_DISARM_AHEAD_MS:
        raise DecodeError("the statement is too old, or from the future: sign a new one")
    return Disarm(key, named, issued_ms)
