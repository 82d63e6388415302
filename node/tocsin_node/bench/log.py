"""The figures of the record: appending to the log, proving from it, opening it again, and hashing all of it anew."""

from __future__ import annotations

from .log_appending import bench_appending
from .log_reading import READS, bench_reading
from .spine import Part

GROUP = "log"


def log_parts() -> list[Part]:
    """The parts in the order they run."""
    return [
        Part("appending", 4, lambda advance: bench_appending(GROUP, advance)),
        Part("a million entries", READS, lambda advance: bench_reading(GROUP, advance)),
    ]
