"""Which policy was in force by a decision: the one that was loaded last, as far as the log tells."""

from __future__ import annotations

# A signal that was in hand when a policy was loaded is decided on by the one before.
MAX_IN_HAND_MS = 60_000


class Policies:
    """Follows the policy by its hash. A node that begins may have read another file: which, its next decision says."""

    def __init__(self) -> None:
        self._in_force: bytes | None = None
        self._before: bytes | None = None
        self._loaded_ms = 0

    def begin(self) -> None:
        """The node began, or may have."""
        self._in_force = None

    def load(self, policy: bytes, at_ms: int) -> None:
        """The operator had it loaded."""
        self._before, self._in_force, self._loaded_ms = self._in_force, policy, at_ms

    def check(self, policy: bytes, at_ms: int) -> list[str]:
        """What is wrong with a decision by a policy, or nothing."""
        if self._in_force is None:
            self._in_force = policy
        is_in_hand = at_ms - self._loaded_ms <= MAX_IN_HAND_MS and self._before in (None, policy)
        if policy == self._in_force or is_in_hand:
            return []
        return [f"the policy loaded last has the hash {self._in_force.hex()}, and it stood on {policy.hex()}"]
