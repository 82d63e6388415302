"""One incident from what was said of it to what is done about it: believe, assess, decide. Values in, values out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..admission import Reason
from ..belief.belief import assess_belief
from ..belief.priors import half_life_ms, prior_of
from ..belief.statements import Stance, Statement, read_statement
from ..belief.terms import OWN, Answer, Belief, OwnFinding, Source, Speaker, Witness
from ..evidence.weighing import Exhibit, Weighing, weigh_evidence
from ..exposure.graph import Node, holding_node, subject_node
from ..exposure.local_loss import LocalLoss, assess_local_loss
from ..exposure.manifest import SubjectId
from ..exposure.shock import find_shock, merge_shocks, touching_subjects
from ..exposure.spread import Spread
from ..model import Signal
from ..taxonomy import Category, Relation, Role
from .budget import Charge
from .counterfactual import Counterfactual, Voices, what_would_change
from .decide import Decision, LeverState, Situation, Stake, decide
from .policy import Policy
from .sentence import NOTHING_OF_OURS, tell_decision
from .situation import read_situation

# What takes a signal back: time does not bring it back, but a drill or a key out of force takes nothing.
_WORTHY = frozenset((Reason.ADMITTED, Reason.EXPIRED, Reason.STALE))
# An incident that nobody reports any more, such as one taken back, is still an incident of some category.
_FALLBACK = Category.META_UPDATE


@dataclass(frozen=True, slots=True)
class Sighting:
    """A stored signal as the decision sees it: by whom, when it came, and whether it may still actuate."""

    digest: bytes
    publisher: bytes
    signal: Signal
    standing: Reason
    received_ms: int


@dataclass(frozen=True, slots=True)
class World:
    """What a node knows whatever is reported: who is who, what hangs on what, and what the operator decided.

    `own` are our own publishers, `own_labels` those of our detectors. `speakers_of` gives all others as they stand in a
    category, `holds` answers the policy's condition. `witnesses_of` are those who watch for a category.
    """

    policy: Policy
    own: frozenset[bytes]
    own_labels: frozenset[str]
    members: int
    exposure: Spread
    speakers_of: Callable[[Category], Mapping[bytes, Speaker]]
    witnesses_of: Callable[[Category], Sequence[Witness]]
    holds: Callable[[Mapping[str, float | int | bool | str]], bool]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A decision with everything it stands on.

    `reports` are the digests of the signals that report the incident, `weighty` the latest report of each publisher
    whose word weighs anything.
    """

    category: Category
    reports: frozenset[bytes]
    weighty: tuple[Signal, ...]
    belief: Belief
    evidence: Weighing
    loss: LocalLoss
    situation: Situation
    decision: Decision
    is_elsewhere: bool
    counterfactuals: tuple[Counterfactual, ...] = ()
    sentence: str = ""


def explain_judgement(
    world: World, judgement: Judgement, states: Mapping[str, LeverState], charges: Sequence[Charge], now_ms: int
) -> Judgement:
    """The same with its sentence, and with what would have changed it."""
    if judgement.is_elsewhere:
        return replace(judgement, sentence=NOTHING_OF_OURS)
    speakers = world.speakers_of(judgement.category)
    voices = Voices(group=_typical_llr(speakers), own=world.policy.own_llr)
    situation, decision = judgement.situation, judgement.decision
    changes = what_would_change(world.policy, situation, states, charges, now_ms, voices, decision)
    return replace(judgement, counterfactuals=changes, sentence=tell_decision(decision, situation, changes))


