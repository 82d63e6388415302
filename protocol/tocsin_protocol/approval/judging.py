"""Whether an approval counts, and whether enough do (specs/approval.md). Every step fails closed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from enum import StrEnum

from ..errors import PolicyError, SignatureError
from ..signing import Domain, address_of_key, recover_key
from .files import Approval
from .policy import MAX_OPERATORS, ApprovalPolicy, ApprovalRule
from .request import Request, request_digest


class Refusal(StrEnum):
    """Why an approval does not count."""

    WRONG_NETWORK = "wrong-network"
    WRONG_NODE = "wrong-node"
    WRONG_PAYLOAD = "wrong-payload"
    OTHER_REQUEST = "other-request"
    USED = "used"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    BAD_SIGNATURE = "bad-signature"
    REMOVED_OPERATOR = "removed-operator"
    UNKNOWN_OPERATOR = "unknown-operator"
    NO_RULE = "no-rule"
    NOT_IN_RULE = "not-in-rule"
    DUPLICATE_SIGNER = "duplicate-signer"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An operator's address where the approval counts, else why it does not, in a word and a sentence."""

    operator: bytes | None
    refusal: Refusal | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that a node has open, and what it knows while it waits.

    `used`: the use keys of what was done already. `latest_ms`: the latest time that its own record shows.
    """

    request: Request
    used: Collection[bytes]
    now_ms: int
    latest_ms: int


def judge_approval(domain: Domain, policy: ApprovalPolicy, asked: Asked, approval: Approval) -> Verdict:
    """Whether an approval counts for what is asked; nothing about it is believed before its step."""
    refused = _judge_request(domain, asked, approval) or _judge_time(asked)
    return refused or _judge_signer(domain, policy, approval)


def _judge_request(domain: Domain, asked: Asked, approval: Approval) -> Verdict | None:
    wanted, found = asked.request, approval.request
    # [APPROVE] 1. It is of our network.
    if approval.network_id != domain.network_id:
        detail = f"network 0x{approval.network_id.hex()} where 0x{domain.network_id.hex()} is ours"
        return Verdict(None, Refusal.WRONG_NETWORK, detail)
    # [APPROVE] 2. It is for our node.
    if found.node != wanted.node:
        return Verdict(None, Refusal.WRONG_NODE, f"node 0x{found.node.hex()} where 0x{wanted.node.hex()} is ours")
    # [APPROVE] 3. It is for the very bytes that will be used.
    if found.payload != wanted.payload:
        detail = f"payload 0x{found.payload.hex()} where 0x{wanted.payload.hex()} is asked for"
        return Verdict(None, Refusal.WRONG_PAYLOAD, detail)
    # [APPROVE] 4. All else in it is what is asked for.
    for name in (field.name for field in fields(Request)):
        if getattr(found, name) != getattr(wanted, name):
            detail = f"{name} is {_shown(getattr(found, name))} where {_shown(getattr(wanted, name))} is asked for"
            return Verdict(None, Refusal.OTHER_REQUEST, detail)
    return None


def _judge_time(asked: Asked) -> Verdict | None:
    request = asked.request
    # [APPROVE] 5. What it allows was not done before.
    if request.use_key in asked.used:
        return Verdict(None, Refusal.USED, f"{request.purpose} of {request.scope} in epoch {request.epoch} was used")
    # [APPROVE] 6. It has not expired, by the clock or by the latest time in our record: no clock set back revives it.
    if max(asked.now_ms, asked.latest_ms) >= request.expires_ms:
        return Verdict(None, Refusal.EXPIRED, f"valid {request.window} only")
    # [APPROVE] 7. It has begun by the clock, whatever later time the record shows.
    if asked.now_ms < request.not_before_ms:
        return Verdict(None, Refusal.NOT_YET_VALID, f"valid {request.window} only")
    return None


def _judge_signer(domain: Domain, policy: ApprovalPolicy, approval: Approval) -> Verdict:
    request = approval.request
    # [APPROVE] 8. Its signature is in its one form and leads to an address.
    try:
        signer = address_of_key(recover_key(request_digest(domain, request), approval.signature))
    except SignatureError as exc:
        return Verdict(None, Refusal.BAD_SIGNATURE, str(exc))
    # [APPROVE] 9. A removed operator's approval counts for nothing, whenever it was signed.
    if signer in policy.removed:
        return Verdict(None, Refusal.REMOVED_OPERATOR, f"0x{signer.hex()} was removed")
    # [APPROVE] 10. The signer is an operator.
    if signer not in policy.operators:
        detail = f"signed by 0x{signer.hex()}, who is no operator, or over other text than this"
        return Verdict(None, Refusal.UNKNOWN_OPERATOR, detail)
    return _judge_right(policy.rule_for(request.tier, request.scope), request, signer)


def _judge_right(rule: ApprovalRule | None, request: Request, signer: bytes) -> Verdict:
    # [APPROVE] 11. A rule says who approves this tier in this scope.
    if rule is None:
        return Verdict(None, Refusal.NO_RULE, f"no rule for tier {request.tier} in scope {request.scope!r}")
    # [APPROVE] 12. The signer is one of those.
    if signer not in rule.operators:
        return Verdict(None, Refusal.NOT_IN_RULE, f"0x{signer.hex()} is not named by the {rule.name}")
    return Verdict(signer)


def count_approvals(domain: Domain, policy: ApprovalPolicy, asked: Asked, approvals: Iterable[Approval]) -> Tally:
    """Count approvals, gathered in any order; raises PolicyError for more than there can be operators."""
    given = list(approvals)
    if len(given) > MAX_OPERATORS:
        raise PolicyError(f"{len(given)} approvals of one request where at most {MAX_OPERATORS} are counted")
    rule = policy.rule_for(asked.request.tier, asked.request.scope)
    counted: set[bytes] = set()
    verdicts = []
    for approval in given:
        verdict = judge_approval(domain, policy, asked, approval)
        # [APPROVE] 13. An operator counts once.
        if verdict.operator in counted:
            verdict = Verdict(None, Refusal.DUPLICATE_SIGNER, f"0x{verdict.operator.hex()} has approved already")
        elif verdict.operator is not None:
            counted.add(verdict.operator)
        verdicts.append(verdict)
    wanted, may = (None, frozenset[bytes]()) if rule is None else (rule.m, rule.operators)
    return Tally(asked.request, wanted, tuple(sorted(counted)), tuple(sorted(may - counted)), tuple(verdicts))


@dataclass(frozen=True, slots=True)
class Granted:
    """A request that enough operators approved: the only thing that opens what waits for approval."""

    request: Request
    operators: tuple[bytes, ...]
    m: int

    def __post_init__(self) -> None:
        if not 1 <= self.m <= len(set(self.operators)):
            raise PolicyError(f"granted by {len(set(self.operators))} where {max(1, self.m)} are wanted")


@dataclass(frozen=True, slots=True)
class Tally:
    """Who approved a request, how many are wanted (None: no rule), and a verdict for each approval, in its order.

    `waiting_for` are those who may still approve.
    """

    request: Request
    wanted: int | None
    operators: tuple[bytes, ...]
    waiting_for: tuple[bytes, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def granted(self) -> Granted | None:
        """What may be done now; None while not enough have approved."""
        # [APPROVE] 14. A request is granted when m operators of its rule approved it, and never without a rule.
        if self.wanted is None or len(self.operators) < self.wanted:
            return None
        return Granted(self.request, self.operators, self.wanted)

    @property
    def sentence(self) -> str:
        """Where it stands."""
        if self.wanted is None:
            return f"No rule says who approves tier {self.request.tier} in {self.request.scope}: nobody can."
        state = "enough" if self.granted else "not enough yet"
        return f"{len(self.operators)} approved of {self.wanted} wanted: {state}."


def _shown(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else repr(value)
