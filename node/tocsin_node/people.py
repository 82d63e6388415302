"""What a policy says of the operator's own people: who approves what, and the way back after containment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tocsin_protocol.approval.policy import ANY_SCOPE, ApprovalPolicy
from tocsin_protocol.decision.levers import Lever
from tocsin_protocol.recovery.plan import EndKind, Proposal
from tocsin_protocol.recovery.policy import RecoveryPolicy
from tocsin_protocol.recovery.stages import Stage
from tocsin_protocol.recovery.steps import Call

DEFAULT_WINDOW_MS = 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Undoing:
    """How a hook's effect is undone: the call, if one is known, the stage that it opens, and who ends the effect."""

    call: Call | None
    at: Stage
    end: EndKind


@dataclass(frozen=True, slots=True)
class Shown:
    """A view without arguments (`stage()(uint8)`) of an account that returns `value` while a stage is open."""

    account: str
    function: str
    value: int


@dataclass(frozen=True, slots=True)
class People:
    """Who asks them waits `window_ms` for an answer."""

    approvals: ApprovalPolicy = field(default_factory=ApprovalPolicy)
    window_ms: int = DEFAULT_WINDOW_MS
    recovery: RecoveryPolicy = field(default_factory=RecoveryPolicy)
    undoing: Mapping[str, Undoing] = field(default_factory=dict)
    limits: Mapping[tuple[str, Stage], tuple[Call, ...]] = field(default_factory=dict)
    shown: Mapping[tuple[str, Stage], Shown] = field(default_factory=dict)
    remedies: tuple[Proposal, ...] = ()


def scope_of(lever: Lever) -> str:
    """What a request about a lever is about: its one scope, or all."""
    return next(iter(lever.scopes)) if len(lever.scopes) == 1 else ANY_SCOPE
