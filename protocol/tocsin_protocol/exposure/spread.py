"""Distress over a whole graph: circles solved at once, everything else passed down in one sweep (specs/exposure.md)."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import ExposureError
from ..quantities import probability
from .components import find_components
from .contagion import MAX_CIRCLE_NODES, DebtRank, find_distress, prepare_debtrank
from .graph import Edge, ExposureGraph, Node, NodeKind
from .manifest import CODE_LINKS, Link


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Nodes that harm one another, or one that harms none back; `leaving` are their edges to later groups."""

    nodes: tuple[int, ...]
    leaving: tuple[tuple[tuple[int, float], ...], ...]
    circle: DebtRank | None


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """A graph made ready: groups in the order in which harm flows, and the group of each node."""

    graph: ExposureGraph
    names: tuple[Node, ...]
    groups: tuple[_Group, ...]
    group_of: tuple[int, ...]


def prepare_spread(graph: ExposureGraph) -> Spread:
    """Make a graph ready, once for each change of a manifest; raises ExposureError for a circle that is too large.

    Parallel links between two nodes add up, to 1 at most.
    """
    successors: list[dict[int, float]] = [{} for _ in graph.nodes]
    for edge in graph.edges:
        if edge.weight and passes_harm(edge):
            of = successors[graph.nodes[edge.source]]
            target = graph.nodes[edge.target]
            of[target] = min(1.0, of.get(target, 0.0) + edge.weight)
    components = find_components([tuple(of) for of in successors])
    group_of = [0] * len(successors)
    for at, component in enumerate(components):
        for node in component:
            group_of[node] = at
    groups = tuple(_group(component, successors) for component in components)
    return Spread(graph, tuple(graph.nodes), groups, tuple(group_of))


def passes_harm(edge: Edge) -> bool:
    """Whether losses travel over an edge: not over shared code; a subject's hit is its holding's own shock."""
    return edge.link not in CODE_LINKS and not (edge.link is Link.PART and edge.source.kind is NodeKind.SUBJECT)


def spread_distress(spread: Spread, shock: Mapping[Node, float]) -> dict[Node, float]:
    """The distress above 0 of each node that a shock reaches; raises ExposureError for an unknown node or number.

    The work is that of the edges reached, not of the graph: each group is settled once, after all before it.
    """
    inflow: defaultdict[int, float] = defaultdict(float)
    for node, value in shock.items():
        if node not in spread.graph.nodes:
            raise ExposureError(f"shock to {node}, which is not in the graph")
        if probability(f"shock to {node}", value):
            inflow[spread.graph.nodes[node]] = value
    due = sorted({spread.group_of[node] for node in inflow})
    known = set(due)
    distress: dict[Node, float] = {}
    while due:
        group = spread.groups[heapq.heappop(due)]
        for at, value in enumerate(_settle(group, inflow)):
            if not value:
                continue
            distress[spread.names[group.nodes[at]]] = value
            for target, weight in group.leaving[at]:
                inflow[target] += weight * value
                if spread.group_of[target] not in known:
                    known.add(spread.group_of[target])
                    heapq.heappush(due, spread.group_of[target])
    return distress


def _settle(group: _Group, inflow: Mapping[int, float]) -> list[float]:
    """The distress of a group's nodes, given all that flows in from before it."""
    shock = [min(1.0, inflow.get(node, 0.0)) for node in group.nodes]
    if group.circle is None:
        return shock
    settled: list[float] = find_distress(group.circle, shock).tolist()
    return settled


def _group(component: tuple[int, ...], successors: list[dict[int, float]]) -> _Group:
    place = {node: at for at, node in enumerate(component)}
    leaving = tuple(tuple((to, w) for to, w in successors[node].items() if to not in place) for node in component)
    if len(component) == 1 and component[0] not in successors[component[0]]:
        return _Group(component, leaving, None)
    if len(component) > MAX_CIRCLE_NODES:
        raise ExposureError(f"{len(component)} nodes hang together in circles, more than {MAX_CIRCLE_NODES}")
    weights = np.zeros((len(component), len(component)))
    for node, at in place.items():
        for target, weight in successors[node].items():
            if target in place:
                weights[at, place[target]] = weight
    return _Group(component, leaving, prepare_debtrank(weights))
