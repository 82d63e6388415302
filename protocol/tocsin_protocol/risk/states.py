"""How a subject stands: its states in one table, and which of them what a node sees comes to (specs/risk.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from ..adjudication import Finding
from ..errors import RiskError
from ..ids import DIGEST_BYTES, NO_DIGEST
from ..recovery.stages import Stage

PPM = 1_000_000
SUSPECTED_PPM = 100_000
CONFIRMED_PPM = 900_000


class RiskState(IntEnum):
    """How a subject stands. The numbers are on the wire, and of two the higher is the worse.

    UNKNOWN is no report's: it is what too few reports come to.
    """

    NONE = 0
    FALSE_ALARM = 1
    RESOLVED = 2
    SUSPECTED = 3
    RECOVERING = 4
    CONTAINED = 5
    CONFIRMED = 6
    UNKNOWN = 7

    @property
    def word(self) -> str:
        """`false-alarm` of FALSE_ALARM."""
        return self.name.lower().replace("_", "-")


_OVER = (RiskState.FALSE_ALARM, RiskState.RESOLVED)
_REAL = (RiskState.RECOVERING, RiskState.CONTAINED, RiskState.CONFIRMED)
# Readers may miss reports, so a move over several states at once is legal.
LEGAL: Mapping[RiskState, frozenset[RiskState]] = {
    RiskState.NONE: frozenset((RiskState.NONE,)),
    **dict.fromkeys((*_OVER, *_REAL), frozenset((*_OVER, *_REAL))),
    RiskState.SUSPECTED: frozenset((RiskState.SUSPECTED, *_OVER, *_REAL)),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """A state and the incident that it is about (no digest: none). Raises RiskError."""

    state: RiskState
    incident: bytes

    def __post_init__(self) -> None:
        if self.state is RiskState.UNKNOWN:
            raise RiskError("a report's state is unknown, which only too few reports come to")
        if len(self.incident) != DIGEST_BYTES:
            raise RiskError(f"an incident of {len(self.incident)} bytes where {DIGEST_BYTES} are wanted")
        # [RISK] The state none names no incident, every other state names one.
        if (self.state is RiskState.NONE) != (self.incident == NO_DIGEST):
            raise RiskError(f"the state {self.state.word} with the incident {self.incident.hex()}")

    @classmethod
    def none(cls) -> Standing:
        """Of a subject about which nothing was ever reported."""
        return cls(RiskState.NONE, NO_DIGEST)


@dataclass(frozen=True, slots=True)
class Seen:
    """One incident about a subject as a node sees it now.

    `is_evidenced`: its own evidence and enough independent voices say that it is real. `finding` is what its operator
    found, `stage` how far a subject of its own is open again after its levers held it for this incident.
    """

    incident: bytes
    first_ms: int
    belief_ppm: int
    is_evidenced: bool
    is_open: bool
    finding: Finding | None = None
    stage: Stage | None = None


def check_move(before: Standing, after: Standing) -> None:
    """Raise RiskError when a report may not follow another of its signer."""
    # [RISK] Nothing leads back to none.
    if after.state is RiskState.NONE and before.state is not RiskState.NONE:
        raise RiskError(f"the state none after {before.state.word}")
    # [RISK] In one incident states move as the table says; another incident begins in any state.
    if before.incident == after.incident and after.state not in LEGAL[before.state]:
        raise RiskError(f"the state {after.state.word} after {before.state.word} in one incident")


def is_legal(before: Standing, after: Standing) -> bool:
    """Whether a report may follow another of its signer."""
    try:
        check_move(before, after)
    except RiskError:
        return False
    return True


def find_standing(before: Standing, seen: Iterable[Seen]) -> Standing:
    """How a subject stands, given how it stood and what is seen of its incidents now."""
    found = []
    for one in seen:
        state = _state_of(one, before.state if one.incident == before.incident else None)
        if state is not None:
            found.append((-state, one.first_ms, one.incident))
    if found:
        # [RISK] Of several incidents the worst counts; of those as bad, the one that began first.
        number, _, incident = min(found)
        return Standing(RiskState(-number), incident)
    # [RISK] What was is over where nothing is left of it; none stays none.
    return before if before.state in (RiskState.NONE, *_OVER) else Standing(RiskState.RESOLVED, before.incident)


def _state_of(seen: Seen, before: RiskState | None) -> RiskState | None:
    """The state that one incident is worth; None: nothing that has to be told."""
    # [RISK] What the operator found false is a false alarm.
    if seen.finding is Finding.FALSE:
        return RiskState.FALSE_ALARM
    # [RISK] Our own subject is contained while our levers hold it, and recovering until it is open again.
    if seen.stage is not None:
        return _STATE_OF_STAGE.get(seen.stage, RiskState.RECOVERING)
    # [RISK] What the operator found to be real is confirmed while belief or evidence stands, and over afterwards.
    if seen.finding is Finding.CONFIRMED:
        stands = seen.is_open and (seen.is_evidenced or seen.belief_ppm >= SUSPECTED_PPM)
        return RiskState.CONFIRMED if stands else RiskState.RESOLVED
    # [RISK] It is confirmed by evidence of our own with a quorum, or by a belief of CONFIRMED_PPM.
    if seen.is_evidenced or seen.belief_ppm >= CONFIRMED_PPM:
        return RiskState.CONFIRMED
    # [RISK] What was confirmed does not fade: it ends by a finding, by being opened again, or with its incident.
    if before in _REAL:
        return before if seen.is_open else RiskState.RESOLVED
    if before in _OVER:
        return before
    # [RISK] It is suspected from a belief of SUSPECTED_PPM on, and over when the belief falls below it.
    if seen.is_open and seen.belief_ppm >= SUSPECTED_PPM:
        return RiskState.SUSPECTED
    return RiskState.RESOLVED if before is RiskState.SUSPECTED else None


_STATE_OF_STAGE: Mapping[Stage, RiskState] = {
    Stage.HALTED: RiskState.CONTAINED,
    Stage.RESTRICTED: RiskState.CONTAINED,
    Stage.NORMAL: RiskState.RESOLVED,
}
