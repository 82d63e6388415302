"""The graph that manifests make together (specs/exposure.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence

from ..errors import ExposureError
from ..taxonomy import SubjectKind
from .graph import (
    Edge,
    ExposureGraph,
    Node,
    NodeKind,
    claim_node,
    holding_node,
    make_graph,
    protocol_node,
    subject_node,
)
from .manifest import CODE_LINKS, SHARE_WHOLE_PPM, Dependency, Holding, Link, Manifest, SubjectId

MAX_PROTOCOLS = 1_024


def build_graph(own: Manifest, others: Iterable[Manifest] = ()) -> ExposureGraph:
    """The graph of our manifest and those of others; raises ExposureError naming what does not fit.

    A protocol appears once: choose the manifest that was issued last.
    """
    manifests = (own, *others)
    names = {manifest.protocol for manifest in manifests}
    if len(names) != len(manifests):
        raise ExposureError("two manifests of one protocol where one is wanted")
    if len(manifests) > MAX_PROTOCOLS:
        raise ExposureError(f"{len(manifests)} manifests where at most {MAX_PROTOCOLS} are allowed")
    claims = {
        claim_node(manifest.protocol, key): holdings
        for manifest in manifests
        for key, holdings in _claimed(manifest).items()
    }
    edges = [edge for manifest in manifests for edge in _edges(manifest, claims)]
    used = {edge.source for edge in edges}
    edges += [edge for claim, holdings in claims.items() if claim in used for edge in _backing(claim, holdings)]
    amounts = {
        _holding_node(manifest, holding): holding.amount for manifest in manifests for holding in manifest.holdings
    }
    return make_graph(own.protocol, (*edges, *_chain_edges(own, edges)), amounts)


def _holding_node(manifest: Manifest, holding: Holding) -> Node:
    return holding_node(manifest.protocol, holding.name)


def _claimed(manifest: Manifest) -> dict[str, list[Holding]]:
    """The subjects that a protocol says are its own, by key, and the holdings behind each."""
    claimed: dict[str, list[Holding]] = defaultdict(list)
    for holding in manifest.holdings:
        for key in dict.fromkeys(subject.key for subject in holding.subjects):
            claimed[key].append(holding)
    by_name = {holding.name: holding for holding in manifest.holdings}
    for token in manifest.tokens:
        behind = claimed[SubjectId(SubjectKind.ASSET, token.asset).key]
        # [EXPOSURE] A token that names no holding is a claim on all of them.
        backing = [by_name[token.holding]] if token.holding else manifest.holdings
        behind += [holding for holding in backing if holding not in behind]
    return claimed


def _backing(claim: Node, holdings: Sequence[Holding]) -> Iterator[Edge]:
    for holding, part in _parts(holdings):
        yield Edge(holding_node(claim.name, holding.name), claim, Link.PART, part)


def _parts(holdings: Sequence[Holding]) -> list[tuple[Holding, float]]:
    # [EXPOSURE] Of several holdings each is its part of their known amounts; without an amount it is all of them.
    total = sum(h.amount.micro_usd for h in holdings if h.amount is not None)
    return [
        (h, 1.0 if h.amount is None else h.amount.micro_usd / total if total else 1 / len(holdings)) for h in holdings
    ]


def _edges(manifest: Manifest, claims: Container[Node]) -> Iterator[Edge]:
    for holding, part in _parts(manifest.holdings):
        yield Edge(_holding_node(manifest, holding), protocol_node(manifest.protocol), Link.PART, part)
    for key, holdings in _claimed(manifest).items():
        for holding in holdings:
            yield Edge(Node(NodeKind.SUBJECT, key), _holding_node(manifest, holding), Link.PART, 1.0)
    by_name = {holding.name: holding for holding in manifest.holdings}
    for dependency in manifest.dependencies:
        source = _source(dependency, claims)
        for holding in [by_name[dependency.holding]] if dependency.holding else manifest.holdings:
            yield Edge(source, _holding_node(manifest, holding), dependency.link, _weight(dependency, holding))


def _source(dependency: Dependency, claims: Container[Node]) -> Node:
    # [EXPOSURE] Harm passes from one protocol to another only where both declare it.
    claim = claim_node(dependency.provider, dependency.subject.key)
    return claim if claim in claims and dependency.link not in CODE_LINKS else subject_node(dependency.subject)


def _weight(dependency: Dependency, holding: Holding) -> float:
    # [EXPOSURE] A link weighs its share of the amount that hangs on it, as a part of the holding, at most all of it.
    share = dependency.share_ppm / SHARE_WHOLE_PPM
    # [EXPOSURE] Where either amount is not known, or the holding's is 0, the whole holding hangs on it.
    if dependency.amount is None or holding.amount is None or not holding.amount.micro_usd:
        return share
    return share * min(1.0, dependency.amount.micro_usd / holding.amount.micro_usd)


def _chain_edges(own: Manifest, edges: Iterable[Edge]) -> Iterator[Edge]:
    """Our holdings hear of their chains, at no weight where the manifest gives none."""
    said = {(edge.source, edge.target) for edge in edges if edge.link is Link.CHAIN}
    for holding in own.holdings:
        node = _holding_node(own, holding)
        for chain in sorted({subject.chain for subject in holding.subjects if subject.chain is not None}):
            source = subject_node(SubjectId(SubjectKind.CHAIN, chain))
            # [EXPOSURE] Our holdings are told of their chains even where no link names them; that link weighs nothing.
            if (source, node) not in said:
                yield Edge(source, node, Link.CHAIN, 0.0)
