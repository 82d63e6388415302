"""The root of a report, signed by the node that it is of."""

from __future__ import annotations

from dataclasses import dataclass

from ..encoding import decode_canonical, encode_canonical
from ..fields import bytes_of, list_of, uint_of
from ..ids import DIGEST_BYTES
from ..signing import SIGNATURE_BYTES, keccak256, sign_digest, verify_digest
from .report import MAX_LEAVES

MAX_ROOT_BYTES = 256
_DOMAIN = b"tocsin/report-root/1"


@dataclass(frozen=True, slots=True)
class ReportRoot:
    """Which report a node stands for: of which incident, its root and number of leaves; when it said so (UTC ms)."""

    incident: bytes
    root: bytes
    leaves: int
    at_ms: int


def sign_root(secret: bytes, root: ReportRoot) -> tuple[bytes, bytes]:
    """The bytes of a root and a publisher's signature over them."""
    # [REPORT] A node signs incident, root, number of leaves and time, and logs them, when its operator says so.
    body = encode_canonical([root.incident, root.root, root.leaves, root.at_ms])
    return body, sign_digest(secret, keccak256(_DOMAIN + body))


def verify_root(public_key: bytes, body: bytes, signature: bytes) -> ReportRoot:
    """Check and read a root; raises DecodeError or SignatureError."""
    verify_digest(public_key, keccak256(_DOMAIN + body), bytes_of("signature", signature, SIGNATURE_BYTES))
    fields = list_of("root", decode_canonical(body, max_bytes=MAX_ROOT_BYTES), 4, 4)
    return ReportRoot(
        bytes_of("incident", fields[0], DIGEST_BYTES),
        bytes_of("root", fields[1], DIGEST_BYTES),
        uint_of("leaves", fields[2], 1, MAX_LEAVES),
        uint_of("at", fields[3]),
    )
