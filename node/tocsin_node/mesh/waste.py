"""What one peer may bring us that is nothing new.

Such a message is IGNOREd and held against nobody, for an honest peer may bring some; but each costs a signature check
and the decoding of a frame, and a member could send them at line rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

# 10,000 signals brought again, each in a message of its own, fit; so does what a node offers again after a restart.
WASTE_BURST_BYTES = 64 * 1024 * 1024
WASTE_BYTES_A_SECOND = 2 * 1024 * 1024
# What a message costs whatever its size is, as if it were so many bytes longer.
MESSAGE_COST_BYTES = 4096
# A peer that goes on, although nobody looks at it any more, is parted with after so much in a minute.
MAX_UNSEEN_BYTES_A_MINUTE = 64 * 1024 * 1024


@dataclass(slots=True)
class _Account:
    wasted: float = 0.0
    at: float = 0.0
    unseen: int = 0
    minute_began: float = 0.0


class WasteLimit:
    """An account for each peer that wasted something; bounded by the roster's size."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def charge(self, peer: str, size: int) -> None:
        """A message of `size` bytes was looked at and brought nothing new."""
        account = self._settled(peer)
        account.wasted += size + MESSAGE_COST_BYTES

    def is_over(self, peer: str) -> bool:
        """Whether what this peer brings is not to be looked at now."""
        return peer in self._accounts and self._settled(peer).wasted > WASTE_BURST_BYTES

    def pass_over(self, peer: str, size: int) -> bool:
        """A message of `size` bytes was not looked at; True when that was one too many."""
        account, now = self._settled(peer), trio.current_time()
        if now - account.minute_began > 60:
            account.minute_began, account.unseen = now, 0
        account.unseen += size + MESSAGE_COST_BYTES
        if account.unseen <= MAX_UNSEEN_BYTES_A_MINUTE:
            return False
        account.unseen = 0
        return True

    def forget_except(self, peers: frozenset[str]) -> None:
        """Drop the accounts of peers that left the roster."""
        self._accounts = {peer: account for peer, account in self._accounts.items() if peer in peers}

    def _settled(self, peer: str) -> _Account:
        account = self._accounts.setdefault(peer, _Account())
        now = trio.current_time()
        account.wasted = max(0.0, account.wasted - (now - account.at) * WASTE_BYTES_A_SECOND)
        account.at = now
        return account
