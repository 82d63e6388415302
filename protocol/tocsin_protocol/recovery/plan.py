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
    """What the next step of a scope still needs (dwell, upstream, approvals), and what is only advice (the view)."""

    dwell_left_ms: int
    upstream: tuple[str, ...]
    is_approved: bool
    view: View | None

    @property
    def is_ready(self) -> bool:
        """Whether governance may make the step's calls now."""
        # [RECOVER] The peers' all-clear is shown with each step and decides nothing.
        return not self.dwell_left_ms and not self.upstream and self.is_approved


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

    def waiting(self, after: Stage) -> dict[str, frozenset[str]]:
        """For each scope, in an order of opening, which others have to be open to this stage before it."""
        together = [
            frozenset(scope for scope in self.tracks if lever.holds(scope))
            for lever in self.levers
            if lever.undo_at is after
        ]
        return waits_for(self.tracks.keys(), self.hanging, together)


def make_plan(scene: Scene, now_ms: int) -> Plan:
    """The way from where each scope is to NORMAL, and what governance is asked for on it."""
    orders = {after: scene.waiting(after) for after in Stage if after not in _CONTAINED}
    places = {scope: place for place, scope in enumerate(orders[Stage.NORMAL])}
    planned: list[PlannedStep] = []
    opened_ms: dict[tuple[str, Stage], int] = {}
    for after, order in orders.items():
        for scope, upstream in order.items():
            track = scene.tracks[scope]
            before = _before(track.stage, after)
            if before is None:
                continue
            is_next = before is track.stage
            own_ms = now_ms + track.dwell_left_ms(scene.policy)
            if not is_next:
                own_ms = opened_ms[scope, before] + scene.policy.dwell_after(before, track.backs)
            # [RECOVER] A step comes no earlier than the dwell of its scope, and the same stage of what it hangs on.
            earliest_ms = max([own_ms, *(opened_ms.get((other, after), 0) for other in upstream)])
            opened_ms[scope, after] = earliest_ms
            closed = tuple(sorted(other for other in upstream if scene.tracks[other].stage.rank < after.rank))
            view = scene.views.get(scope)
            waits = Waits(track.dwell_left_ms(scene.policy), closed, track.is_approved, view) if is_next else None
            number = track.step + sum(1 for done in opened_ms if done[0] == scope) - 1
            step = Step(scope, number, before, after, _calls(scene, order, scope, after))
            planned.append(PlannedStep(step, earliest_ms, waits))
    planned.sort(key=lambda one: (one.earliest_ms, one.step.after.rank, places[one.step.scope]))
    return Plan(tuple(planned), _proposals(scene, planned, now_ms))


def upstream_stage(scene: Scene, scope: str) -> Stage | None:
    """The least open stage of what a scope's next step waits for; None where it waits for none."""
    track = scene.tracks[scope]
    if track.stage is Stage.NORMAL:
        return None
    others = scene.waiting(next_stage(track.stage, Event.OPEN))[scope]
    return min((scene.tracks[other].stage for other in others), key=lambda stage: stage.rank, default=None)


def ended(levers: Iterable[UsedLever], scope: str, now_ms: int) -> bool | None:
    """Whether contracts ended all levers on a scope (True), or people have to (False); None while one still holds."""
    holding = [lever for lever in levers if lever.holds(scope)]
    if not holding or any(lever.ends_ms > now_ms for lever in holding):
        return None
    return all(lever.end is EndKind.CONTRACT for lever in holding)


def _before(stage: Stage, after: Stage) -> Stage | None:
    """From which stage a scope comes to `after` on its way up; None where it is that far already."""
    if stage.rank >= after.rank:
        return None
    path = stage
    while next_stage(path, Event.OPEN) is not after:
        path = next_stage(path, Event.OPEN)
    return path


def _calls(scene: Scene, order: Mapping[str, frozenset[str]], scope: str, after: Stage) -> tuple[Call, ...]:
    # [RECOVER] Limits are set before a lever is undone, and a lever over several scopes with the last of them.
    undone = [
        lever.undo
        for lever in sorted(scene.levers, key=lambda lever: lever.hook)
        if lever.undo is not None and lever.undo_at is after and _last_held(scene, order, lever, after) == scope
    ]
    return (*scene.limits.get((scope, after), ()), *undone)


def _last_held(scene: Scene, order: Mapping[str, frozenset[str]], lever: UsedLever, after: Stage) -> str | None:
    held = [name for name in order if lever.holds(name) and scene.tracks[name].stage.rank < after.rank]
    return held[-1] if held else None


def _proposals(scene: Scene, planned: Iterable[PlannedStep], now_ms: int) -> tuple[Proposal, ...]:
    found = []
    for lever in sorted(scene.levers, key=lambda lever: lever.hook):
        # [RECOVER] A lever that no contract ends is proposed to be undone when its time is over.
        if lever.end is EndKind.PEOPLE and lever.ends_ms <= now_ms and lever.undo is not None:
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
