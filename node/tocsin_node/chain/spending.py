"""What a guardian's transactions may cost within a day, at most."""

from __future__ import annotations

import trio

from .errors import CapReached

DAY_S = 86_400.0


class Spending:
    """Adds up what the transactions signed within the last day may cost; of those of one nonce, the dearest counts."""

    def __init__(self, max_wei: int) -> None:
        self._max_wei = max_wei
        self._by_nonce: dict[int, tuple[float, int]] = {}

    def commit(self, nonce: int, wei: int) -> None:
        """Note that the transaction of this nonce may cost so much; raises CapReached, and then notes nothing."""
        self._forget()
        # [SEND] What is signed within a day may not cost more than the operator's cap, whatever it does cost.
        others = sum(spent for key, (_, spent) in self._by_nonce.items() if key != nonce)
        if others + wei > self._max_wei:
            raise CapReached(
                f"the spend cap is reached: max_day_spend_wei {self._max_wei}, {others} wei of it signed for within "
                f"a day, and this may cost {wei}"
            )
        self._note(nonce, wei, trio.current_time())

    def recall(self, nonce: int, wei: int, age_s: float) -> None:
        """Note what an earlier run signed so long ago."""
        # [SEND] After a restart, what the ledger shows as signed within the last day counts again.
        self._note(nonce, wei, trio.current_time() - max(0.0, age_s))
        self._forget()

    def _note(self, nonce: int, wei: int, at: float) -> None:
        before_at, before_wei = self._by_nonce.get(nonce, (at, 0))
        self._by_nonce[nonce] = (max(at, before_at), max(wei, before_wei))

    def _forget(self) -> None:
        since = trio.current_time() - DAY_S
        self._by_nonce = {key: entry for key, entry in self._by_nonce.items() if entry[0] > since}
