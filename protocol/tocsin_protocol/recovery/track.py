"""The recovery of one scope, event by event (specs/recovery.md).

Events come from the node's own record and are numbered there, so a replay is known by its number. Time counts only as
the node watched it: a node that slept, or whose clock jumped, has seen no calm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from ..approval.judging import Granted
from ..decision.tiers import Tier
from ..errors import RecoveryError
from .policy import MAX_DWELL_MS, PPM, RecoveryPolicy
from .stages import Event, Operation, Stage, next_stage, operations_of
from .steps import Step, step_request

# Observations come every few seconds; a longer gap was not watched, or the clock jumped.
MAX_TICK_MS = 60_000


class Level(IntEnum):
    """What an observation says."""

    CALM = 0
    UNEASY = 1
    ALARM = 2
    HALT = 3


class Note(StrEnum):
    """What became of an event."""

    WATCHED = "watched"
    STEPPED_BACK = "stepped-back"
    ALARMED = "alarmed"
    APPROVED = "approved"
    OPENED = "opened"
    LAPSED = "lapsed"
    REPLAYED = "replayed"
    NOT_THIS_STEP = "not-this-step"
    EXPIRED = "expired"
    NOT_APPROVED = "not-approved"
    TOO_EARLY = "too-early"
    UPSTREAM_CLOSED = "upstream-closed"
    NOTHING_TO_OPEN = "nothing-to-open"


@dataclass(frozen=True, slots=True)
class Observed:
    """What the node believes now (millionths), and the highest tier its decision used on this scope, if any."""

    number: int
    now_ms: int
    belief_ppm: int
    tier: Tier | None = None

    def __post_init__(self) -> None:
        if type(self.belief_ppm) is not int or not 0 <= self.belief_ppm <= PPM:
            raise RecoveryError(f"observed: belief_ppm is {self.belief_ppm!r} where 0…{PPM} is wanted")


@dataclass(frozen=True, slots=True)
class Approved:
    """The operators approved a step, which `node` asked for."""

    number: int
    now_ms: int
    step: Step
    node: bytes
    granted: Granted


@dataclass(frozen=True, slots=True)
class Opened:
    """The chain shows, or the operator says where no chain can, that the step's calls were made by governance.

    `upstream` is the least open stage of the scopes that this one hangs on; None where there are none.
    """

    number: int
    now_ms: int
    upstream: Stage | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """No lever holds this scope any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Track:
    """Where the recovery of one scope is. Times in ms, as watched; `last_ms` is the latest time observed.

    `step` rises with each change of stage and each alarm, so no approval outlives what it was given for. `tier` is the
    highest that holds it. `calm_ms` is calm without a break, `watched_ms` all of this stage, `exit_ms` since people can
    pay and leave. `approved` is the payload of the step that was approved, if one was, and counts until
    `approved_until_ms`.
    """

    scope: str
    incident: bytes
    tier: Tier
    stage: Stage
    step: int
    last_number: int
    last_ms: int
    calm_ms: int = 0
    watched_ms: int = 0
    exit_ms: int = 0
    backs: int = 0
    level: Level = Level.HALT
    approved: bytes | None = None
    approved_until_ms: int = 0

    def dwell_ms(self, policy: RecoveryPolicy) -> int:
        """How long this stage has to be calm."""
        return policy.dwell_after(self.stage, self.backs)

    def dwell_left_ms(self, policy: RecoveryPolicy) -> int:
        """How much longer, if it stays calm."""
        # [RECOVER] A stage has dwelt once it was calm for its dwell time, and after MAX_DWELL_MS whatever is believed.
        return max(0, min(self.dwell_ms(policy) - self.calm_ms, MAX_DWELL_MS - self.watched_ms))

    def is_over(self, policy: RecoveryPolicy) -> bool:
        """Whether it is open and has dwelt: what comes now is another incident."""
        return self.stage is Stage.NORMAL and not self.dwell_left_ms(policy)

    def is_approved(self, now_ms: int) -> bool:
        """Whether the next step is approved, now and by the latest time observed."""
        # [RECOVER] An approval counts until its window ends; a step that was not made by then is asked anew.
        return self.approved is not None and max(now_ms, self.last_ms) < self.approved_until_ms

    def allowed(self, policy: RecoveryPolicy) -> tuple[Operation, ...]:
        """What people may do now."""
        # [RECOVER] Nobody is liquidated before people could pay for the grace time.
        in_grace = self.exit_ms < policy.grace_ms
        return tuple(op for op in operations_of(self.stage) if not (in_grace and op is Operation.LIQUIDATE))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A track after an event, and what became of the event."""

    track: Track
    note: Note


def start_track(scope: str, incident: bytes, tier: Tier, step: int, number: int, now_ms: int) -> Track:
    """The recovery of a scope that is contained now; `step` is above all steps that the scope ever had."""
    return Track(scope, incident, tier, Stage.HALTED, step, number, now_ms)


def void_approval(track: Track) -> Track:
    """The track without what was approved; its next step has another number, and is asked anew."""
    return replace(track, step=track.step + 1, approved=None, approved_until_ms=0)


def advance(policy: RecoveryPolicy, track: Track, event: Observed | Approved | Opened | Ended) -> Outcome:
    """The track after an event of the node's record."""
    # [RECOVER] An event whose number is not above the last one changes nothing.
    if event.number <= track.last_number:
        return Outcome(track, Note.REPLAYED)
    track = replace(track, last_number=event.number)
    match event:
        case Observed():
            return _observe(policy, track, event)
        case Approved():
            return _approve(track, event)
        case Opened():
            return _open(policy, track, event)
        case Ended():
            return _end(track)


