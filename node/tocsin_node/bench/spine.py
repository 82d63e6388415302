"""The figures of the spine: admission, gossip beside js-libp2p, restarts, reaction, catching up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from .admission import bench_admission
from .catch_up import bench_catch_up
from .gossip import bench_gossip
from .reaction import INCIDENTS, NETWORKS, bench_reaction
from .restart import RESTARTS, bench_restart
from .result import Result

GROUP = "spine"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a group: its name, how many steps its progress has, and what runs it."""

    name: str
    steps: int
    run: Callable[[Callable[[], None]], Awaitable[list[Result]]]


def spine_parts(js_dir: Path) -> list[Part]:
    """The parts in the order they run; `js_dir` holds the js-libp2p mesh of the comparison."""

    async def admission(advance: Callable[[], None]) -> list[Result]:
        results = await bench_admission(GROUP)
        advance()
        return results

    return [
        Part("admission", 1, admission),
        Part("gossip beside js-libp2p", 6, lambda advance: bench_gossip(GROUP, js_dir, advance)),
        Part("signal to pause", NETWORKS * INCIDENTS, lambda advance: bench_reaction(GROUP, advance)),
        Part("catching up", 1, lambda advance: bench_catch_up(GROUP, advance)),
        Part("restarts", RESTARTS, lambda advance: bench_restart(GROUP, advance)),
    ]
