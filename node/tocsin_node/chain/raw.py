"""Reading what we signed."""

from __future__ import annotations

import rlp

_DYNAMIC_FEE = 2
_DATA = 7


def read_calldata(raw: bytes) -> bytes:
    """Return the calldata of a signed EIP-1559 transaction; raises ValueError."""
    if raw[:1] != bytes((_DYNAMIC_FEE,)):
        raise ValueError("not an EIP-1559 transaction")
    try:
        return bytes(rlp.decode(raw[1:])[_DATA])
    except (rlp.DecodingError, IndexError, TypeError) as exc:
        raise ValueError("not an EIP-1559 transaction") from exc