def _level(policy: RecoveryPolicy, before: Level, event: Observed) -> Level:
    # [RECOVER] A lever of tier 2 or 3 that was used is a halt; one of tier 1, or a belief that closes, an alarm.
    if event.tier is not None and event.tier >= Tier.FREEZE:
        return Level.HALT
    if event.tier is Tier.TIGHTEN or event.belief_ppm >= policy.close_ppm:
        return Level.ALARM
    # [RECOVER] An alarm lasts until belief is calm.
    if event.belief_ppm >= policy.calm_ppm:
        return Level.ALARM if before >= Level.ALARM else Level.UNEASY
    return Level.CALM


def _observe(policy: RecoveryPolicy, track: Track, event: Observed) -> Outcome:
    level = _level(policy, track.level, event)
    track, was = _watch(track, event.now_ms, level), track.level
    tier = track.tier if event.tier is None else max(track.tier, event.tier)
    # [RECOVER] A signal counts when it raises the level to alarm or halt: what stays as it is was seen already.
    # [RECOVER] A lever of a higher tier than those before counts always: others may have to approve what follows.
    is_new = (level > was and level >= Level.ALARM) or tier > track.tier
    track = replace(track, level=level, tier=tier)
    if not is_new:
        return Outcome(track, Note.WATCHED)
    closed = next_stage(track.stage, Event.HALT if level is Level.HALT else Event.ALARM)
    # [RECOVER] An alarm voids what was approved, and closes what is more than exits; a halt closes everything.
    if closed is track.stage:
        return Outcome(void_approval(track), Note.ALARMED)
    exit_ms = 0 if closed is Stage.HALTED else track.exit_ms
    return Outcome(replace(_enter(track, closed), backs=track.backs + 1, exit_ms=exit_ms), Note.STEPPED_BACK)


def _watch(track: Track, now_ms: int, level: Level) -> Track:
    # [RECOVER] A clock that goes back by more than MAX_TICK_MS starts dwell and grace over; by less, it adds nothing.
    if now_ms < track.last_ms - MAX_TICK_MS:
        return replace(track, last_ms=now_ms, calm_ms=0, watched_ms=0, exit_ms=0)
    # [RECOVER] An observation adds the time since the one before it, and nothing where that is more than MAX_TICK_MS.
    passed = now_ms - track.last_ms if 0 < now_ms - track.last_ms <= MAX_TICK_MS else 0
    # [RECOVER] Time is calm between two calm observations; one that is not calm starts the dwell over.
    is_calm = level is Level.CALM
    calm = track.calm_ms + passed if is_calm and track.level is Level.CALM else 0
    can_exit = track.stage.rank >= Stage.EXIT_ONLY.rank
    return replace(
        track,
        last_ms=max(track.last_ms, now_ms),
        calm_ms=min(MAX_DWELL_MS, calm),
        watched_ms=min(MAX_DWELL_MS, track.watched_ms + passed),
        exit_ms=min(MAX_DWELL_MS, track.exit_ms + passed) if can_exit else track.exit_ms,
    )


def _approve(track: Track, event: Approved) -> Outcome:
    step, request = event.step, event.granted.request
    # [RECOVER] An approval counts for the step it was given for: the whole request is the one that this step asks.
    wanted = step_request(
        step,
        incident=track.incident,
        node=event.node,
        tier=int(track.tier),
        not_before_ms=request.not_before_ms,
        expires_ms=request.expires_ms,
    )
    is_this = (step.scope, step.number, step.before) == (track.scope, track.step, track.stage)
    if not is_this or request != wanted:
        return Outcome(track, Note.NOT_THIS_STEP)
    after = replace(track, approved=step.payload, approved_until_ms=request.expires_ms)
    return Outcome(after, Note.APPROVED) if after.is_approved(event.now_ms) else Outcome(track, Note.EXPIRED)


def _open(policy: RecoveryPolicy, track: Track, event: Opened) -> Outcome:
    if track.stage is Stage.NORMAL:
        return Outcome(track, Note.NOTHING_TO_OPEN)
    # [RECOVER] What was opened without the operators' approval does not count as open.
    if track.approved is None:
        return Outcome(track, Note.NOT_APPROVED)
    if not track.is_approved(event.now_ms):
        return Outcome(void_approval(track), Note.EXPIRED)
    # [RECOVER] Nor does what was opened before the stage has dwelt.
    if track.dwell_left_ms(policy):
        return Outcome(track, Note.TOO_EARLY)
    after = next_stage(track.stage, Event.OPEN)
    # [RECOVER] Nor does what is opened further than what it hangs on.
    if event.upstream is not None and event.upstream.rank < after.rank:
        return Outcome(track, Note.UPSTREAM_CLOSED)
    return Outcome(replace(_enter(track, after), last_ms=max(track.last_ms, event.now_ms)), Note.OPENED)


def _end(track: Track) -> Outcome:
    # [RECOVER] What no lever holds any more is restricted until people open it.
    after = next_stage(track.stage, Event.LAPSE)
    return Outcome(track if after is track.stage else _enter(track, after), Note.LAPSED)


def _enter(track: Track, stage: Stage) -> Track:
    """The track as it begins a stage."""
    return replace(void_approval(track), stage=stage, calm_ms=0, watched_ms=0)
