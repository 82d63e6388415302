"""Who may approve what: operators, and how many of them each tier and scope wants (specs/approval.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import PolicyError
from ..ids import PUBLISHER_BYTES
from .request import HIGHEST_TIER

MAX_OPERATORS = 32
MAX_RULES = 64
ANY_SCOPE = "*"


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """`m` of `operators` (addresses) approve what is of `tier` (None: any) in `scope` ("*": any); or PolicyError."""

    m: int
    operators: frozenset[bytes]
    tier: int | None = None
    scope: str = ANY_SCOPE

    def __post_init__(self) -> None:
        if self.tier is not None and (type(self.tier) is not int or not 0 <= self.tier <= HIGHEST_TIER):
            raise PolicyError(f"approval rule: tier is {self.tier!r} where 0…{HIGHEST_TIER} is wanted")
        # [APPROVE] A rule wants at least one operator, and no more than it names.
        if type(self.m) is not int or not 1 <= self.m <= len(self.operators):
            raise PolicyError(f"{self.name}: m is {self.m!r} where 1…{len(self.operators)} is wanted")

    @property
    def name(self) -> str:
        """How messages call it."""
        tier = "any tier" if self.tier is None else f"tier {self.tier}"
        return f"approval rule of {tier}, scope {self.scope!r}"


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """Operators by address (20 bytes) with their names, those removed, and the rules. Raises PolicyError."""

    operators: Mapping[bytes, str] = field(default_factory=dict)
    rules: tuple[ApprovalRule, ...] = ()
    removed: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        if len(self.operators) > MAX_OPERATORS:
            raise PolicyError(f"{len(self.operators)} operators where at most {MAX_OPERATORS} are allowed")
        if len(self.rules) > MAX_RULES:
            raise PolicyError(f"{len(self.rules)} approval rules where at most {MAX_RULES} are allowed")
        for address in (*self.operators, *self.removed):
            if type(address) is not bytes or len(address) != PUBLISHER_BYTES:
                raise PolicyError(f"operator {address!r} is not an address of {PUBLISHER_BYTES} bytes")
        if len(set(self.operators.values())) != len(self.operators):
            raise PolicyError("two operators have the same name")
        # [APPROVE] Nobody is an operator and removed.
        for address in self.removed & set(self.operators):
            raise PolicyError(f"operator {self.operators[address]!r} is listed and removed")
        # [APPROVE] A rule names operators only, so that its m can be reached.
        for rule in self.rules:
            for address in sorted(rule.operators - set(self.operators)):
                raise PolicyError(f"{rule.name}: 0x{address.hex()} is no operator")
        places = [(rule.tier, rule.scope) for rule in self.rules]
        if len(set(places)) != len(places):
            raise PolicyError("two approval rules have the same tier and scope")

    def rule_for(self, tier: int, scope: str) -> ApprovalRule | None:
        """The rule that a request falls under; None: nobody may approve it."""
        by_place = {(rule.tier, rule.scope): rule for rule in self.rules}
        # [APPROVE] The narrowest rule counts: for scope and tier, for the scope, for the tier, for all.
        for place in ((tier, scope), (None, scope), (tier, ANY_SCOPE), (None, ANY_SCOPE)):
            if place in by_place:
                return by_place[place]
        return None