def weigh_incident(
    world: World,
    incident: bytes,
    sightings: Sequence[Sighting],
    exhibits: Iterable[Exhibit],
    states: Mapping[str, LeverState],
    charges: Sequence[Charge],
    now_ms: int,
) -> Judgement:
    """Judge one incident at `now_ms`. Pure: the same inputs in any order give the same judgement.

    It is without the words, which `explain_judgement` adds: most new signals change nothing that has to be told.
    """
    policy = world.policy
    weighing = weigh_evidence(exhibits)
    heard = [_hear(sighting) for sighting in sightings]
    # [DECIDE] What our own endpoints contradict counts for nothing.
    standing = [h for h in heard if h.is_standing and h.sighting.digest not in weighing.discredited]
    # [DECIDE] Only reports about what ours hangs on count, and none that its own publisher took back.
    said = _reports_not_taken_back(heard, standing)
    reports = [report for report in said if touches_us(world.exposure, report.signal)]
    category = category_of(reports)
    speakers = world.speakers_of(category)
    own = _own_finding(world, reports)
    belief = assess_belief(
        _statements(world, heard, standing, reports),
        speakers,
        prior=prior_of(category, policy.priors),
        half_life_ms=half_life_ms(category, policy.half_lives_ms),
        now_ms=now_ms,
        own=own,
        witnesses=world.witnesses_of(category),
        since_ms=min((report.received_ms for report in reports), default=None),
    )
    weighty = _weighty(world, reports, belief)
    loss = _local_loss(world, weighty, belief, now_ms)
    situation = read_situation(
        policy,
        incident,
        belief,
        speakers,
        signals=len(reports),
        members=world.members,
        own=own,
        is_confirmed=weighing.is_local,
        is_contradicted=weighing.is_vetoed,
        is_disputed=bool(weighing.disagreements),
        outflow=_measured(world, [report for report in reports if report.digest in weighing.confirmed]),
        claimed_outflow=_measured(world, reports),
        stakes=tuple(Stake(h.holding, h.at_stake_micro_usd) for h in loss.holdings),
        holds=lambda values: world.holds({**values, **_said(category, reports)}),
    )
    return Judgement(
        category=category,
        reports=frozenset(report.digest for report in reports),
        weighty=tuple(weighty),
        belief=belief,
        evidence=weighing,
        loss=loss,
        situation=situation,
        decision=decide(policy, situation, states, charges, now_ms),
        is_elsewhere=bool(said) and not reports,
    )


def category_of(reports: Iterable[Sighting]) -> Category:
    """What most publishers say it is; of as many, what is least likely by itself, then the first by name."""
    # [DECIDE] An incident is of the category that most publishers report, of as many the one of the least prior.
    said = {(report.publisher, report.signal.category) for report in reports}
    counts = Counter(category for _, category in said)
    return min(counts, key=lambda c: (-counts[c], prior_of(c), c), default=_FALLBACK)


def touches_us(exposure: Spread, signal: Signal) -> bool:
    """Whether a signal threatens anything that ours hangs on."""
    leads_to_us = exposure.graph.leads_to_us
    # Most of what is said is about others: that is seen at once.
    if not any(leads_to_us(subject.kind, subject.value) for subject in signal.subjects):
        return False
    return any(leads_to_us(subject.kind, subject.value) for subject in touching_subjects(signal))


@dataclass(frozen=True, slots=True)
class _Heard:
    """A sighting with what it says; None where that is nothing, as in a drill."""

    sighting: Sighting
    statement: Statement | None

    @property
    def is_standing(self) -> bool:
        return self.sighting.standing is Reason.ADMITTED

    @property
    def is_report(self) -> bool:
        return self.statement is not None and self.statement.stance is Stance.REPORT

    @property
    def takes_back(self) -> bool:
        """A retraction counts for as long as anybody remembers it."""
        is_retraction = self.statement is not None and self.statement.stance is Stance.RETRACTION
        return is_retraction and self.sighting.standing in _WORTHY


def _hear(sighting: Sighting) -> _Heard:
    said = read_statement(sighting.signal, sighting.publisher, sighting.digest, sighting.received_ms)
    return _Heard(sighting, said)


def _reports_not_taken_back(heard: Iterable[_Heard], standing: Iterable[_Heard]) -> list[Sighting]:
    """The standing reports but those that their own publisher retracted, also with a retraction that is past acting."""
    taken_back = {
        (h.sighting.publisher, reference.digest)
        for h in heard
        if h.sighting.standing in _WORTHY
        for reference in h.sighting.signal.references
        if reference.relation is Relation.RETRACTS
    }
    reports = [h.sighting for h in standing if h.is_report]
    return [s for s in reports if (s.publisher, s.digest) not in taken_back]


