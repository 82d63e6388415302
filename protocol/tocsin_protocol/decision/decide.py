"""The decision: of the levers that may be used, the cheapest that helps (specs/decision.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..belief.independence import Reporter, largest_independent
from ..ladder import OBSERVE, build_ladder, choose_lever, expected_cost
from ..ladder import Lever as Rung
from .budget import Charge, rests_until_ms, spent_minutes, tokens_left
from .levers import Lever
from .policy import Policy
from .tiers import NEEDS, Condition, Tier, is_open

_GROUPS = frozenset(
    {Condition.TIGHTEN_GROUPS, Condition.FREEZE_GROUPS, Condition.GROUPS_BESIDE_OWN, Condition.PAUSE_GROUPS}
)


@dataclass(frozen=True, slots=True)
class Stake:
    """What one of our scopes (an asset, market, oracle, bridge) is expected to lose if the incident is real."""

    scope: str
    loss_micro_usd: int


@dataclass(frozen=True, slots=True)
class Situation:
    """One incident as the decision sees it.

    `reporters` are the foreign publishers whose word weighs something now; `member_of` names their members, `pinned`
    those of them whom the operator pinned. `own_labels` are the labels of our own detector, where it reports.
    `outflow` are opted-in assets whose own measured outflow is past the trigger, `claimed_outflow` with those where it
    is not confirmed yet. `is_disputed`: our own endpoints disagree about a claim.
    """

    probability: float
    signals: int
    members: int
    own_detector: bool
    own_labels: frozenset[str]
    reporters: tuple[Reporter, ...]
    member_of: Mapping[bytes, str]
    pinned: frozenset[bytes]
    is_confirmed: bool
    is_contradicted: bool
    outflow: frozenset[str]
    stakes: tuple[Stake, ...]
    is_condition_met: bool = True
    incident: bytes = b""
    claimed_outflow: frozenset[str] = frozenset()
    is_disputed: bool = False


@dataclass(frozen=True, slots=True)
class LeverState:
    """What became of a lever so far. `uses_ms`: when it was used; `is_spent`: already in this arm epoch."""

    is_armed: bool
    is_spent: bool = False
    is_in_effect: bool = False
    uses_ms: tuple[int, ...] = ()


class Verdict(StrEnum):
    """What became of a lever in one decision, from using it to farthest from it."""

    FIRES = "fires"
    IN_EFFECT = "in-effect"
    SPENT = "spent"
    NOT_WORTH_IT = "not-worth-it"
    RESTING = "resting"
    NO_TOKEN = "no-token"  # noqa: S105 - of a bucket
    DISARMED = "disarmed"
    CONTRADICTED = "contradicted"
    CONDITION_NOT_MET = "condition-not-met"
    TIER_CLOSED = "tier-closed"
    NOT_AT_STAKE = "not-at-stake"


@dataclass(frozen=True, slots=True)
class Choice:
    """One lever's answer: its verdict, the conditions that hold for it, and what using it costs over observing.

    Costs are expected micro-USD over the scopes it covers. `charged` are the members who are charged when it fires.
    """

    lever: Lever
    verdict: Verdict
    held: frozenset[Condition]
    scopes: tuple[str, ...] = ()
    cost_micro_usd: float = 0.0
    observe_micro_usd: float = 0.0
    charged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """All levers' answers about one incident, in the policy's order."""

    choices: tuple[Choice, ...]

    @property
    def fired(self) -> tuple[Choice, ...]:
        """Those to use now."""
        return tuple(choice for choice in self.choices if choice.verdict is Verdict.FIRES)


def decide(
    policy: Policy,
    situation: Situation,
    states: Mapping[str, LeverState],
    charges: Sequence[Charge],
    now_ms: int,
) -> Decision:
    """Ask every lever about one incident, and choose.

    `states` has every lever of the policy. Equal inputs give equal decisions, in whatever order reporters come.
    """
    stakes = _what_is_left(policy.levers, situation, states)
    choices = [_judge(policy, lever, situation, states, charges, stakes, now_ms) for lever in policy.levers]
    ready = [choice for choice in choices if choice.verdict is Verdict.FIRES]
    # [DECIDE] A lever that asks people stands in for none that acts at once: it is asked for beside those.
    chosen = _choose([choice for choice in ready if not choice.lever.asks], stakes, situation.probability)
    chosen |= _choose(ready, stakes, situation.probability) & {
        choice.lever.hook for choice in ready if choice.lever.asks
    }
    return Decision(
        tuple(
            _not_worth_it(choice) if choice.verdict is Verdict.FIRES and choice.lever.hook not in chosen else choice
            for choice in choices
        )
    )


def conditions_for(
    policy: Policy, lever: Lever, situation: Situation, charges: Sequence[Charge], now_ms: int
) -> tuple[frozenset[Condition], tuple[str, ...]]:
    """The conditions that hold for a lever, and the members of the foreign groups that count for it."""
    # [DECIDE] Without a signal that may still actuate, nothing is done.
    if not situation.signals:
        return frozenset(), ()
    # [DECIDE] A group counts for a lever whose minutes its budget still covers.
    solvent = [
        reporter
        for reporter in situation.reporters
        if spent_minutes(charges, situation.member_of[reporter.publisher], situation.incident, now_ms) + lever.minutes
        <= policy.budget_minutes
    ]
    groups = largest_independent(solvent).publishers
    # [DECIDE] Beside our own detector a group counts only if it shares no label with it.
    foreign = [reporter for reporter in solvent if reporter.labels.isdisjoint(situation.own_labels)]
    beside_own = groups if len(foreign) == len(solvent) else largest_independent(foreign).publishers
    held = {Condition.SIGNAL, *policy.quorum.conditions(len(groups), len(beside_own), situation.members)}
    if situation.own_detector:
        held.add(Condition.OWN_DETECTOR)
    if any(reporter.publisher in situation.pinned for reporter in solvent):
        held.add(Condition.PINNED)
    if situation.is_confirmed:
        held.add(Condition.LOCAL_EVIDENCE)
    # [DECIDE] By its own outflow alone an asset opens only levers that cover that asset and nothing else.
    if len(lever.scopes) == 1 and lever.scopes <= situation.outflow:
        held.add(Condition.OWN_OUTFLOW)
    if lever.asks:
        held.add(Condition.OWN_APPROVAL)
    return frozenset(held), tuple(sorted({situation.member_of[publisher] for publisher in groups}))


def _what_is_left(levers: Iterable[Lever], situation: Situation, states: Mapping[str, LeverState]) -> dict[str, float]:
    """The stakes after what is in effect already."""
    # [DECIDE] What a lever of tier 2 and up in effect averts is no longer at stake; to tighten is brief and counts not.
    stakes = {stake.scope: float(stake.loss_micro_usd) for stake in situation.stakes}
    for scope in stakes:
        averted = [
            lever.effectiveness
            for lever in levers
            if lever.tier >= Tier.FREEZE and scope in lever.scopes and states[lever.hook].is_in_effect
        ]
        stakes[scope] *= 1 - max(averted, default=0.0)
    return stakes


def _judge(
    policy: Policy,
    lever: Lever,
    situation: Situation,
    states: Mapping[str, LeverState],
    charges: Sequence[Charge],
    stakes: Mapping[str, float],
    now_ms: int,
) -> Choice:
    """Whether a lever may be used; FIRES here means that nothing but its price can keep it from it."""
    held, groups = conditions_for(policy, lever, situation, charges, now_ms)
    scopes = tuple(sorted(scope for scope in lever.scopes if scope in stakes))
    verdict = _verdict(lever, situation, states[lever.hook], held, scopes, now_ms)
    loss = round(sum(stakes[scope] for scope in scopes))
    rung = Rung(lever.hook, lever.effectiveness, lever.cost_micro_usd)
    return Choice(
        lever=lever,
        verdict=verdict,
        held=held,
        scopes=scopes,
        cost_micro_usd=expected_cost(rung, situation.probability, loss),
        observe_micro_usd=expected_cost(OBSERVE, situation.probability, loss),
        charged=_charged(lever, situation, held, groups, charges, now_ms),
    )


def _verdict(
    lever: Lever,
    situation: Situation,
    state: LeverState,
    held: frozenset[Condition],
    scopes: tuple[str, ...],
    now_ms: int,
) -> Verdict:
    # [DECIDE] A lever that is in effect already, or was used in this arm epoch, is not used again.
    if state.is_in_effect:
        return Verdict.IN_EFFECT
    if state.is_spent:
        return Verdict.SPENT
    # [DECIDE] A lever is ready when it covers a stake, its tier is open, it is armed, has a token and does not rest.
    if not scopes:
        return Verdict.NOT_AT_STAKE
    if not is_open(lever.tier, held):
        return Verdict.TIER_CLOSED
    # [DECIDE] A contradiction by our own endpoints closes tier 2 and up.
    if situation.is_contradicted and lever.tier >= Tier.FREEZE:
        return Verdict.CONTRADICTED
    # [DECIDE] Where the operator's condition does not hold, nothing above tier 0 is used.
    if not situation.is_condition_met and lever.tier > Tier.NOTIFY:
        return Verdict.CONDITION_NOT_MET
    if not state.is_armed:
        return Verdict.DISARMED
    if tokens_left(lever, state.uses_ms, now_ms) < 1:
        return Verdict.NO_TOKEN
    if now_ms < rests_until_ms(lever, state.uses_ms):
        return Verdict.RESTING
    return Verdict.FIRES


def _charged(
    lever: Lever,
    situation: Situation,
    held: frozenset[Condition],
    groups: tuple[str, ...],
    charges: Sequence[Charge],
    now_ms: int,
) -> tuple[str, ...]:
    """Who is charged when the lever fires: those its first open row counts on."""
    # [DECIDE] The foreign groups that a lever of tier 1 and up counted on are charged its minutes until confirmed.
    row = next((row for row in NEEDS[lever.tier] if row <= held), frozenset())
    if lever.tier >= Tier.TIGHTEN and row & _GROUPS:
        return groups
    if Condition.PINNED in row:
        pinned = {situation.member_of[r.publisher] for r in situation.reporters if r.publisher in situation.pinned}
        return (min(pinned, key=lambda member: (spent_minutes(charges, member, situation.incident, now_ms), member)),)
    return ()


def _choose(ready: Sequence[Choice], stakes: Mapping[str, float], probability: float) -> frozenset[str]:
    """The hooks to use: for each stake the cheapest, a broad one in place of several where that costs less."""
    # [DECIDE] Notifying costs nothing: each such lever that is ready is used.
    notified = {choice.lever.hook for choice in ready if choice.lever.tier is Tier.NOTIFY}
    holding = [choice for choice in ready if choice.lever.tier > Tier.NOTIFY]
    # [DECIDE] Of levers alike the lower tier is used, then the one that covers less, then the first by name.
    holding.sort(key=lambda choice: (choice.lever.tier, len(choice.lever.scopes), choice.lever.hook))
    best = {
        scope: _cheapest([c for c in holding if c.scopes == (scope,)], loss, probability)
        for scope, loss in stakes.items()
    }
    taken: dict[str, str] = {}
    # [DECIDE] A lever over several stakes replaces narrower ones where it costs less than all of them together.
    broad = [(sum(best[scope][1] for scope in c.scopes) - c.cost_micro_usd, c) for c in holding if len(c.scopes) > 1]
    for gain, choice in sorted(broad, key=lambda item: -item[0]):
        if gain > 0 and not taken.keys() & set(choice.scopes):
            taken |= dict.fromkeys(choice.scopes, choice.lever.hook)
    narrow = {scope: hook for scope, (hook, _) in best.items() if hook}
    return frozenset(notified | set((narrow | taken).values()))


def _cheapest(choices: Sequence[Choice], loss: float, probability: float) -> tuple[str, float]:
    """The hook to use for one stake, none to observe, and its expected cost."""
    # [DECIDE] For each stake the ready lever of the least p(1−e)L + (1−p)c is used; to observe costs pL.
    rungs = [Rung(c.lever.hook, c.lever.effectiveness, c.lever.cost_micro_usd) for c in choices]
    chosen = choose_lever(build_ladder(rungs), probability, round(loss))
    return ("" if chosen.lever == OBSERVE else chosen.lever.name), chosen.expected_cost_micro_usd


def _not_worth_it(choice: Choice) -> Choice:
    return Choice(
        choice.lever,
        Verdict.NOT_WORTH_IT,
        choice.held,
        choice.scopes,
        choice.cost_micro_usd,
        choice.observe_micro_usd,
    )
