"""The operator's policy: a TOML file, read into the core's Policy. deploy/policy.example.toml shows every key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from tocsin_protocol.belief.priors import MAX_HALF_LIFE_MS, MAX_PRIOR, MIN_PRIOR
from tocsin_protocol.belief.reputation import DEFAULT_VOUCH_CAP, MAX_LLR, MAX_VOUCH_CAP, Pin
from tocsin_protocol.decision.budget import GROUP_BUDGET_MINUTES
from tocsin_protocol.decision.levers import MAX_BUCKET, MAX_LEVER_MINUTES, MAX_SCOPES, Lever
from tocsin_protocol.decision.policy import (
    DEFAULT_OWN_LLR,
    MAX_BUDGET_MINUTES,
    MAX_CONDITION_CHARS,
    MAX_OWN_LLR,
    LossLimit,
    Policy,
    Word,
)
from tocsin_protocol.decision.tiers import FREEZE_GROUPS, GROUPS_BESIDE_OWN, PAUSE_GROUPS, TIGHTEN_GROUPS, Quorum, Tier
from tocsin_protocol.errors import DecodeError, PolicyError, ProtocolError
from tocsin_protocol.ids import check_slug
from tocsin_protocol.ladder import MAX_LEVERS
from tocsin_protocol.taxonomy import Category

from .conditions import try_condition
from .people import People
from .policy_notes import find_notes, find_people_notes
from .policy_people import ApprovalSection, Operators, PeopleReader, RecoverySection
from .toml_files import Section, TomlFile, open_toml, parse_toml, suggest
from .toml_lines import Location

MAX_PINS = 256
MAX_WORDS = 256
# The largest amount that a signal or a manifest can state.
MAX_USD = 9_000_000_000
# In an hour, a third of what MAX_MICRO_USD of the core allows.
MAX_DRAIN_USD_PER_S = 100_000_000
MAX_LATENCY_S = 7 * 24 * 3600
MAX_REFILL_HOURS = 365 * 24
MAX_GROUPS = 1024
MICRO = 1_000_000
# If not given: uses, and hours to one more. People may be told of many things in a day; what holds something still is
# used once, and whoever wants more says so.
NOTICE_USES = (20, 1)
LEVER_USES = (1, 24)
# Covers every holding of our manifest.
EVERYTHING = "*"
_MINUTE_MS, _HOUR_MINUTES, _HOUR_SECONDS, _PERCENT = 60_000, 60, 3600, 100


class TierName(StrEnum):
    """Tiers as they are written in the file."""

    NOTIFY = "notify"
    TIGHTEN = "tighten"
    FREEZE = "freeze"
    PAUSE = "pause"


def _check_name(text: str) -> str:
    try:
        return check_slug(text)
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc


def _check_scope(text: str) -> str:
    return text if text == EVERYTHING else _check_name(text)


_Name = Annotated[str, AfterValidator(_check_name)]
_Scope = Annotated[str, AfterValidator(_check_scope)]
_Usd = Annotated[int, Field(ge=0, le=MAX_USD)]
_Nats = Annotated[float, Field(ge=0, le=MAX_LLR, allow_inf_nan=False)]
_Prior = Annotated[float, Field(ge=MIN_PRIOR, le=MAX_PRIOR, allow_inf_nan=False)]
_HalfLife = Annotated[int, Field(ge=1, le=MAX_HALF_LIFE_MS // _MINUTE_MS)]
_Minutes = Annotated[int, Field(ge=0, le=MAX_LEVER_MINUTES)]
_Groups = Annotated[int, Field(ge=1, le=MAX_GROUPS)]


class _LeverSection(Section):
    hook: _Name
    tier: TierName
    scopes: list[_Scope] = Field(min_length=1, max_length=MAX_SCOPES)
    effectiveness_percent: int = Field(default=0, ge=0, le=_PERCENT)
    cost_usd: _Usd = 0
    minutes: _Minutes = 0
    cooldown_minutes: _Minutes = 0
    uses: int | None = Field(default=None, ge=1, le=MAX_BUCKET)
    refill_hours: int | None = Field(default=None, ge=1, le=MAX_REFILL_HOURS)
    ask: bool = False


class _LimitSection(Section):
    scope: _Scope
    mal_usd: _Usd
    drain_usd_per_s: int = Field(ge=0, le=MAX_DRAIN_USD_PER_S)
    latency_s: int = Field(ge=0, le=MAX_LATENCY_S)
    acknowledged: bool = False
    opens_freeze: bool = False


class _QuorumSection(Section):
    tighten: _Groups = TIGHTEN_GROUPS
    freeze: _Groups = FREEZE_GROUPS
    freeze_beside_own: _Groups = GROUPS_BESIDE_OWN
    pause: _Groups = PAUSE_GROUPS


class _BudgetSection(Section):
    minutes: int = Field(default=GROUP_BUDGET_MINUTES, ge=0, le=MAX_BUDGET_MINUTES)


class _PinSection(Section):
    min: _Nats = 0.0
    max: _Nats = MAX_LLR


class _WordSection(Section):
    by: _Name
    of: _Name
    weight: _Nats


class _VouchingSection(Section):
    cap: Annotated[float, Field(ge=0, le=MAX_VOUCH_CAP, allow_inf_nan=False)] = DEFAULT_VOUCH_CAP
    word: list[_WordSection] = Field(default=[], max_length=MAX_WORDS)


class _BeliefSection(Section):
    own_detector: Annotated[float, Field(ge=0, le=MAX_OWN_LLR, allow_inf_nan=False)] = DEFAULT_OWN_LLR
    priors: dict[Category, _Prior] = Field(default={})
    half_life_minutes: dict[Category, _HalfLife] = Field(default={})


class _PolicyFile(Section):
    version: Literal[1] = 1
    condition: str = Field(default="", max_length=MAX_CONDITION_CHARS)
    belief: _BeliefSection = _BeliefSection()
    pins: dict[_Name, _PinSection] = Field(default={}, max_length=MAX_PINS)
    vouching: _VouchingSection = _VouchingSection()
    quorum: _QuorumSection = _QuorumSection()
    budget: _BudgetSection = _BudgetSection()
    limit: list[_LimitSection] = Field(default=[], max_length=MAX_SCOPES)
    lever: list[_LeverSection] = Field(default=[], max_length=MAX_LEVERS)
    operators: Operators = Field(default={})
    approval: ApprovalSection = ApprovalSection()
    recovery: RecoverySection = RecoverySection()


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy, the text it came from, and what the operator may not have meant."""

    policy: Policy
    text: str
    notes: tuple[str, ...]
    people: People = field(default_factory=People)

    @property
    def hash(self) -> bytes:
        """The SHA-256 of the file; of an empty one where there is none."""
        return sha256(self.text.encode()).digest()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should be told: the notes, and why it may not be armed."""
        return (*self.notes, *(f"the policy may not be armed: {fault}" for fault in self.policy.faults()))


def load_policy(
    path: Path | None,
    hooks: Collection[str] | None,
    scopes: Collection[str] | None,
    members: Collection[str] | None = None,
) -> LoadedPolicy:
    """Read a policy; no path: the built-in one, which never acts.

    `hooks` and `scopes`, the holdings of our manifest, are what its levers may name, `members` whom it may pin; None
    where that is not known, and then any name will do. Raises ConfigError naming line and key.
    """
    if path is None:
        return LoadedPolicy(Policy(), "", find_notes(Policy(), hooks, scopes, members))
    file = open_toml(path)
    reader = _Reader(file, hooks, scopes)
    document = file.check(_PolicyFile)
    policy = reader.read(document)
    people = reader.people(document, policy)
    notes = (*find_notes(policy, hooks, scopes, members), *find_people_notes(policy, people))
    return LoadedPolicy(policy, file.text, notes, people)


def read_policy(text: str, scopes: Collection[str]) -> Policy:
    """The policy that a file of this text was, whatever hooks there were; raises ConfigError."""
    file = parse_toml(Path("policy.toml"), text.encode())
    return _Reader(file, None, scopes).read(file.check(_PolicyFile))


@dataclass(frozen=True, slots=True)
class _Reader:
    """A file and what stands around it."""

    file: TomlFile
    hooks: Collection[str] | None
    scopes: Collection[str] | None

    def read(self, document: _PolicyFile) -> Policy:
        self._check_once([section.hook for section in document.lever], lambda n: ("lever", n, "hook"))
        self._check_once([section.scope for section in document.limit], lambda n: ("limit", n, "scope"))
        self._check_condition(document.condition)
        words = [(section.by, section.of) for section in document.vouching.word]
        self._check_once(words, lambda n: ("vouching", "word", n, "by"))
        levers = [self._lever(n, section) for n, section in enumerate(document.lever)]
        try:
            return Policy(
                levers=tuple(lever for lever in levers if lever is not None),
                limits=tuple(self._limits(document.limit)),
                quorum=Quorum(**document.quorum.model_dump()),
                budget_minutes=document.budget.minutes,
                pins={member: self._pin(member, pin) for member, pin in document.pins.items()},
                words=tuple(self._word(n, word) for n, word in enumerate(document.vouching.word)),
                vouch_cap=document.vouching.cap,
                own_llr=document.belief.own_detector,
                priors=document.belief.priors,
                half_lives_ms={c: n * _MINUTE_MS for c, n in document.belief.half_life_minutes.items()},
                condition=document.condition,
            )
        except ProtocolError as exc:
            raise self.file.error((), str(exc)) from exc

    def people(self, document: _PolicyFile, policy: Policy) -> People:
        """Who approves what, and the way back."""
        reader = PeopleReader(self.file, self.scopes)
        people = reader.read(document.operators, document.approval, document.recovery, policy.levers)
        levers = {lever.hook: lever for lever in policy.levers}
        for place, section in enumerate(document.lever):
            if section.ask and section.hook in levers:
                reader.check_asked(place, levers[section.hook], people.approvals)
        return people

    def _lever(self, place: int, section: _LeverSection) -> Lever | None:
        """The lever; None when it covers everything and there is nothing."""
        where: Location = ("lever", place)
        if self.hooks is not None and section.hook not in self.hooks:
            raise self.file.error((*where, "hook"), "is no hook of node.toml" + suggest(section.hook, self.hooks))
        self._check_tier(where, section)
        covered = self._covered((*where, "scopes"), section.scopes)
        if not covered:
            return None
        uses, refill_hours = NOTICE_USES if section.tier is TierName.NOTIFY else LEVER_USES
        return Lever(
            hook=section.hook,
            tier=Tier[section.tier.name],
            scopes=covered,
            effectiveness_percent=section.effectiveness_percent,
            cost_micro_usd=section.cost_usd * MICRO,
            minutes=section.minutes,
            cooldown_minutes=section.cooldown_minutes,
            tokens=section.uses or uses,
            refill_minutes=(section.refill_hours or refill_hours) * _HOUR_MINUTES,
            asks=section.ask,
        )

    def _check_tier(self, where: Location, section: _LeverSection) -> None:
        """To notify holds nothing still; everything else averts something and costs something."""
        for key in ("effectiveness_percent", "cost_usd"):
            if bool(getattr(section, key)) is (section.tier is TierName.NOTIFY):
                wanted = "0 is" if section.tier is TierName.NOTIFY else "1 or more is"
                raise self.file.error((*where, key), f"{wanted} wanted of a lever of tier {str(section.tier)!r}")

    def _covered(self, where: Location, names: Sequence[str]) -> frozenset[str]:
        self._check_once(names, lambda n: (*where, n))
        if EVERYTHING in names:
            if len(names) > 1:
                raise self.file.error(where, f"{EVERYTHING!r} stands alone: it is all of them")
            return frozenset(names if self.scopes is None else self.scopes)
        for place, name in enumerate(names):
            self._check_holding((*where, place), name)
        return frozenset(names)

    def _check_holding(self, where: Location, name: str) -> None:
        if self.scopes is not None and name not in self.scopes:
            known = suggest(name, self.scopes) or ", which names none"
            raise self.file.error(where, "is no holding of our manifest" + known)

    def _limits(self, sections: Sequence[_LimitSection]) -> Iterator[LossLimit]:
        """Each holding's own limit, and that of everything for those who have none."""
        named = {section.scope for section in sections}
        for place, section in enumerate(sections):
            if section.scope != EVERYTHING:
                self._check_holding(("limit", place, "scope"), section.scope)
                yield _limit(section.scope, section)
            elif self.scopes is None:
                yield _limit(EVERYTHING, section)
            else:
                yield from (_limit(scope, section) for scope in self.scopes if scope not in named)

    def _pin(self, member: str, section: _PinSection) -> Pin:
        if section.min > section.max:
            raise self.file.error(("pins", member), f"min {section.min} is above max {section.max}")
        return Pin(section.min, section.max)

    def _word(self, place: int, section: _WordSection) -> Word:
        if section.by == section.of:
            raise self.file.error(("vouching", "word", place, "by"), "vouches for itself")
        return Word(section.by, section.of, section.weight)

    def _check_condition(self, condition: str) -> None:
        try:
            try_condition(condition)
        except PolicyError as exc:
            raise self.file.error(("condition",), str(exc)) from exc

    def _check_once(self, names: Sequence[object], where: Callable[[int], Location]) -> None:
        for place, name in enumerate(names):
            if name in names[:place]:
                raise self.file.error(where(place), "stands twice")


def _limit(scope: str, section: _LimitSection) -> LossLimit:
    return LossLimit(
        scope=scope,
        mal_micro_usd=section.mal_usd * MICRO,
        drain_micro_usd_per_hour=section.drain_usd_per_s * MICRO * _HOUR_SECONDS,
        latency_ms=section.latency_s * 1000,
        is_acknowledged=section.acknowledged,
        opens_freeze=section.opens_freeze,
    )
