"""The figures of containment: from a decision to a node that has the transaction, and many actions at once."""

from __future__ import annotations

from .contain_chains import bench_chains
from .contain_latency import ROUNDS, bench_latency
from .spine import Part

GROUP = "contain"


def contain_parts() -> list[Part]:
    """The parts in the order they run."""
    return [
        Part("decision to accepted", ROUNDS, lambda advance: bench_latency(GROUP, advance)),
        Part("twenty chains at once", 2, lambda advance: bench_chains(GROUP, advance)),
    ]
