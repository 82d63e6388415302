"""The operator's policy: a TOML file, read into the core's Policy. deploy/policy.example.toml shows every key."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import Field
from tocsin_protocol.belief.reputation import MAX_LLR, Pin
from tocsin_protocol.decision.budget import GROUP_BUDGET_MINUTES
from tocsin_protocol.decision.levers import MAX_LEVERS, MAX_SCOPES, Lever
from tocsin_protocol.decision.policy import DEFAULT_OWN_LLR, MAX_CONDITION_CHARS, LossLimit, Policy
from tocsin_protocol.decision.tiers import FREEZE_GROUPS, GROUPS_BESIDE_OWN, PAUSE_GROUPS, TIGHTEN_GROUPS, Quorum, Tier
from tocsin_protocol.errors import BeliefError, DecodeError, PolicyError
from tocsin_protocol.ids import (
    check_account_id,
    check_asset_id,
    check_chain_id,
    check_dependency,
    check_hash,
    check_slug,
)
from tocsin_protocol.taxonomy import Category

from .conditions import check_condition
from .errors import ConfigError
from .toml_files import Section, load_toml

MAX_PINS = 256
MAX_USD = 9_000_000_000
MICRO = 1_000_000
# Covers every scope of our own manifest.
EVERYTHING = "*"
_MINUTE_MS, _HOUR_MINUTES, _HOUR_SECONDS = 60_000, 60, 3600


class TierName(StrEnum):
    """Tiers as they are written in the file."""

    NOTIFY = "notify"
    TIGHTEN = "tighten"
    FREEZE = "freeze"
    PAUSE = "pause"


_Usd = Annotated[int, Field(ge=0, le=MAX_USD)]
_Nats = Annotated[float, Field(ge=0, le=MAX_LLR)]


class _LeverSection(Section):
    hook: str
    tier: TierName
    scopes: list[str] = Field(min_length=1, max_length=MAX_SCOPES)
    effectiveness_percent: int = 0
    cost_usd: _Usd = 0
    minutes: int = 0
    cooldown_minutes: int = 0
    uses: int = 1
    refill_hours: int = Field(default=24, ge=1)


class _LimitSection(Section):
    scope: str
    mal_usd: _Usd
    drain_usd_per_s: _Usd
    latency_s: int = Field(ge=0, le=7 * 24 * 3600)
    acknowledged: bool = False
    opens_freeze: bool = False


class _QuorumSection(Section):
    tighten: int = TIGHTEN_GROUPS
    freeze: int = FREEZE_GROUPS
    freeze_beside_own: int = GROUPS_BESIDE_OWN
    pause: int = PAUSE_GROUPS


class _BudgetSection(Section):
    minutes: int = GROUP_BUDGET_MINUTES


class _PinSection(Section):
    min: _Nats = 0.0
    max: _Nats = MAX_LLR


class _BeliefSection(Section):
    own_detector: _Nats = DEFAULT_OWN_LLR
    priors: dict[Category, float] = {}
    half_life_minutes: dict[Category, int] = {}


class _PolicyFile(Section):
    condition: str = Field(default="", max_length=MAX_CONDITION_CHARS)
    belief: _BeliefSection = _BeliefSection()
    pins: dict[str, _PinSection] = Field(default={}, max_length=MAX_PINS)
    quorum: _QuorumSection = _QuorumSection()
    budget: _BudgetSection = _BudgetSection()
    limit: list[_LimitSection] = Field(default=[], max_length=MAX_SCOPES)
    lever: list[_LeverSection] = Field(default=[], max_length=MAX_LEVERS)


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy, the hash of the file it came from, and what the operator should be told about it."""

    policy: Policy
    hash: bytes
    warnings: tuple[str, ...]


def load_policy(path: Path, hooks: Collection[str], scopes: Collection[str]) -> LoadedPolicy:
    """Read a policy whose levers may name these hooks; `scopes` are those of our manifest, which "*" stands for.

    Raises ConfigError naming line and key.
    """
    file = load_toml(path, _PolicyFile)
    try:
        policy = _policy(path, file, hooks, scopes)
    except (PolicyError, BeliefError) as exc:
        raise ConfigError(path, "", str(exc)) from exc
    return LoadedPolicy(policy, sha256(path.read_bytes()).digest(), tuple(_warnings(path, policy, hooks, scopes)))


