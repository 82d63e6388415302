"""An operator's policy put on a scenario's scopes and members, as if these were his own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tocsin_protocol.belief.reputation import Pin
from tocsin_protocol.decision.levers import Lever
from tocsin_protocol.decision.policy import LossLimit, Policy
from tocsin_protocol.decision.tiers import Tier

from ..policy_file import EVERYTHING, LoadedPolicy, load_policy
from .scenario import Scenario, Scope

DEFAULT_POLICY = Path(__file__).with_name("default_policy.toml")
# What `tocsin init` proposes for every member of the roster.
PROPOSED_PIN = Pin(2.5, 3.9)
_BROAD = frozenset((Tier.NOTIFY, Tier.PAUSE))


def load_any_policy(path: Path) -> LoadedPolicy:
    """Read a policy whatever hooks and scopes it names: here nothing is armed. Raises ConfigError."""
    return load_policy(path, None, None)


def fit_policy(policy: Policy, scenario: Scenario) -> Policy:
    """The policy as if the scenario's scopes and members were the operator's own. Raises PolicyError.

    A lever that names scopes of the scenario covers those. Any other lever to tighten or freeze stands for one such
    lever on each scope; to notify and to pause cover all of them. A scope without a limit of its own has the
    strictest of the others. A member whom the policy does not name is pinned as `tocsin init` proposes, if the
    scenario says that he is pinned at all.
    """
    return replace(
        policy,
        levers=tuple(fitted for lever in policy.levers for fitted in _fit_lever(lever, scenario.scope)),
        limits=tuple(_fit_limits(policy.limits, scenario.scope)),
        pins=dict(_fit_pins(policy, scenario)),
    )


def copies_of(name: str, copies: int) -> tuple[str, ...]:
    """The names of a member's copies: its own when it is one."""
    return (name,) if copies == 1 else tuple(f"{name}-{n}" for n in range(1, copies + 1))


def _fit_lever(lever: Lever, scopes: Sequence[Scope]) -> list[Lever]:
    ours = frozenset(scope.name for scope in scopes)
    if lever.scopes & ours and EVERYTHING not in lever.scopes:
        return [replace(lever, scopes=lever.scopes & ours)]
    if lever.tier in _BROAD:
        return [replace(lever, scopes=ours)]
    return [
        replace(lever, hook=lever.hook if len(scopes) == 1 else f"{lever.hook} ({s.name})", scopes=frozenset({s.name}))
        for s in scopes
    ]


def _fit_limits(limits: Sequence[LossLimit], scopes: Iterable[Scope]) -> Iterable[LossLimit]:
    named = {limit.scope: limit for limit in limits}
    strictest = min(limits, key=lambda limit: limit.trigger_micro_usd, default=None)
    for scope in scopes:
        if limit := named.get(scope.name, strictest):
            yield replace(limit, scope=scope.name)


def _fit_pins(policy: Policy, scenario: Scenario) -> Iterable[tuple[str, Pin]]:
    for member in scenario.member:
        if member.in_roster and member.pinned and member.name != scenario.seat:
            for name in copies_of(member.name, member.copies):
                yield name, policy.pins.get(name, PROPOSED_PIN)


def _sections(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [section for section in _listed(document.get(name)) if isinstance(section, dict)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
