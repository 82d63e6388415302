"""A scenario made ready under one policy: who is heard, what hangs on what, what is lost when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tocsin_protocol.decision.judge import World
from tocsin_protocol.decision.policy import Policy
from tocsin_protocol.exposure.manifest import (
    SHARE_WHOLE_PPM,
    Amount,
    AmountSource,
    Dependency,
    Holding,
    Link,
    Manifest,
    PriceBounds,
)

from ..conditions import holds
from ..exposure import Exposure, make_exposure
from ..policy_file import MICRO
from .cast import build_cast
from .fitting import fit_policy
from .judge import Judge
from .losses import Drain, crossing_ms, drains_of
from .scenario import Scenario
from .script import TICK_MS, Heard, write_measurement
from .subjects import subject_id

_ANY_PRICE = PriceBounds(0, MICRO, 1)


@dataclass(frozen=True, slots=True)
class Flight:
    """All that runs have in common: `drains` by scope, and the subjects ours hangs on, as signals name them."""

    scenario: Scenario
    judge: Judge
    drains: dict[str, tuple[Drain, ...]]
    subjects: frozenset[str]


def prepare(scenario: Scenario, policy: Policy) -> Flight:
    """Put a policy on a scenario. Raises PolicyError, BeliefError or ExposureError."""
    fitted = fit_policy(policy, scenario)
    cast = build_cast(scenario, fitted)
    exposure = read_exposure(scenario)
    world = World(
        policy=fitted,
        own=frozenset({cast.own}),
        own_labels=cast.own_labels,
        members=cast.members,
        exposure=exposure.spread,
        # The scenario's records count alike for every category.
        speakers_of=lambda category: cast.speakers,
        # As in a node that has adjudicated nothing: no reporting delay is known, so nobody's silence says anything.
        witnesses_of=lambda category: (),
        holds=lambda values: holds(fitted.condition, dict(values)),
    )
    return Flight(
        scenario=scenario,
        judge=Judge(world, cast),
        drains={scope.name: drains_of(scope.loss, scenario.starts_ms) for scope in scenario.scope},
        subjects=frozenset(exposure.watched),
    )


def read_exposure(scenario: Scenario) -> Exposure:
    """The scenario's scopes as our manifest, with the amounts at its start. Raises ExposureError."""
    manifest = Manifest(
        protocol=scenario.seat,
        holdings=tuple(
            Holding(
                name=scope.name,
                kind=scope.kind,
                subjects=(subject_id(scope.id),),
                amount=Amount(scope.at_stake_usd * MICRO, scenario.starts_ms, AmountSource.DECLARED),
            )
            for scope in sorted(scenario.scope, key=lambda scope: scope.name)
        ),
        tokens=(),
        dependencies=tuple(
            Dependency(
                holding=scope.name,
                link=dependency.link,
                subject=subject_id(dependency.subject),
                provider="",
                share_ppm=max(1, round(dependency.share_percent / 100 * SHARE_WHOLE_PPM)),
                # An oracle has bounds always; those of a scenario play no part.
                bounds=_ANY_PRICE if dependency.link is Link.ORACLE else None,
            )
            for scope in scenario.scope
            for dependency in scope.depends_on
        ),
    )
    return make_exposure(manifest)


def measure_outflow(flight: Flight) -> Iterator[Heard]:
    """When our own watcher finds an outflow past its limit, for scopes that this alone may freeze."""
    scenario = flight.scenario
    limits = {limit.scope: limit for limit in flight.judge.world.policy.limits if limit.opens_freeze}
    for number, scope in enumerate(scenario.scope, len(scenario.report)):
        drains = flight.drains[scope.name] if scope.outflow is None else drains_of(scope.outflow, scenario.starts_ms)
        if drains and scope.name in limits:
            usd = max(1, -(-limits[scope.name].trigger_micro_usd // MICRO))
            at_ms = crossing_ms(drains, usd * MICRO)
            if at_ms is not None:
                seen_ms = -(-at_ms // TICK_MS) * TICK_MS
                yield write_measurement(scenario, flight.judge.cast, scope, number, seen_ms, usd)
