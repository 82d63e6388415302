"""Distress over a whole graph: level by level in the order of flow, each circle settled at once (specs/exposure.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import ExposureError
from .circle import Circle, find_circle_distress, prepare_circle
from .components import find_components
from .graph import Edge, ExposureGraph, Node, NodeKind
from .manifest import CODE_LINKS, Link

_Array = npt.NDArray[np.float64]
_Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """Nodes that only earlier levels harm, or their own circle; and the edges that leave them, as arrays."""

    nodes: _Places
    circles: tuple[tuple[_Places, Circle], ...]
    sources: _Places
    targets: _Places
    weights: _Array


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """A graph made ready: its nodes in places 0…n-1, and levels in the order in which harm flows."""

    graph: ExposureGraph
    names: tuple[Node, ...]
    levels: tuple[_Level, ...]


def prepare_spread(graph: ExposureGraph) -> Spread:
    """Make a graph ready, once for each change of a manifest.

    Parallel links between two nodes add up, to 1 at most.
    """
    successors: list[dict[int, float]] = [{} for _ in graph.nodes]
    for edge in graph.edges:
        if edge.weight and passes_harm(edge):
            of, target = successors[graph.nodes[edge.source]], graph.nodes[edge.target]
            of[target] = min(1.0, of.get(target, 0.0) + edge.weight)
    components = find_components([tuple(of) for of in successors])
    levels = _levels(components, successors)
    return Spread(graph, tuple(graph.nodes), tuple(_level(level, successors) for level in levels))


def passes_harm(edge: Edge) -> bool:
    """Whether losses travel over an edge: not over shared code; a subject's hit is its holding's own shock."""
    return edge.link not in CODE_LINKS and not (edge.link is Link.PART and edge.source.kind is NodeKind.SUBJECT)


def spread_distress(spread: Spread, shock: Mapping[Node, float]) -> dict[Node, float]:
    """The distress above 0 of each node that a shock reaches; raises ExposureError for an unknown node or number."""
    distress = _distress(spread, shock)
    return {spread.names[place]: float(distress[place]) for place in np.flatnonzero(distress)}


def own_distress(spread: Spread, shock: Mapping[Node, float]) -> dict[Node, float]:
    """The same for our holdings alone, rising by name: what a decision needs, without naming everybody else."""
    distress = _distress(spread, shock)
    own = {node: float(distress[spread.graph.nodes[node]]) for node in spread.graph.own_holdings}
    return {node: value for node, value in own.items() if value}


def _distress(spread: Spread, shock: Mapping[Node, float]) -> _Array:
    """Level by level: take what flowed in, settle the circles, pass it on. No level harms an earlier one."""
    distress = np.zeros(len(spread.names))
    for node, value in shock.items():
        if node not in spread.graph.nodes:
            raise ExposureError(f"shock to {node}, which is not in the graph")
        if not 0 <= value <= 1:  # NaN is not, either
            raise ExposureError(f"shock to {node} is {value}, not 0…1")
        distress[spread.graph.nodes[node]] = value
    for level in spread.levels:
        distress[level.nodes] = np.minimum(1, distress[level.nodes])
        for places, circle in level.circles:
            distress[places] = find_circle_distress(circle, distress[places])
        np.add.at(distress, level.targets, level.weights * distress[level.sources])
    return distress


def _levels(
    components: Sequence[tuple[int, ...]], successors: Sequence[Mapping[int, float]]
) -> list[list[tuple[int, ...]]]:
    """Components by the longest path that leads to them; they come in an order in which harm flows."""
    component_of = {node: at for at, component in enumerate(components) for node in component}
    depth = [0] * len(components)
    for at, component in enumerate(components):
        for node in component:
            for target in successors[node]:
                if component_of[target] != at:
                    depth[component_of[target]] = max(depth[component_of[target]], depth[at] + 1)
    levels: list[list[tuple[int, ...]]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for at, component in enumerate(components):
        levels[depth[at]].append(component)
    return levels


def _level(components: Sequence[tuple[int, ...]], successors: Sequence[Mapping[int, float]]) -> _Level:
    nodes = [node for component in components for node in component]
    component_of = {node: at for at, component in enumerate(components) for node in component}
    leaving = [
        (node, target, weight)
        for node in nodes
        for target, weight in successors[node].items()
        if component_of.get(target) != component_of[node]
    ]
    circles = [c for c in components if len(c) > 1 or c[0] in successors[c[0]]]
    return _Level(
        nodes=np.array(nodes, dtype=np.int64),
        circles=tuple((np.array(c, dtype=np.int64), prepare_circle(c, successors)) for c in circles),
        sources=np.array([source for source, _, _ in leaving], dtype=np.int64),
        targets=np.array([target for _, target, _ in leaving], dtype=np.int64),
        weights=np.array([weight for _, _, weight in leaving], dtype=np.float64),
    )
