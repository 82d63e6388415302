"""[operators], [approval] and [recovery] of a policy: who approves what, and how what was contained is opened again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from tocsin_protocol.approval.policy import ANY_SCOPE, MAX_OPERATORS, MAX_RULES, ApprovalPolicy, ApprovalRule
from tocsin_protocol.approval.request import MAX_EFFECT_BYTES, MAX_WINDOW_MS
from tocsin_protocol.decision.levers import MAX_LEVERS, Lever
from tocsin_protocol.decision.tiers import Tier
from tocsin_protocol.errors import DecodeError, ProtocolError
from tocsin_protocol.ids import check_account_id, check_slug
from tocsin_protocol.recovery.plan import MAX_REMEDIES, EndKind, Proposal, ProposalKind
from tocsin_protocol.recovery.policy import (
    DEFAULT_CALM_PPM,
    DEFAULT_CLOSE_PPM,
    DEFAULT_DWELL_MS,
    DEFAULT_GRACE_MS,
    MAX_DWELL_MS,
    MAX_GRACE_MS,
    RecoveryPolicy,
)
from tocsin_protocol.recovery.stages import Stage
from tocsin_protocol.recovery.steps import MAX_CALLS, Call

from .chain.abi import Argument, encode_call, parse_function
from .chain.errors import AbiError
from .people import DEFAULT_WINDOW_MS, People, Shown, Undoing, scope_of
from .toml_files import Section, TomlFile, suggest
from .toml_lines import Location

MAX_REMOVED = 256
MAX_STAGE_CALLS = 256
MAX_ARGUMENTS = 16
_SECOND_MS, _MINUTE_MS, _PPM_PER_PERCENT = 1000, 60_000, 10_000


def _check_slug(text: str) -> str:
    try:
        return check_slug(text)
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc


def _check_account(text: str) -> str:
    try:
        return check_account_id(text)
    except DecodeError as exc:
        raise ValueError(str(exc)) from exc


_Name = Annotated[str, AfterValidator(_check_slug)]
_Account = Annotated[str, AfterValidator(_check_account)]
# One spelling: an address with capitals looks like another to whoever compares.
_Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{40}$")]
_Percent = Annotated[int, Field(ge=1, le=100)]


class OperatorRuleSection(Section):
    """`m` of `operators` (all, if not given) approve what is of a tier (any) in a scope (any)."""

    m: int = Field(ge=1, le=MAX_OPERATORS)
    operators: list[_Name] | None = Field(default=None, min_length=1, max_length=MAX_OPERATORS)
    tier: Literal["notify", "tighten", "freeze", "pause"] | None = None
    scope: str = ANY_SCOPE


class ApprovalSection(Section):
    """[approval]: how long people have, who is an operator no more, and the rules."""

    window_minutes: int = Field(default=DEFAULT_WINDOW_MS // _MINUTE_MS, ge=1, le=MAX_WINDOW_MS // _MINUTE_MS)
    removed: list[_Address] = Field(default=[], max_length=MAX_REMOVED)
    rule: list[OperatorRuleSection] = Field(default=[], max_length=MAX_RULES)


class _CallSection(Section):
    target: _Account
    function: str
    arguments: list[str | int | bool | list[str | int | bool]] = Field(default=[], max_length=MAX_ARGUMENTS)
    effect: str = Field(min_length=1, max_length=MAX_EFFECT_BYTES)


class _UndoSection(_CallSection):
    hook: _Name
    at: Stage = Stage.EXIT_ONLY
    ended_by: EndKind = EndKind.PEOPLE


class _StageSection(_CallSection):
    scope: _Name
    stage: Stage
    check: str | None = None
    value: int = Field(default=1, ge=0)


class _RemedySection(_CallSection):
    kind: Literal["fund", "migrate", "claims"]
    scope: _Name
    by: Stage = Stage.NORMAL


class RecoverySection(Section):
    """[recovery]: dwell times, what counts as calm, and the calls that governance is asked to make."""

    dwell_seconds: dict[Stage, Annotated[int, Field(ge=1, le=MAX_DWELL_MS // _SECOND_MS)]] = Field(default={})
    grace_minutes: int = Field(default=DEFAULT_GRACE_MS // _MINUTE_MS, ge=0, le=MAX_GRACE_MS // _MINUTE_MS)
    close_percent: _Percent = DEFAULT_CLOSE_PPM // _PPM_PER_PERCENT
    calm_percent: _Percent = DEFAULT_CALM_PPM // _PPM_PER_PERCENT
    undo: list[_UndoSection] = Field(default=[], max_length=MAX_LEVERS)
    stage: list[_StageSection] = Field(default=[], max_length=MAX_STAGE_CALLS)
    remedy: list[_RemedySection] = Field(default=[], max_length=MAX_REMEDIES)


Operators = Annotated[dict[_Name, _Address], Field(max_length=MAX_OPERATORS)]


@dataclass(frozen=True, slots=True)
class PeopleReader:
    """Reads the sections of one file; `scopes` are the holdings of our manifest, None where they are not known."""

    file: TomlFile
    scopes: Collection[str] | None

    def read(
        self, operators: dict[str, str], approval: ApprovalSection, recovery: RecoverySection, levers: Sequence[Lever]
    ) -> People:
        """The sections as a value; raises ConfigError naming line and key."""
        return People(
            approvals=self._approvals(operators, approval),
            window_ms=approval.window_minutes * _MINUTE_MS,
            recovery=self._policy(recovery),
            undoing=dict(self._undoing(recovery.undo, {lever.hook for lever in levers})),
            limits=self._limits(recovery.stage),
            shown=dict(self._shown(recovery.stage)),
            remedies=tuple(self._remedies(recovery.remedy)),
        )

    def check_asked(self, place: int, lever: Lever, approvals: ApprovalPolicy) -> None:
        """A lever that asks people has people to ask."""
        if approvals.rule_for(lever.tier, scope_of(lever)) is None:
            wanted = f"no [[approval.rule]] says who approves tier {lever.tier.name.lower()!r} in {scope_of(lever)!r}"
            raise self.file.error(("lever", place, "ask"), wanted)

    def _approvals(self, operators: dict[str, str], section: ApprovalSection) -> ApprovalPolicy:
        rules = []
        for place, rule in enumerate(section.rule):
            where: Location = ("approval", "rule", place)
            for name in rule.operators or ():
                if name not in operators:
                    raise self.file.error((*where, "operators"), f"{name!r} is no operator" + suggest(name, operators))
            if rule.scope != ANY_SCOPE:
                self._check_scope((*where, "scope"), rule.scope)
            named = operators if rule.operators is None else rule.operators
            addresses = frozenset(_address(operators[name]) for name in named)
            tier = None if rule.tier is None else int(Tier[rule.tier.upper()])
            try:
                rules.append(ApprovalRule(rule.m, addresses, tier, rule.scope))
            except ProtocolError as exc:
                raise self.file.error((*where, "m"), str(exc)) from exc
        named_by: dict[str, str] = {}
        for name, text in operators.items():
            if other := named_by.get(text):
                raise self.file.error(("operators", name), f"is the address of {other!r} as well")
            named_by[text] = name
        try:
            return ApprovalPolicy(
                operators={_address(text): name for name, text in operators.items()},
                rules=tuple(rules),
                removed=frozenset(map(_address, section.removed)),
            )
        except ProtocolError as exc:
            raise self.file.error(("approval",), str(exc)) from exc

    def _policy(self, section: RecoverySection) -> RecoveryPolicy:
        dwell = {stage: seconds * _SECOND_MS for stage, seconds in section.dwell_seconds.items()}
        try:
            return RecoveryPolicy(
                dwell_ms={**DEFAULT_DWELL_MS, **dwell},
                close_ppm=section.close_percent * _PPM_PER_PERCENT,
                calm_ppm=section.calm_percent * _PPM_PER_PERCENT,
                grace_ms=section.grace_minutes * _MINUTE_MS,
            )
        except ProtocolError as exc:
            raise self.file.error(("recovery",), str(exc)) from exc

    def _undoing(self, sections: Sequence[_UndoSection], hooks: Collection[str]) -> Iterator[tuple[str, Undoing]]:
        for place, section in enumerate(sections):
            where: Location = ("recovery", "undo", place)
            if section.hook not in hooks:
                raise self.file.error((*where, "hook"), "is the hook of no [[lever]]" + suggest(section.hook, hooks))
            if section.hook in {one.hook for one in sections[:place]}:
                raise self.file.error((*where, "hook"), "stands twice")
            if section.at in (Stage.HALTED, Stage.RESTRICTED):
                raise self.file.error((*where, "at"), "a stage that people open is wanted, 'exit-only' or later")
            yield section.hook, Undoing(self._call(where, section), section.at, section.ended_by)

    def _limits(self, sections: Sequence[_StageSection]) -> dict[tuple[str, Stage], tuple[Call, ...]]:
        found: dict[tuple[str, Stage], tuple[Call, ...]] = {}
        for place, section in enumerate(sections):
            where: Location = ("recovery", "stage", place)
            self._check_scope((*where, "scope"), section.scope)
            if section.stage in (Stage.HALTED, Stage.RESTRICTED):
                raise self.file.error((*where, "stage"), "a stage that people open is wanted, 'exit-only' or later")
            key = (section.scope, section.stage)
            found[key] = (*found.get(key, ()), self._call(where, section))
            # What undoes a lever comes after the limits, in the same step.
            if len(found[key]) >= MAX_CALLS:
                raise self.file.error(where, f"fewer than {MAX_CALLS} calls for one stage of one scope are wanted")
        return found

    def _shown(self, sections: Sequence[_StageSection]) -> Iterator[tuple[tuple[str, Stage], Shown]]:
        for place, section in enumerate(sections):
            if section.check is None:
                continue
            where: Location = ("recovery", "stage", place, "check")
            try:
                view = parse_function(section.check)
            except AbiError as exc:
                raise self.file.error(where, str(exc)) from exc
            if view.inputs or len(view.outputs) != 1 or not view.outputs[0].startswith(("uint", "bool")):
                raise self.file.error(where, "a view without arguments that returns one uint or bool is wanted")
            yield (section.scope, section.stage), Shown(section.target, section.check, section.value)

    def _remedies(self, sections: Sequence[_RemedySection]) -> Iterator[Proposal]:
        for place, section in enumerate(sections):
            where: Location = ("recovery", "remedy", place)
            self._check_scope((*where, "scope"), section.scope)
            call = self._call(where, section)
            yield Proposal(ProposalKind(section.kind), section.scope, section.by, (call,), section.effect)

    def _call(self, where: Location, section: _CallSection) -> Call:
        arguments: list[Argument] = [list(item) if isinstance(item, list) else item for item in section.arguments]
        try:
            return Call(section.target, encode_call(parse_function(section.function), arguments), section.effect)
        except AbiError as exc:
            raise self.file.error((*where, "function"), str(exc)) from exc
        except ProtocolError as exc:
            raise self.file.error(where, str(exc)) from exc

    def _check_scope(self, where: Location, name: str) -> None:
        if self.scopes is not None and name not in self.scopes:
            known = suggest(name, self.scopes) or ", which names none"
            raise self.file.error(where, "is no holding of our manifest" + known)


def _address(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
