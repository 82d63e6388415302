"""Five processes, fully connected over loopback: our mesh and a js-libp2p mesh doing the same work, turn by turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .figures import MeshFigures
from .js_mesh import run_js_mesh
from .py_mesh import run_py_mesh
from .result import HIGHER, LOWER, Result, measured

NODES = 5
SECONDS = 30
BURST = 5_000
SIGNAL_BYTES = 512
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Load:
    """A rate for the whole mesh in signals/s, or None for the burst; and the goal for CPU over js."""

    name: str
    rate: int | None
    most_cpu_over_js: float


LOADS = (Load("50/s", 50, 2.0), Load("200/s", 200, 1.0), Load(f"burst of {BURST:,}", None, 1.0))


async def bench_gossip(group: str, js_dir: Path, advance: Callable[[], None]) -> list[Result]:
    """Delivery, latency, CPU per delivered signal and memory of both meshes under each load."""
    results: list[Result] = []
    for load in LOADS:
        ours = await run_py_mesh(NODES, load.rate, SECONDS, BURST, SIGNAL_BYTES)
        advance()
        theirs = await run_js_mesh(js_dir, NODES, load.rate, SECONDS, BURST, SIGNAL_BYTES)
        advance()
        results += _results(group, load, ours, theirs)
    return results


def _results(group: str, load: Load, ours: MeshFigures, theirs: MeshFigures) -> list[Result]:
    name = f"gossip, {load.name}"
    over = ours.cpu_ms_per_delivery / theirs.cpu_ms_per_delivery
    return [
        measured(group, f"{name}: delivered", 100 * ours.delivered / ours.expected, "%", (HIGHER, 100)),
        measured(group, f"{name}: propagation p50", ours.p50_ms, "ms"),
        measured(group, f"{name}: propagation p99", ours.p99_ms, "ms"),
        measured(group, f"{name}: memory growth of the node that grew most", ours.rss_growth_bytes / _MEBIBYTE, "MiB"),
        measured(group, f"{name}: CPU per delivered signal", ours.cpu_ms_per_delivery, "ms"),
        measured(group, f"{name}: js-libp2p delivered", 100 * theirs.delivered / theirs.expected, "%"),
        measured(group, f"{name}: js-libp2p propagation p50", theirs.p50_ms, "ms"),
        measured(group, f"{name}: js-libp2p propagation p99", theirs.p99_ms, "ms"),
        measured(group, f"{name}: js-libp2p CPU per delivered signal", theirs.cpu_ms_per_delivery, "ms"),
        measured(
            group, f"{name}: CPU per delivered signal over js-libp2p", over, "ratio", (LOWER, load.most_cpu_over_js)
        ),
    ]
