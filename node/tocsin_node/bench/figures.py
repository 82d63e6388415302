"""What a bench of a mesh measures, whichever mesh it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MeshFigures:
    """One run. A delivery is one message at one node that did not publish it; CPU is of all nodes together.

    `rss_growth_bytes` is that of the node that grew most, from before the first message to after the last.
    """

    sent: int
    expected: int
    delivered: int
    p50_ms: float
    p99_ms: float
    cpu_ms_per_delivery: float
    rss_growth_bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time spent and memory held by one process at one moment."""

    cpu_ms: float
    rss_bytes: int


def mesh_figures(
    sent: int, nodes: int, latencies_ms: Sequence[float], before: Sequence[Usage], after: Sequence[Usage]
) -> MeshFigures:
    """Figures of a run from the latencies of its deliveries and the usage of its nodes before and after."""
    cpu_ms = sum(end.cpu_ms - start.cpu_ms for start, end in zip(before, after, strict=True))
    return MeshFigures(
        sent=sent,
        expected=sent * (nodes - 1),
        delivered=len(latencies_ms),
        p50_ms=percentile(latencies_ms, 50),
        p99_ms=percentile(latencies_ms, 99),
        cpu_ms_per_delivery=cpu_ms / max(1, len(latencies_ms)),
        rss_growth_bytes=max(end.rss_bytes - start.rss_bytes for start, end in zip(before, after, strict=True)),
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; 0 of no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def shares(total: int, parts: int) -> list[int]:
    """`total` in `parts` shares as equal as can be."""
    return [total // parts + (part < total % parts) for part in range(parts)]