def _policy(path: Path, file: _PolicyFile, hooks: Collection[str], scopes: Collection[str]) -> Policy:
    check_condition(path, file.condition)
    return Policy(
        levers=tuple(_lever(path, f"lever[{n}]", section, hooks, scopes) for n, section in enumerate(file.lever)),
        limits=tuple(_limit(path, f"limit[{n}]", section) for n, section in enumerate(file.limit)),
        quorum=Quorum(**file.quorum.model_dump()),
        budget_minutes=file.budget.minutes,
        pins={member: Pin(pin.min, pin.max) for member, pin in file.pins.items()},
        own_llr=file.belief.own_detector,
        priors=file.belief.priors,
        half_lives_ms={category: n * _MINUTE_MS for category, n in file.belief.half_life_minutes.items()},
        condition=file.condition,
    )


def _lever(path: Path, where: str, section: _LeverSection, hooks: Collection[str], scopes: Collection[str]) -> Lever:
    if section.hook not in hooks:
        known = ", ".join(sorted(hooks)) or "none"
        wanted = f"the name of a configured hook is wanted ({known})"
        raise ConfigError(path, f"{where}.hook", wanted, found=section.hook)
    for n, scope in enumerate(section.scopes):
        _check_subject(path, f"{where}.scopes[{n}]", scope)
    covered = scopes if section.scopes == [EVERYTHING] else section.scopes
    return Lever(
        hook=section.hook,
        tier=Tier[section.tier.name],
        scopes=frozenset(covered),
        effectiveness_percent=section.effectiveness_percent,
        cost_micro_usd=section.cost_usd * MICRO,
        minutes=section.minutes,
        cooldown_minutes=section.cooldown_minutes,
        tokens=section.uses,
        refill_minutes=section.refill_hours * _HOUR_MINUTES,
    )


def _limit(path: Path, where: str, section: _LimitSection) -> LossLimit:
    _check_subject(path, f"{where}.scope", section.scope)
    return LossLimit(
        scope=section.scope,
        mal_micro_usd=section.mal_usd * MICRO,
        drain_micro_usd_per_hour=section.drain_usd_per_s * MICRO * _HOUR_SECONDS,
        latency_ms=section.latency_s * 1000,
        is_acknowledged=section.acknowledged,
        opens_freeze=section.opens_freeze,
    )


def subject_of(text: str) -> str:
    """Return a subject id of any kind; raises DecodeError in the words of the kind it looks like."""
    check: Callable[[str], str]
    if " " in text:
        check = check_dependency
    elif "/" in text:
        check = check_asset_id
    elif text.startswith("0x"):
        check = check_hash
    elif text.count(":") >= 2:
        check = check_account_id
    elif ":" in text:
        check = check_chain_id
    else:
        check = check_slug
    return check(text)


def _check_subject(path: Path, where: str, text: str) -> None:
    if text == EVERYTHING:
        return
    try:
        subject_of(text)
    except DecodeError as exc:
        raise ConfigError(path, where, str(exc)) from exc


def _warnings(path: Path, policy: Policy, hooks: Collection[str], scopes: Collection[str]) -> list[str]:
    if not policy.levers:
        return [f"{path} has no levers: this node never acts, it only listens, publishes and records"]
    used = {lever.hook for lever in policy.levers}
    warnings = [f"{path}: no lever uses hook {hook!r}" for hook in sorted(set(hooks) - used)]
    for lever in policy.levers:
        warnings += [
            f"{path}: lever {lever.hook!r} covers {s}, which our manifest does not name"
            for s in sorted(lever.scopes - set(scopes))
        ]
    warnings += [f"{path}: may not be armed: {fault}" for fault in policy.faults()]
    if not policy.pins:
        warnings.append(f"{path}: nobody is pinned, so nobody's word weighs anything before it has earned it")
    return warnings
