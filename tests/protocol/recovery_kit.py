"""Tracks of scopes under recovery, and events that drive them through the stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from approval_kit import BEGINS_MS, HOUR_MS, NODE, address
from protocol_kit import bytes_of_label
from tocsin_protocol.approval.judging import Granted
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.recovery.policy import MAX_DWELL_MS, RecoveryPolicy
from tocsin_protocol.recovery.stages import Event, Stage, next_stage
from tocsin_protocol.recovery.steps import Call, Step, step_request
from tocsin_protocol.recovery.track import (
    MAX_TICK_MS,
    Approved,
    Ended,
    Note,
    Observed,
    Opened,
    Outcome,
    Track,
    advance,
    start_track,
)

INCIDENT = bytes_of_label("incident")
POOL = "eip155:1:0x" + "b1" * 20
UNPAUSE = Call(POOL, bytes.fromhex("3f4ba83a"), "unpause()")
CAP = Call(POOL, b"\x01", "setCap(1 %)")
POLICY = RecoveryPolicy()
# One observation is enough for a dwell.
QUICK = RecoveryPolicy(dwell_ms=dict.fromkeys(Stage, 1_000), grace_ms=0)


def make_track(scope: str = "market", stage: Stage = Stage.HALTED, **changes: Any) -> Track:
    track = start_track(scope, INCIDENT, Tier.FREEZE, 3, 0, BEGINS_MS)
    return type(track)(**{**{name: getattr(track, name) for name in track.__slots__}, "stage": stage, **changes})


def next_step(track: Track, *calls: Call) -> Step:
    return Step(track.scope, track.step, track.stage, next_stage(track.stage, Event.OPEN), calls)


def grant(step: Step, **changes: Any) -> Granted:
    fields: dict[str, Any] = {
        "incident": INCIDENT,
        "node": NODE,
        "tier": 2,
        "not_before_ms": BEGINS_MS,
        "expires_ms": BEGINS_MS + HOUR_MS,
    }
    return Granted(step_request(step, **{**fields, **changes}), (address("ann"), address("ben")), 2)


@dataclass(slots=True)
class Driver:
    """A track with a clock and a record that numbers its events."""

    track: Track = field(default_factory=make_track)
    policy: RecoveryPolicy = QUICK
    now_ms: int = BEGINS_MS
    number: int = 0
    notes: list[Note] = field(default_factory=list)

    def take(self, event: Any) -> Note:
        outcome: Outcome = advance(self.policy, self.track, event)
        self.track = outcome.track
        self.notes.append(outcome.note)
        return outcome.note

    def next(self) -> int:
        self.number += 1
        return self.number

    def observe(self, belief_ppm: int = 0, passed_ms: int = 5_000, **changes: Any) -> Note:
        self.now_ms += passed_ms
        return self.take(Observed(self.next(), self.now_ms, belief_ppm, **changes))

    def watch(self, ms: int, belief_ppm: int = 0) -> None:
        """Observe for so long, at most a tick at a time."""
        while ms > 0:
            self.observe(belief_ppm, min(ms, MAX_TICK_MS))
            ms -= MAX_TICK_MS

    def approve(self, **changes: Any) -> Note:
        step = next_step(self.track, UNPAUSE)
        # The clock may be anywhere; a window begins with a whole second.
        begins_ms = max(0, self.now_ms, self.track.last_ms) // 1000 * 1000
        window = {"not_before_ms": begins_ms, "expires_ms": begins_ms + HOUR_MS}
        granted = grant(step, **{"tier": int(self.track.tier), **window, **changes})
        return self.take(Approved(self.next(), self.now_ms, step, NODE, granted))

    def open(self, upstream: Stage | None = None) -> Note:
        return self.take(Opened(self.next(), self.now_ms, upstream))

    def end(self) -> Note:
        return self.take(Ended(self.next()))

    def climb(self, to: Stage) -> None:
        """Open stage by stage, as people would."""
        for _ in Stage:
            if self.track.stage is to:
                return
            self.observe()
            self.watch(min(MAX_DWELL_MS, self.track.dwell_left_ms(self.policy)))
            assert self.approve() is Note.APPROVED
            assert self.open() is Note.OPENED
        assert self.track.stage is to
