"""From belief to a situation that can be decided on: whose voices count towards a quorum, and who they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..belief.belief import MIN_VOICE
from ..belief.independence import Reporter
from ..belief.terms import Belief, OwnFinding, Source, Speaker
from .decide import Situation, Stake
from .policy import Policy


def read_situation(
    policy: Policy,
    incident: bytes,
    belief: Belief,
    speakers: Mapping[bytes, Speaker],
    *,
    signals: int,
    members: int,
    own: OwnFinding | None,
    is_confirmed: bool,
    is_contradicted: bool,
    is_disputed: bool,
    outflow: frozenset[str],
    claimed_outflow: frozenset[str],
    stakes: tuple[Stake, ...],
    holds: Callable[[Mapping[str, float | int | bool | str]], bool],
) -> Situation:
    """Put together what a decision asks for.

    `outflow` are scopes whose own measured outflow is past their limit, `claimed_outflow` with those where that is not
    confirmed yet; `holds` answers the policy's condition.
    """
    voices = [term for term in belief.terms if term.source is Source.REPORT and term.weight >= MIN_VOICE]
    reporters = tuple(Reporter(v.publisher, speakers[v.publisher].labels, v.weight) for v in voices)
    opted_in = {limit.scope for limit in policy.limits if limit.opens_freeze}
    return Situation(
        probability=belief.probability,
        signals=signals,
        members=members,
        own_detector=own is not None,
        own_labels=frozenset() if own is None else own.labels,
        reporters=reporters,
        member_of={reporter.publisher: speakers[reporter.publisher].member for reporter in reporters},
        pinned=frozenset(v.publisher for v in voices if v.member in policy.pins),
        is_confirmed=is_confirmed,
        is_contradicted=is_contradicted,
        outflow=outflow & opted_in,
        claimed_outflow=claimed_outflow & opted_in,
        is_disputed=is_disputed,
        stakes=stakes,
        incident=incident,
        is_condition_met=holds(
            {
                "belief": belief.probability,
                "groups": belief.groups,
                "own_detector": own is not None,
                "confirmed": is_confirmed,
                "contradicted": is_contradicted,
                "stake_usd": sum(stake.loss_micro_usd for stake in stakes) // 1_000_000,
            }
        ),
    )
