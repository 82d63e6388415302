"""One step of a reopening: what it opens, and the calls that governance is asked to make (specs/recovery.md)."""

from __future__ import annotations

from dataclasses import dataclass

from ..approval.request import MAX_EFFECT_BYTES, Purpose, Request
from ..encoding import encode_canonical
from ..errors import DecodeError, RecoveryError
from ..fields import text_of
from ..ids import check_account_id
from ..signing import keccak256
from .stages import LIMIT_PERCENT, OPENS, Event, Operation, Stage, next_stage

MAX_CALLS = 32
MAX_CALL_BYTES = 16 * 1024
STEP_LEVER = "recovery"
_DOMAIN = b"tocsin/recovery-step/1"


@dataclass(frozen=True, slots=True)
class Call:
    """One call for governance to make: to a CAIP-10 account, with these bytes, and in words. Raises DecodeError."""

    target: str
    data: bytes
    effect: str

    def __post_init__(self) -> None:
        check_account_id(self.target)
        text_of("effect of a call", self.effect, MAX_EFFECT_BYTES)
        if len(self.data) > MAX_CALL_BYTES:
            raise DecodeError(f"call of {len(self.data)} bytes where at most {MAX_CALL_BYTES} are allowed")


@dataclass(frozen=True, slots=True)
class Step:
    """Opening one scope by one stage. `number` is that of the scope's recovery now, and voids approvals of others.

    Raises RecoveryError for a step that the table does not have.
    """

    scope: str
    number: int
    before: Stage
    after: Stage
    calls: tuple[Call, ...]

    def __post_init__(self) -> None:
        # [RECOVER] A step opens one stage, the next one.
        if next_stage(self.before, Event.OPEN) is not self.after:
            raise RecoveryError(f"step of {self.scope}: {self.after.value} does not follow {self.before.value}")
        if len(self.calls) > MAX_CALLS:
            raise RecoveryError(f"step of {self.scope}: {len(self.calls)} calls where at most {MAX_CALLS} are allowed")

    @property
    def opens(self) -> tuple[Operation, ...]:
        """The operations that are new."""
        return tuple(operation for operation in OPENS[self.after] if operation not in OPENS[self.before])

    @property
    def effect(self) -> str:
        """What it does, in words."""
        opened = ", ".join(self.opens) or "nothing new"
        limit = LIMIT_PERCENT[self.after]
        return f"Open {self.scope} from {self.before} to {self.after} ({limit} % of new exposure): {opened}."

    @property
    def payload(self) -> bytes:
        """The digest of what is approved: the stages and every byte of the calls."""
        rows = [[call.target, call.data, call.effect] for call in self.calls]
        fields = [self.scope, self.number, self.before.value, self.after.value, rows]
        return keccak256(_DOMAIN + encode_canonical(fields))


def step_request(
    step: Step, *, incident: bytes, node: bytes, tier: int, not_before_ms: int, expires_ms: int
) -> Request:
    """What the operators are asked for a step to be taken; raises DecodeError for texts or times out of bounds."""
    return Request(
        purpose=Purpose.REOPEN,
        effect=step.effect,
        scope=step.scope,
        lever=STEP_LEVER,
        target=step.calls[0].target if step.calls else step.scope,
        tier=tier,
        payload=step.payload,
        incident=incident,
        epoch=step.number,
        not_before_ms=not_before_ms,
        expires_ms=expires_ms,
        node=node,
    )
