"""EIP-1559 fees, the first offer and the bump."""

from __future__ import annotations

from .errors import CapReached
from .guardian import Fees

BASE_FEE_HEADROOM = 2
"""The base fee doubles in six full blocks at most (EIP-1559: an eighth a block)."""
BUMP_PER_MILLE = 1_125
"""Nodes replace a pending transaction for ten per cent more on both caps; a little over that."""


def first_fees(base_fee_wei: int, suggested_tip_wei: int, *, min_tip_wei: int, max_fee_wei: int) -> Fees:
    """Return caps that hold for a few full blocks, within what the operator allows."""
    tip = min(max(suggested_tip_wei, min_tip_wei), max_fee_wei)
    return Fees(min(base_fee_wei * BASE_FEE_HEADROOM + tip, max_fee_wei), tip)


def bump_fees(last: Fees, base_fee_wei: int, *, max_fee_wei: int) -> Fees:
    """Return caps that replace `last`; raises CapReached when the operator's cap does not leave room for both."""
    # [SEND] A bump keeps the nonce and raises both caps by an eighth at least, up to the operator's cap.
    tip = _raise(last.priority_fee_wei)
    fee = max(_raise(last.max_fee_wei), base_fee_wei * BASE_FEE_HEADROOM + tip)
    fee = min(fee, max_fee_wei)
    if fee < _raise(last.max_fee_wei) or fee < tip:
        raise CapReached(
            f"the fee cap is reached: max_fee_wei {max_fee_wei}, and {_raise(last.max_fee_wei)} are wanted"
        )
    return Fees(fee, tip)


def _raise(value: int) -> int:
    return -(-value * BUMP_PER_MILLE // 1_000)
