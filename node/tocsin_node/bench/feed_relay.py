"""A relay's intake under a steady load, and how long each signal takes until it is on disk."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.envelope import Envelope
from tocsin_protocol.roster import RosterIndex
from tocsin_protocol.taxonomy import Category

from tocsin_node.clock import now_ms
from tocsin_node.exposure import no_exposure
from tocsin_node.meshlink import Admitted
from tocsin_node.relay.intake import Intake
from tocsin_node.relay.metrics import Metrics
from tocsin_node.store.arrivals import Filed
from tocsin_node.store.arrivals import Path as How
from tocsin_node.store.rules import Rules
from tocsin_node.store.writer import Store

STALL_SECONDS = 60.0


class PacedRelay:
    """Admits signals one by one, so many a second."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._offered: dict[bytes, float] = {}
        self._latencies_ms: list[float] = []
        intake.listeners.append(self._note)

    def _note(self, filed: Filed, path: How) -> None:
        now = time.perf_counter()
        for opened in filed.stored:
            self._latencies_ms.append((now - self._offered.pop(opened.envelope.digest)) * 1_000)

    async def admit(self, envelopes: Sequence[Envelope], per_second: float) -> list[float]:
        """How long each took until it was on disk, in ms; raises TooSlowError where one never is."""
        self._latencies_ms = []
        began = trio.current_time()
        for place, envelope in enumerate(envelopes):
            await trio.sleep_until(began + place / per_second)
            self._offered[envelope.digest] = time.perf_counter()
            self._intake.offer(Admitted("", [envelope.encoded], []))
        with trio.fail_after(STALL_SECONDS):
            while len(self._latencies_ms) < len(envelopes):  # noqa: ASYNC110 - the intake's listeners are no tasks
                await trio.sleep(0.01)
        return self._latencies_ms


@asynccontextmanager
async def open_relay(store: Store, roster: RosterIndex, publisher: bytes) -> AsyncIterator[PacedRelay]:
    """The intake of a node that holds nothing and so decides little; the store's writer runs."""
    async with trio.open_nursery() as nursery:
        rules = Rules(Policy(), b"", {}, roster, no_exposure("receiver"), publisher)
        # As a node does before it is ready.
        rules.speakers_of(Category.ASSET_DRAIN)
        intake = Intake(store, lambda: rules, Metrics(), now_ms)
        await nursery.start(intake.run_intake)
        yield PacedRelay(intake)
        nursery.cancel_scope.cancel()
