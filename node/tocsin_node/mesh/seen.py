"""Which message ids were seen: two generations, so that forgetting costs nothing and memory is bounded."""

from __future__ import annotations

import trio

# gossipsub's usual two minutes, and what a flood may make us remember in one generation.
GENERATION_SECONDS = 120.0
MAX_IDS_A_GENERATION = 65_536


class SeenIds:
    """Ids seen within the last one to two generations."""

    def __init__(self) -> None:
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turn_at: float | None = None

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._new or message_id in self._old

    def add(self, message_id: bytes) -> None:
        """Remember an id."""
        now = trio.current_time()
        if self._turn_at is None:
            self._turn_at = now + GENERATION_SECONDS
        if now >= self._turn_at or len(self._new) >= MAX_IDS_A_GENERATION:
            self._old, self._new = self._new, set()
            self._turn_at = now + GENERATION_SECONDS
        self._new.add(message_id)
