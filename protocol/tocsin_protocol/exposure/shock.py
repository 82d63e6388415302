"""What a signal hits at once: how hard, and who runs the same code (specs/exposure.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from ..correlation import META_FAMILY
from ..errors import ExposureError
from ..model import Loss, Signal
from ..quantities import probability
from ..taxonomy import THREATENED_ROLES, Role, Stage, SubjectKind
from .graph import ExposureGraph, Node, NodeKind, subject_node
from .manifest import CODE_LINKS, Link, SubjectId

# The families in which an asset that is a victim beside an account is what was taken, and not what failed.
TAKING_FAMILIES = frozenset(("asset", "flashloan"))
# What part of the harm is expected still to come, if what the signal says is true.
STAGE_SHOCK = {
    Stage.FUNDING: 0.05,
    Stage.PREPARATION: 0.3,
    Stage.EXPLOITATION: 1.0,
    Stage.LAUNDERING: 0.3,
}
# How likely one who runs the same code is hit as well, before anybody can look.
SIMILAR_HIT = {
    SubjectKind.CODE_HASH: 0.5,
    SubjectKind.LINEAGE: 0.1,
    SubjectKind.DEPENDENCY: 0.1,
}

# The signals of a busy incident are asked about again with each new one.
_MAX_KEPT = 8192


@dataclass(frozen=True, slots=True)
class Odds:
    """Judgement in numbers, which an operator may set otherwise: each table is complete. Raises ExposureError."""

    stage: Mapping[Stage, float] = field(default_factory=lambda: STAGE_SHOCK)
    similar: Mapping[SubjectKind, float] = field(default_factory=lambda: SIMILAR_HIT)

    def __post_init__(self) -> None:
        if set(self.stage) != set(STAGE_SHOCK) or set(self.similar) != set(SIMILAR_HIT):
            raise ExposureError("odds lack a stage or a kind of code, or name one more")
        for name, odds in (*self.stage.items(), *self.similar.items()):
            probability(f"odds of {name}", odds)


DEFAULT_ODDS = Odds()


class SimilarHit(NamedTuple):
    """A holding that runs the code of one that is hit, and how likely it is hit as well."""

    node: Node
    code: Node
    link: Link
    likelihood: float


@lru_cache(_MAX_KEPT)
def touching_subjects(signal: Signal) -> tuple[SubjectId, ...]:
    """The subjects of a signal that anybody's holdings may hang on, each once, rising."""
    # [EXPOSURE] A signal about signals touches nothing.
    if signal.category.family == META_FAMILY:
        return ()
    # [EXPOSURE] Only what a signal names in one of THREATENED_ROLES is touched.
    threatened = [subject for subject in signal.subjects if subject.role in THREATENED_ROLES]
    # [EXPOSURE] A whole chain is touched only by a signal that threatens nothing narrower.
    narrow = [subject for subject in threatened if subject.kind is not SubjectKind.CHAIN]
    # [EXPOSURE] In TAKING_FAMILIES a victim asset beside a victim account is what was taken, and touches nobody.
    victims = {subject.kind for subject in narrow if subject.role is Role.VICTIM}
    if signal.category.family in TAKING_FAMILIES and SubjectKind.ACCOUNT in victims:
        narrow = [s for s in narrow if s.kind is not SubjectKind.ASSET or s.role is not Role.VICTIM]
    return tuple(sorted({SubjectId(subject.kind, subject.value) for subject in narrow or threatened}))


def find_shock(graph: ExposureGraph, signal: Signal, odds: Odds = DEFAULT_ODDS) -> dict[Node, float]:
    """The share 0…1 of each node's value expected to be lost at once, if the signal is true; empty: it touches nobody.

    What follows from it is `spread_distress`.
    """
    shock: dict[Node, float] = {}
    # [EXPOSURE] A shock is the stage's part of the harm.
    stage = odds.stage[signal.stage]
    for subject in touching_subjects(signal):
        node = subject_node(subject)
        if node in graph.nodes:
            _hit(shock, node, stage)
            for holding in _behind(graph, node):
                _hit(shock, holding, stage * _stated_share(graph, node, signal.loss))
    direct = dict(shock)
    for node, value in direct.items():
        for alike in similar_hits(graph, node, odds):
            _hit(shock, alike.node, value * alike.likelihood)
    return shock


def merge_shocks(one: Mapping[Node, float], other: Mapping[Node, float]) -> dict[Node, float]:
    """The shock of two signals about one event: the harder one for each node, in whatever order they come."""
    # [EXPOSURE] Of several shocks to one node, by one signal or many, the hardest counts.
    merged = dict(one)
    for node, value in other.items():
        _hit(merged, node, value)
    return merged


def similar_hits(graph: ExposureGraph, node: Node, odds: Odds = DEFAULT_ODDS) -> Iterator[SimilarHit]:
    """The holdings that share code with a node that is hit, or run it if it is the code that is named."""
    # [EXPOSURE] Who runs code that is named is hit with SIMILAR_HIT of its kind times the share of his link.
    likelihood = _likelihood(odds, node)
    for edge in graph.outgoing.get(node, ()):
        if edge.link in CODE_LINKS:
            yield SimilarHit(edge.target, node, edge.link, likelihood * edge.weight)
    # [EXPOSURE] Who runs the code of a holding hit at once is hit with SIMILAR_HIT times both shares, and no further.
    for inward in graph.incoming.get(node, ()):
        if inward.link is Link.SIMILAR_CODE:
            likelihood = _likelihood(odds, inward.source) * inward.weight
            for edge in graph.outgoing[inward.source]:
                if edge.target != node:
                    yield SimilarHit(edge.target, inward.source, edge.link, likelihood * edge.weight)


def _behind(graph: ExposureGraph, node: Node) -> list[Node]:
    """The holdings that a subject is a part of."""
    return [edge.target for edge in graph.outgoing.get(node, ()) if edge.link is Link.PART]


def _stated_share(graph: ExposureGraph, node: Node, loss: Loss) -> float:
    # [EXPOSURE] A stated loss scales the shock to others' holdings only, where all their amounts are known.
    stated = loss.observed_micro_usd + loss.at_risk_micro_usd
    behind = _behind(graph, node)
    amounts = [graph.amounts[holding] for holding in behind]
    total = sum(amount.micro_usd for amount in amounts if amount is not None)
    if not stated or not total or None in amounts or any(holding.name == graph.own for holding in behind):
        return 1.0
    return min(1.0, stated / total)


def _likelihood(odds: Odds, code: Node) -> float:
    """By the kind of code, which is the first word of a subject's key."""
    return odds.similar.get(SubjectKind(code.name.split(" ", 1)[0]), 0.0) if code.kind is NodeKind.SUBJECT else 0.0


def _hit(shock: dict[Node, float], node: Node, value: float) -> None:
    if value > 0:
        shock[node] = max(shock.get(node, 0.0), value)
