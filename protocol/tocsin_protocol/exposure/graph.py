"""Who hangs on whom: a graph of subjects, holdings and protocols (specs/exposure.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from ..errors import ExposureError
from ..quantities import money
from ..taxonomy import SubjectKind
from .manifest import CODE_LINKS, Amount, Link, SubjectId, subject_key


class NodeKind(StrEnum):
    """What a node stands for."""

    SUBJECT = "subject"
    HOLDING = "holding"
    CLAIM = "claim"
    PROTOCOL = "protocol"


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A subject by its key, a protocol by its name, a holding, or a claim on holdings by its subject's key."""

    kind: NodeKind
    name: str
    part: str = ""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Worked out once: nodes are looked up by the thousand for each signal.
        object.__setattr__(self, "_hash", hash((self.kind.value, self.name, self.part)))

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return f"{self.name}/{self.part}" if self.part else self.name


@dataclass(frozen=True, slots=True)
class Edge:
    """`weight` of `target`'s value is lost when `source` fails altogether. Raises ExposureError."""

    source: Node
    target: Node
    link: Link
    weight: float

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:  # NaN is not, either
            raise ExposureError(f"weight {self.weight} of {self.source} on {self.target} is not 0…1")


@dataclass(frozen=True, slots=True)
class ExposureGraph:
    """Nodes with their places, edges by either end, what holdings are worth, which are ours, what can reach those.

    Cycles are allowed: each node passes on what it takes.
    """

    own: str
    nodes: Mapping[Node, int]
    edges: tuple[Edge, ...]
    outgoing: Mapping[Node, tuple[Edge, ...]]
    incoming: Mapping[Node, tuple[Edge, ...]]
    amounts: Mapping[Node, Amount | None]
    own_holdings: tuple[Node, ...]
    upstream: frozenset[Node]
    upstream_keys: frozenset[str]

    def leads_to_us(self, kind: SubjectKind, value: str) -> bool:
        """Whether a path may lead from a subject to our holdings."""
        return subject_key(kind, value) in self.upstream_keys


def make_graph(own: str, edges: Iterable[Edge], amounts: Mapping[Node, Amount | None]) -> ExposureGraph:
    """A graph of these edges and holdings; raises ExposureError for holdings without an entry and bad money."""
    kept = tuple(edges)
    ends = {node: None for edge in kept for node in (edge.source, edge.target)}
    nodes = {node: at for at, node in enumerate({**ends, **dict.fromkeys(amounts)})}
    for node in nodes:
        if node.kind is NodeKind.HOLDING and node not in amounts:
            raise ExposureError(f"edge to {node}, which is no known holding")
    for node, amount in amounts.items():
        if node.kind is not NodeKind.HOLDING:
            raise ExposureError(f"amount of {node}, which is a {node.kind}")
        if amount is not None:
            money(f"amount of {node}", amount.micro_usd)
    outgoing, incoming = defaultdict(list), defaultdict(list)
    for edge in kept:
        outgoing[edge.source].append(edge)
        incoming[edge.target].append(edge)
    own_holdings = tuple(sorted(node for node in amounts if node.name == own))
    upstream = _upstream(own_holdings, outgoing, incoming)
    return ExposureGraph(
        own=own,
        nodes=MappingProxyType(nodes),
        edges=kept,
        outgoing=MappingProxyType({node: tuple(of) for node, of in outgoing.items()}),
        incoming=MappingProxyType({node: tuple(of) for node, of in incoming.items()}),
        amounts=MappingProxyType(dict(amounts)),
        own_holdings=own_holdings,
        upstream=upstream,
        upstream_keys=frozenset(node.name for node in upstream if node.kind is NodeKind.SUBJECT),
    )


def subject_node(subject: SubjectId) -> Node:
    """The node of a subject."""
    return Node(NodeKind.SUBJECT, subject.key)


def protocol_node(name: str) -> Node:
    """The node of a protocol."""
    return Node(NodeKind.PROTOCOL, name)


def holding_node(protocol: str, holding: str) -> Node:
    """The node of a holding."""
    return Node(NodeKind.HOLDING, protocol, holding)


def claim_node(protocol: str, key: str) -> Node:
    """The node of a protocol's own subject, as others hang on it."""
    return Node(NodeKind.CLAIM, protocol, key)


def _upstream(
    ours: Iterable[Node], outgoing: Mapping[Node, Sequence[Edge]], incoming: Mapping[Node, Sequence[Edge]]
) -> frozenset[Node]:
    """Every node from which a path may lead to our holdings, over shared code in both directions."""
    found = dict.fromkeys(ours)
    waiting = list(found)
    while waiting:
        node = waiting.pop()
        before = [edge.source for edge in incoming.get(node, ())]
        alike = [edge.target for edge in outgoing.get(node, ()) if edge.link in CODE_LINKS]
        for other in (*before, *alike):
            if other not in found:
                found[other] = None
                waiting.append(other)
    return frozenset(found)
