"""Reading what we signed."""

from __future__ import annotations

from dataclasses import dataclass

import rlp

_DYNAMIC_FEE = 2
_CHAIN, _NONCE, _MAX_FEE, _GAS, _DATA = 0, 1, 3, 4, 7


@dataclass(frozen=True, slots=True)
class Sent:
    """What of a signed transaction is looked at again: `most_wei` is what it may cost at most."""

    chain_id: int
    nonce: int
    most_wei: int
    calldata: bytes


def read_signed(raw: bytes) -> Sent:
    """Read a signed EIP-1559 transaction; raises ValueError."""
    if raw[:1] != bytes((_DYNAMIC_FEE,)):
        raise ValueError("not an EIP-1559 transaction")
    try:
        fields = rlp.decode(raw[1:])
        numbers = (int.from_bytes(fields[place], "big") for place in (_CHAIN, _NONCE, _MAX_FEE, _GAS))
        chain, nonce, fee, gas = numbers
        return Sent(chain, nonce, fee * gas, bytes(fields[_DATA]))
    except (rlp.DecodingError, IndexError, TypeError) as exc:
        raise ValueError("not an EIP-1559 transaction") from exc
