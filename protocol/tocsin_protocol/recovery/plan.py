"""What is to be done until everything is open again, by whom, and when at the earliest (specs/recovery.md).

A plan holds steps to approve and proposals to governance: values to read, none of which can be carried out by a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ..approval.judging import Tally
from ..errors import RecoveryError
from .order import HangsOn, waits_for
from .policy import RecoveryPolicy
from .stages import Event, Stage, next_stage
from .steps import Call, Step
from .track import Track

MAX_TRACKS = 256
MAX_LEVERS_USED = 256
MAX_REMEDIES = 64
EVERYWHERE = "*"
_Order = Mapping[str, frozenset[str]]
_CONTAINED = (Stage.HALTED, Stage.RESTRICTED)


class EndKind(StrEnum):
    """Who ends a lever: the contract by itself, or people."""

    CONTRACT = "contract"
    PEOPLE = "people"


@dataclass(frozen=True, slots=True)
class UsedLever:
    """A lever that an incident's actions used: what it holds, how and when it ends (UTC ms), and the call to undo it.

    `undo_at` is the stage that the call opens. Raises RecoveryError where that is none that people open.
    """

    hook: str
    scopes: frozenset[str]
    end: EndKind
    ends_ms: int
    undo: Call | None
    undo_at: Stage

    def __post_init__(self) -> None:
        # [RECOVER] A lever is undone at a stage that people open.
        if self.undo_at in _CONTAINED:
            raise RecoveryError(f"lever {self.hook!r}: undo_at is {self.undo_at.value}, which people do not open")

    def holds(self, scope: str) -> bool:
        """Whether it holds this scope still."""
        return scope in self.scopes or EVERYWHERE in self.scopes


class ProposalKind(StrEnum):
    """What governance is asked to do."""

    REOPEN = "reopen"
    UNDO = "undo"
    FUND = "fund"
    MIGRATE = "migrate"
    CLAIMS = "claims"


@dataclass(frozen=True, slots=True)
class Proposal:
    """Calls for the protocol's own governance to decide on: for a scope, by the time it opens to a stage, and why."""

    kind: ProposalKind
    scope: str
    by: Stage
    calls: tuple[Call, ...]
    why: str


@dataclass(frozen=True, slots=True)
class View:
    """What is known about a scope beside its track: our belief (millionths), the peers' all-clear, the approvals."""

    belief_ppm: int
    all_clear_seen: int = 0
    all_clear_asked: int = 0
    tally: Tally | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """What the next step of a scope still needs, and what is only advice (the view).

    `upstream`: scopes it hangs on that are not open enough. `beside`: scopes under the same lever that are not ready.
    """

    dwell_left_ms: int
    upstream: tuple[str, ...]
    beside: tuple[str, ...]
    is_approved: bool
    view: View | None

    @property
    def is_ready(self) -> bool:
        """Whether governance may make the step's calls now."""
        # [RECOVER] The peers' all-clear is shown with each step and decides nothing.
        return self.is_approved and not (self.dwell_left_ms or self.upstream or self.beside)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step, when at the earliest (UTC ms, if all stays calm); `waits` stands at the next step of each scope only."""

    step: Step
    earliest_ms: int
    waits: Waits | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they can come, and all proposals."""

    steps: tuple[PlannedStep, ...]
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a plan is made from. `limits` are the calls that cap a scope at a stage; `remedies` the
    operator's own proposals of what follows: fund deployment, migration, claims. Raises RecoveryError for too many.
    """

    policy: RecoveryPolicy
    tracks: Mapping[str, Track]
    hanging: HangsOn = field(default_factory=dict)
    levers: tuple[UsedLever, ...] = ()
    limits: Mapping[tuple[str, Stage], tuple[Call, ...]] = field(default_factory=dict)
    remedies: tuple[Proposal, ...] = ()
    views: Mapping[str, View] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, found, most in (
            ("tracks", len(self.tracks), MAX_TRACKS),
            ("levers", len(self.levers), MAX_LEVERS_USED),
            ("remedies", len(self.remedies), MAX_REMEDIES),
        ):
            if found > most:
                raise RecoveryError(f"plan: {found} {name} where at most {most} are allowed")

    def groups(self, after: Stage) -> list[frozenset[str]]:
        """The scopes that one call opens to this stage: those that a lever which is undone there holds."""
        undone = [lever for lever in self.levers if lever.undo_at is after]
        return [frozenset(scope for scope in self.tracks if lever.holds(scope)) for lever in undone]

    def waiting(self, after: Stage) -> dict[str, frozenset[str]]:
        """For each scope, in an order of opening, which others have to be open to this stage before it."""
        return waits_for(self.tracks.keys(), self.hanging, self.groups(after))


def make_plan(scene: Scene, now_ms: int) -> Plan:
    """The way from where each scope is to NORMAL, and what governance is asked for on it."""
    orders = {after: scene.waiting(after) for after in Stage if after not in _CONTAINED}
    places = {scope: place for place, scope in enumerate(orders[Stage.NORMAL])}
    paths = {scope: _path(track.stage) for scope, track in scene.tracks.items()}
    opened_ms = _opening_times(scene, orders, paths, now_ms)
    planned = []
    for (scope, after), earliest_ms in opened_ms.items():
        track, at = scene.tracks[scope], paths[scope].index(after)
        step = Step(scope, track.step + at - 1, paths[scope][at - 1], after, _calls(scene, orders[after], scope, after))
        waits = _waits(scene, orders[after], scope, after, now_ms) if step.before is track.stage else None
        planned.append(PlannedStep(step, earliest_ms, waits))
    planned.sort(key=lambda one: (one.earliest_ms, one.step.after.rank, places[one.step.scope]))
    return Plan(tuple(planned), _proposals(scene, orders, planned, now_ms))


def upstream_stage(scene: Scene, scope: str) -> Stage | None:
    """The least open stage of what a scope's next step waits for; None where it waits for none."""
    track = scene.tracks[scope]
    if track.stage is Stage.NORMAL:
        return None
    others = scene.waiting(next_stage(track.stage, Event.OPEN))[scope]
    return min((scene.tracks[other].stage for other in others), key=lambda stage: stage.rank, default=None)


