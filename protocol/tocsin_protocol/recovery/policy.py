"""How long each stage is watched before the next, and what counts as calm (specs/recovery.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import PolicyError
from .stages import Stage

# A demonstration may hurry; nobody opens two stages in one block.
MIN_DWELL_MS = 1_000
# Also the longest that belief, however high, can keep a protocol's own people from opening.
MAX_DWELL_MS = 24 * 60 * 60 * 1000
# The shortest dwell doubled that often is longer than the longest.
MAX_DOUBLINGS = 17
PPM = 1_000_000
DEFAULT_CLOSE_PPM = 500_000
DEFAULT_CALM_PPM = 200_000
DEFAULT_GRACE_MS = 60 * 60 * 1000
MAX_GRACE_MS = 24 * 60 * 60 * 1000
DEFAULT_DWELL_MS: Mapping[Stage, int] = {
    Stage.HALTED: 15 * 60 * 1000,
    Stage.RESTRICTED: 15 * 60 * 1000,
    Stage.EXIT_ONLY: 60 * 60 * 1000,
    Stage.CANARY_1: 60 * 60 * 1000,
    Stage.CANARY_5: 2 * 60 * 60 * 1000,
    Stage.CANARY_25: 4 * 60 * 60 * 1000,
    Stage.NORMAL: 24 * 60 * 60 * 1000,
}


@dataclass(frozen=True, slots=True)
class RecoveryPolicy:
    """Dwell times by stage and grace before liquidation (ms), beliefs in millionths. Raises PolicyError.

    At `close_ppm` a belief is an alarm; it has to stay below `calm_ppm` for the dwell time.
    """

    dwell_ms: Mapping[Stage, int] = field(default_factory=lambda: dict(DEFAULT_DWELL_MS))
    close_ppm: int = DEFAULT_CLOSE_PPM
    calm_ppm: int = DEFAULT_CALM_PPM
    grace_ms: int = DEFAULT_GRACE_MS

    def __post_init__(self) -> None:
        for stage in Stage:
            _check_in(f"dwell_ms of {stage}", self.dwell_ms.get(stage), MIN_DWELL_MS, MAX_DWELL_MS)
        _check_in("close_ppm", self.close_ppm, 1, PPM)
        # [RECOVER] Calm is below what closes: a belief between the two is neither.
        _check_in("calm_ppm", self.calm_ppm, 1, self.close_ppm - 1)
        _check_in("grace_ms", self.grace_ms, 0, MAX_GRACE_MS)

    def dwell_after(self, stage: Stage, backs: int) -> int:
        """How long a stage has to be calm after so many steps back, in ms."""
        # [RECOVER] Each step back doubles the dwell times that follow, up to MAX_DWELL_MS.
        return min(MAX_DWELL_MS, self.dwell_ms[stage] << min(backs, MAX_DOUBLINGS))


def _check_in(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise PolicyError(f"recovery: {name} is {value!r} where {least}…{most} is wanted")
