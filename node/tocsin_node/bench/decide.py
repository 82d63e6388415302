"""The figures of the decision core."""

from __future__ import annotations

from .deciding import bench_deciding
from .replaying import TIMES, bench_replaying
from .spine import Part

GROUP = "decide"


def decide_parts() -> list[Part]:
    """The parts in the order they run."""
    return [
        Part("deciding", 3, lambda advance: bench_deciding(GROUP, advance)),
        Part("replaying", len(TIMES), lambda advance: bench_replaying(GROUP, advance)),
    ]
