"""What a policy says that its operator may not have meant: none of it is wrong, and some of it never happens."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tocsin_protocol.decision.levers import Lever
from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.decision.tiers import Tier

from .conditions import try_condition
from .people import People
from .toml_files import suggest


def find_notes(
    policy: Policy,
    hooks: Collection[str] | None,
    scopes: Collection[str] | None,
    members: Collection[str] | None,
) -> tuple[str, ...]:
    """One sentence each. The names of hooks, holdings and members are None where they are not known."""
    if scopes is not None and not scopes:
        return ("our manifest names no holding, so nothing is ever at stake and this node never acts",)
    if not policy.levers:
        return ("the policy has no levers: this node never acts, it listens, publishes and records",)
    return (
        *_about_reach(policy, hooks, scopes),
        *_about_condition(policy),
        *_about_limits(policy),
        *_about_budget(policy),
        *_about_members(policy, members),
    )


def find_people_notes(policy: Policy, people: People) -> tuple[str, ...]:
    """The same about the operators: who cannot be asked, and what has no way back. Without operators, nothing."""
    if not people.approvals.operators:
        return ()
    held = sorted(
        {(scope, lever.tier) for lever in policy.levers if lever.tier >= Tier.FREEZE for scope in lever.scopes}
    )
    return (
        *(
            f"no approval rule covers {scope!r} at tier {tier.name.lower()!r}: nobody can approve its reopening"
            for scope, tier in held
            if people.approvals.rule_for(tier, scope) is None
        ),
        *(
            f"[[recovery.undo]] does not say how lever {lever.hook!r} is undone: only an undo of its hook would"
            for lever in policy.levers
            if lever.tier >= Tier.FREEZE and lever.hook not in people.undoing
        ),
    )


def _about_reach(policy: Policy, hooks: Collection[str] | None, scopes: Collection[str] | None) -> Iterator[str]:
    for hook in sorted(set(hooks or ()) - {lever.hook for lever in policy.levers}):
        yield f"no lever uses hook {hook!r}"
    holding = _holding(policy)
    if not holding:
        yield "no lever is above tier 'notify': this node tells people, and holds nothing still"
    elif scopes is not None and len(scopes) > 1 and all(lever.scopes >= set(scopes) for lever in holding):
        yield "every lever above 'notify' covers every holding: an alarm about one of them holds all of them still"


def _about_condition(policy: Policy) -> Iterator[str]:
    answers = try_condition(policy.condition)
    if True not in answers:
        yield "the condition was true for nothing it was tried with: nothing above 'notify' is ever used"
    elif policy.condition and False not in answers:
        yield "the condition was true for everything it was tried with, so it keeps nothing from being used"


def _about_limits(policy: Policy) -> Iterator[str]:
    for limit in policy.limits:
        alone = [lever for lever in policy.levers if lever.tier is Tier.FREEZE and lever.scopes == {limit.scope}]
        # Of a limit for everything it is not known here which holdings that is.
        if limit.opens_freeze and not alone and limit.scope != "*":
            yield (
                f"the limit of {limit.scope} opens a freeze by our own outflow, "
                f"but no lever of tier 'freeze' covers {limit.scope} alone"
            )


def _about_budget(policy: Policy) -> Iterator[str]:
    """Groups count for a lever only while their budget covers its minutes."""
    for lever in _holding(policy):
        if lever.minutes > policy.budget_minutes:
            yield (
                f"lever {lever.hook!r} holds for {lever.minutes} min, more than a foreign group's whole budget "
                f"of {policy.budget_minutes}: no foreign group ever counts for it"
            )


def _about_members(policy: Policy, members: Collection[str] | None) -> Iterator[str]:
    if not policy.pins:
        yield "nobody is pinned, so nobody's word weighs anything before it has earned it"
    if policy.words and not policy.vouch_cap:
        yield "vouching.cap is 0, so nobody's word for another counts"
    if members is None:
        return
    for name in sorted(set(policy.pins) - set(members)):
        yield f"pins.{name}: the roster has no such member{suggest(name, members)}"
    for name in sorted({name for word in policy.words for name in (word.by, word.of)} - set(members)):
        yield f"vouching: the roster has no member {name}{suggest(name, members)}"
    others = len(members) - 1
    for what, groups in (
        ("freeze", policy.quorum.freeze),
        ("pause", max(policy.quorum.pause, others // 3 + 1)),
    ):
        if groups > others and any(lever.tier is Tier[what.upper()] for lever in policy.levers):
            yield f"to {what} takes {groups} foreign groups, and the roster has {others} other members"


def _holding(policy: Policy) -> list[Lever]:
    """The levers that hold something still."""
    return [lever for lever in policy.levers if lever.tier > Tier.NOTIFY]