def is_let_go(levers: Iterable[UsedLever], scope: str, now_ms: int) -> bool:
    """Whether nothing holds a scope any more: of the levers in effect, contracts have ended all that are on it."""
    return all(lever.end is EndKind.CONTRACT and lever.ends_ms <= now_ms for lever in levers if lever.holds(scope))


def _path(stage: Stage) -> tuple[Stage, ...]:
    """A stage and those that people open after it, to NORMAL."""
    path = [stage]
    while path[-1] is not Stage.NORMAL:
        path.append(next_stage(path[-1], Event.OPEN))
    return tuple(path)


def _opening_times(
    scene: Scene, orders: Mapping[Stage, _Order], paths: Mapping[str, tuple[Stage, ...]], now_ms: int
) -> dict[tuple[str, Stage], int]:
    """When each scope can be open to each stage that is still before it (UTC ms), if all stays calm."""
    opened_ms: dict[tuple[str, Stage], int] = {}
    for after, order in orders.items():
        dwelt_ms = {}
        for scope in (scope for scope in order if after in paths[scope][1:]):
            track, before = scene.tracks[scope], paths[scope][paths[scope].index(after) - 1]
            dwelt_ms[scope] = now_ms + track.dwell_left_ms(scene.policy)
            if before is not track.stage:
                dwelt_ms[scope] = opened_ms[scope, before] + scene.policy.dwell_after(before, track.backs)
        for scope in dwelt_ms:
            # [RECOVER] A step comes no earlier than the dwell of its scope, and the same stage of what it hangs on.
            beside = {other for group in scene.groups(after) if scope in group for other in group}
            own_ms = [dwelt_ms.get(other, now_ms) for other in (scope, *beside)]
            opened_ms[scope, after] = max(own_ms + [opened_ms.get((other, after), 0) for other in order[scope]])
    return opened_ms


def _waits(scene: Scene, order: _Order, scope: str, after: Stage, now_ms: int) -> Waits:
    track = scene.tracks[scope]
    # [RECOVER] Scopes that one lever holds open together: none before all of them have dwelt and are approved.
    beside = {
        other
        for group in scene.groups(after)
        if scope in group
        for other in group - {scope}
        if not _is_ready_alone(scene, order, other, after, now_ms)
    }
    return Waits(
        dwell_left_ms=track.dwell_left_ms(scene.policy),
        upstream=_closed(scene, order, scope, after),
        beside=tuple(sorted(beside)),
        is_approved=track.is_approved(now_ms),
        view=scene.views.get(scope),
    )


def _is_ready_alone(scene: Scene, order: _Order, scope: str, after: Stage, now_ms: int) -> bool:
    """Whether a scope is open to a stage, or may be with its next step, whatever the others under its lever do."""
    track = scene.tracks[scope]
    if track.stage.rank >= after.rank:
        return True
    is_next = next_stage(track.stage, Event.OPEN) is after
    has_dwelt = track.is_approved(now_ms) and not track.dwell_left_ms(scene.policy)
    return is_next and has_dwelt and not _closed(scene, order, scope, after)


def _closed(scene: Scene, order: _Order, scope: str, after: Stage) -> tuple[str, ...]:
    """The scopes upstream that are not open to this stage."""
    return tuple(sorted(other for other in order[scope] if scene.tracks[other].stage.rank < after.rank))


def _calls(scene: Scene, order: _Order, scope: str, after: Stage) -> tuple[Call, ...]:
    # [RECOVER] Limits are set before a lever is undone, and a lever over several scopes with the last of them.
    undone = [
        lever.undo
        for lever in sorted(scene.levers, key=lambda lever: lever.hook)
        if lever.undo is not None and lever.undo_at is after and _last_held(scene, order, lever, after) == scope
    ]
    return (*scene.limits.get((scope, after), ()), *undone)


def _last_held(scene: Scene, order: _Order, lever: UsedLever, after: Stage) -> str | None:
    held = [name for name in order if lever.holds(name) and scene.tracks[name].stage.rank < after.rank]
    return held[-1] if held else None


def _proposals(
    scene: Scene, orders: Mapping[Stage, _Order], planned: Iterable[PlannedStep], now_ms: int
) -> tuple[Proposal, ...]:
    found = []
    for lever in sorted(scene.levers, key=lambda lever: lever.hook):
        is_due = lever.end is EndKind.PEOPLE and lever.ends_ms <= now_ms
        holds_still = _last_held(scene, orders[lever.undo_at], lever, lever.undo_at) is not None
        # [RECOVER] A lever that no contract ends is proposed to be undone when its time is over, while it holds.
        if is_due and holds_still and lever.undo is not None:
            why = f"the time of {lever.hook} is over and no contract ends it"
            scope = ", ".join(sorted(lever.scopes))
            found.append(Proposal(ProposalKind.UNDO, scope, lever.undo_at, (lever.undo,), why))
    # [RECOVER] The calls of a step are proposed once it may be taken, and never before.
    found += [
        Proposal(ProposalKind.REOPEN, one.step.scope, one.step.after, one.step.calls, one.step.effect)
        for one in planned
        if one.waits is not None and one.waits.is_ready
    ]
    return (*found, *scene.remedies)
