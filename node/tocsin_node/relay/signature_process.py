"""Checks signatures for a relay: `python -m tocsin_node.relay.signature_process`, its standard input a socket.

→ how many (4 bytes, big-endian), then for each its digest (32 bytes), signature (64) and key (33)
← for each one byte: 1 where the signature is by the key, else 0

It says READY first, and ends when the relay's end of the socket does. Little is imported: it weighs less than 20 MB.
"""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Sequence

from tocsin_protocol.signing import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, is_signed_by

# Another byte with another layout: the package may have been upgraded since the relay was started.
READY = b"+"
COUNT = struct.Struct(">I")
_CLAIM = struct.Struct(f"32s{SIGNATURE_BYTES}s{PUBLIC_KEY_BYTES}s")

Claim = tuple[bytes, bytes, bytes]
"""A digest, a signature over it, and the key that is said to have made it, of the lengths above."""


def encode_claims(claims: Sequence[Claim]) -> bytes:
    """One request."""
    return COUNT.pack(len(claims)) + b"".join(_CLAIM.pack(*claim) for claim in claims)


def check_claims(claims: Sequence[Claim]) -> list[bool]:
    """Whether each signature is by its key, in the same order."""
    return [is_signed_by(key, digest, signature) for digest, signature, key in claims]


def main() -> None:
    """Answer until the other end is gone."""
    # Ctrl-C reaches the whole group; the relay still has to store what is in its hands.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=0) as ours, ours.makefile("rb") as requests:
        ours.sendall(READY)
        while head := requests.read(COUNT.size):
            data = requests.read(_CLAIM.size * COUNT.unpack(head)[0])
            ours.sendall(bytes(check_claims(list(_CLAIM.iter_unpack(data)))))


if __name__ == "__main__":
    main()
