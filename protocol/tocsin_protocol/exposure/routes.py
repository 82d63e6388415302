"""How a signal about something else reaches what is ours, and by which path (specs/exposure.md)."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .graph import ExposureGraph, Node, subject_node
from .manifest import CODE_LINKS, Link, SubjectId
from .shock import DEFAULT_ODDS, Odds, similar_hits

# Longer paths weigh next to nothing and nobody can check them in a minute.
MAX_ROUTE_STEPS = 12
# The heaviest paths are found first; ten milliseconds of them are enough for one subject.
MAX_ROUTE_NODES = 1_024


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """One link of a path: to which node, over what, and what part of it is lost."""

    node: Node
    link: Link
    weight: float


@dataclass(frozen=True, slots=True)
class Route:
    """The strongest path from a subject to one holding of ours; its weight is the product of its steps."""

    subject: SubjectId
    holding: str
    steps: tuple[Step, ...]
    weight: float

    @property
    def sentence(self) -> str:
        """The path in a line, such as `lineage compound-v2 → similar-code → ours/usdc`."""
        return " → ".join((self.subject.key, *(f"{step.link} → {step.node}" for step in self.steps)))


def find_routes(graph: ExposureGraph, subjects: Iterable[SubjectId], odds: Odds = DEFAULT_ODDS) -> tuple[Route, ...]:
    """Which of our holdings each subject reaches, the heaviest first; a subject that nobody names reaches none."""
    routes = [
        route
        for subject in sorted(set(subjects))
        if graph.leads_to_us(subject.kind, subject.value)
        for route in _from(graph, subject, odds)
    ]
    return tuple(sorted(routes, key=lambda route: (-route.weight, len(route.steps), route.holding, route.subject)))


def _from(graph: ExposureGraph, subject: SubjectId, odds: Odds) -> Iterator[Route]:
    """Best first: by weight, then by length, then by name, so that the answer is one."""
    # [EXPOSURE] Of all paths of at most MAX_ROUTE_STEPS steps the heaviest is told, of equals the shortest.
    queue: list[tuple[float, int, Node, tuple[Step, ...]]] = [(-1.0, 0, subject_node(subject), ())]
    settled: set[Node] = set()
    # [EXPOSURE] A search ends after MAX_ROUTE_NODES nodes; what it has not come to by then it does not tell.
    while queue and len(settled) < MAX_ROUTE_NODES:
        minus, length, node, steps = heapq.heappop(queue)
        if node in settled:
            continue
        settled.add(node)
        if node in graph.amounts and node.name == graph.own:
            yield Route(subject, node.part, steps, -minus)
        for more in _moves(graph, node, steps, odds):
            weight = minus * math.prod(step.weight for step in more)
            if more[-1].node in graph.upstream and length + len(more) <= MAX_ROUTE_STEPS:
                heapq.heappush(queue, (weight, length + len(more), more[-1].node, (*steps, *more)))


def _moves(graph: ExposureGraph, node: Node, steps: tuple[Step, ...], odds: Odds) -> Iterator[tuple[Step, ...]]:
    """Where to go from a node: over links of value always, over shared code only from what the signal itself hits."""
    for edge in graph.outgoing.get(node, ()):
        if edge.link not in CODE_LINKS:
            yield (Step(edge.target, edge.link, edge.weight),)
    if all(step.link is Link.PART for step in steps):
        for hit in similar_hits(graph, node, odds):
            arrive = Step(hit.node, hit.link, hit.likelihood)
            yield (arrive,) if hit.code == node else (Step(hit.code, hit.link, 1.0), arrive)