def _statements(
    world: World, heard: Iterable[_Heard], standing: Iterable[_Heard], reports: Iterable[Sighting]
) -> list[Statement]:
    """What foreign publishers say: what counts now, and what took something back, whatever its age."""
    counted = {h.sighting.digest for h in standing if not h.is_report} | {report.digest for report in reports}
    return [
        h.statement
        for h in heard
        if h.statement is not None
        and h.sighting.publisher not in world.own
        and (h.sighting.digest in counted or h.takes_back)
    ]


def _own_finding(world: World, reports: Iterable[Sighting]) -> OwnFinding | None:
    """The surest of what our own detectors report, the latest of as sure ones."""
    ours = [report for report in reports if report.publisher in world.own]
    if not ours:
        return None
    best = max(ours, key=lambda report: (report.signal.confidence, report.signal.issued_ms, report.digest))
    return OwnFinding(world.own_labels, world.policy.own_llr, best.signal.confidence, best.signal.issued_ms)


def _weighty(world: World, reports: Iterable[Sighting], belief: Belief) -> list[Signal]:
    """The latest report of each whose word weighs something: a stranger cannot say what is at stake."""
    weighing = {
        term.publisher
        for term in belief.terms
        if term.answer in (Answer.COUNTED, Answer.SHARES_LABEL) and term.source in (Source.REPORT, Source.OWN)
    }
    ours = world.own if OWN in weighing else frozenset()
    # [DECIDE] What is at stake is told by the latest report of each publisher whose word weighs anything.
    latest: dict[bytes, Sighting] = {}
    for report in sorted(reports, key=lambda report: (report.signal.issued_ms, report.digest)):
        if report.publisher in weighing or report.publisher in ours:
            latest[report.publisher] = report
    return [report.signal for report in latest.values()]


def _local_loss(world: World, signals: Iterable[Signal], belief: Belief, now_ms: int) -> LocalLoss:
    shock: dict[Node, float] = {}
    # Those who say the same of one event say it once here.
    said = {(touching_subjects(signal), signal.stage, signal.loss): signal for signal in signals}
    for signal in said.values():
        shock = merge_shocks(shock, find_shock(world.exposure.graph, signal))
    mal = sum(limit.mal_micro_usd for limit in world.policy.limits)
    return assess_local_loss(world.exposure, shock, belief.probability, mal, now_ms)


def _measured(world: World, reports: Iterable[Sighting]) -> frozenset[str]:
    """The scopes whose outflow, by our own reports, is past its trigger."""
    graph = world.exposure.graph
    found = set()
    for report in reports:
        if report.publisher not in world.own:
            continue
        drained = {
            edge.target
            for subject in report.signal.subjects
            if subject.role is Role.VICTIM
            for edge in graph.outgoing.get(subject_node(SubjectId(subject.kind, subject.value)), ())
        }
        found |= {
            limit.scope
            for limit in world.policy.limits
            if holding_node(graph.own, limit.scope) in drained
            and report.signal.loss.observed_micro_usd >= limit.trigger_micro_usd
        }
    return frozenset(found)


def _said(category: Category, reports: Sequence[Sighting]) -> dict[str, float | int | bool | str]:
    """What a condition may ask of the worst report."""
    worst = max(reports, key=lambda r: (r.signal.severity.rank, r.digest), default=None)
    return {
        "category": str(category),
        "severity": str(worst.signal.severity) if worst else "low",
        "stage": str(worst.signal.stage) if worst else "funding",
    }


def _typical_llr(speakers: Mapping[bytes, Speaker]) -> float:
    """What one more group would weigh: the median of those whose word weighs anything."""
    weights = sorted(speaker.standing.llr for speaker in speakers.values() if speaker.standing.llr)
    return weights[len(weights) // 2] if weights else 0.0
