"""The meshes of the bench, small: each delivers everything and measures itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from tocsin_node.bench import js_mesh, py_mesh, py_nodes
from tocsin_node.bench.figures import MeshFigures
from tocsin_node.bench.js_mesh import JsMeshError, run_js_mesh
from tocsin_node.bench.py_mesh import run_py_mesh
from tocsin_node.bench.py_nodes import run_py_nodes

NODES = 3
RUNS = [pytest.param(20, 2, 0, id="at a rate"), pytest.param(None, 0, 200, id="in a burst")]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given up because the machine stood still."""
    for module in (js_mesh, py_mesh, py_nodes):
        monkeypatch.setattr(module, "STALL_SECONDS", 60.0)


def check(figures: MeshFigures, sent: int) -> None:
    assert figures.sent == sent
    assert figures.delivered == figures.expected == sent * (NODES - 1)
    assert 0 < figures.p50_ms <= figures.p99_ms
    assert figures.cpu_ms_per_delivery > 0


@pytest.mark.parametrize(("rate", "seconds", "burst"), RUNS)
async def test_js_mesh_delivers_everything(rate: int | None, seconds: int, burst: int, js_dir: Path) -> None:
    with trio.fail_after(300):
        check(await run_js_mesh(js_dir, NODES, rate, seconds, burst, 512), burst or 40)


@pytest.mark.parametrize(("rate", "seconds", "burst"), RUNS)
async def test_our_mesh_delivers_everything(rate: int | None, seconds: int, burst: int) -> None:
    with trio.fail_after(300):
        check(await run_py_mesh(NODES, rate, seconds, burst, 512), burst or 40)


async def test_our_nodes_deliver_everything() -> None:
    with trio.fail_after(600):
        figures = await run_py_nodes(NODES, None, 0, 200, 512)
    check(figures.whole, 200)
    assert 0 < figures.mesh_cpu_ms_per_delivery < figures.whole.cpu_ms_per_delivery


async def test_js_mesh_without_its_packages_names_the_cure(tmp_path: Path) -> None:
    with pytest.raises(JsMeshError, match="make set-up"):
        await run_js_mesh(tmp_path, NODES, 20, 1, 0, 512)
