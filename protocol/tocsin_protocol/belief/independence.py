"""Which reporters speak for themselves: the heaviest set of whom no two share a label (specs/belief.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..errors import BeliefError
from ..roster_model import Member, Publisher
from .search import find_heaviest

# A step is one reporter looked at once, half a µs at most: a search ends within some 30 ms, whatever the labels.
MAX_SEARCH_STEPS = 60_000
_MAX_KEPT = 256
# In nats. e^100 to one is more than anybody's word is worth, and 2,048 such weights still add up exactly.
MAX_WEIGHT = 100.0
# Weights are added as whole billionths of a nat: sums are exact, whatever the order.
UNITS_PER_NAT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Reporter:
    """A publisher with the labels that tie it to others and what it adds, in nats. Raises BeliefError."""

    publisher: bytes
    labels: frozenset[str]
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= MAX_WEIGHT:  # NaN is not, either
            raise BeliefError(f"reporter {self.publisher.hex()}: weight is {self.weight}, not 0…{MAX_WEIGHT}")


@dataclass(frozen=True, slots=True)
class IndependentSet:
    """Reporters of whom no two share a label, rising by id. Not exact: the search was cut short and errs low."""

    publishers: tuple[bytes, ...]
    weight: float
    steps: int
    is_exact: bool


@dataclass(frozen=True, slots=True)
class SharedLabel:
    """Why a reporter is not counted: the label, and who is counted with it."""

    label: str
    publisher: bytes


def labels_of(member: Member, publisher: Publisher) -> frozenset[str]:
    """All labels the roster gives a publisher: its organisation, its detectors' vendors and code, its RPC groups."""
    # [BELIEF] A publisher's labels are its member, its detectors' vendors and content hashes, and its RPC groups.
    return frozenset(
        (
            f"member {member.name}",
            *(f"vendor {detector.vendor}" for detector in publisher.detectors),
            *(f"code {detector.content_hash.hex()}" for detector in publisher.detectors),
            *(f"rpc {group}" for group in publisher.rpc_groups),
        )
    )


def heaviest_independent(reporters: Iterable[Reporter], max_steps: int = MAX_SEARCH_STEPS) -> IndependentSet:
    """The heaviest set of reporters of whom no two share a label; those of no weight are never in it.

    Of sets of one weight the search takes the first it meets, and it goes by weight and then by publisher id:
    the same reporters in any order give the same set.
    """
    return _search(tuple(_ranked(reporters)), max_steps)


# One decision asks for each lever who speaks for himself, and mostly of the same voices, as did the one before it.
@lru_cache(_MAX_KEPT)
def _search(ranked: tuple[Reporter, ...], max_steps: int) -> IndependentSet:
    numbered = _numbered(ranked)
    # Whoever shares no label with anybody is in the set.
    chosen = [index for index, held in enumerate(numbered) if held == ()]
    steps, is_exact = 0, True
    for group in _components(numbered):
        weights = [_units(ranked[index].weight) for index in group]
        tied = [numbered[index] or () for index in group]
        found = find_heaviest(weights, tied, max_steps - steps)
        chosen += [group[item] for item in found.chosen]
        steps, is_exact = steps + found.steps, is_exact and found.is_exact
    weight = sum(_units(ranked[index].weight) for index in chosen) / UNITS_PER_NAT
    return IndependentSet(tuple(sorted(ranked[index].publisher for index in chosen)), weight, steps, is_exact)


def largest_independent(reporters: Iterable[Reporter], max_steps: int = MAX_SEARCH_STEPS) -> IndependentSet:
    """The largest set of reporters of whom no two share a label, whatever their weights: `weight` is its size."""
    return heaviest_independent((Reporter(r.publisher, r.labels) for r in reporters), max_steps)


def shared_labels(reporters: Iterable[Reporter], chosen: IndependentSet) -> dict[bytes, SharedLabel]:
    """For each reporter who shares a label with one of the chosen: which, and with whom."""
    reporters = list(reporters)
    members = set(chosen.publishers)
    holders = {label: r.publisher for r in reporters if r.publisher in members for label in r.labels}
    shared = {}
    for reporter in reporters:
        if reporter.publisher not in members:
            for label in sorted(reporter.labels & holders.keys()):
                shared[reporter.publisher] = SharedLabel(label, holders[label])
                break
    return shared


def to_whole_units(weight: float) -> float:
    """A weight rounded to the unit in which weights are added."""
    return _units(weight) / UNITS_PER_NAT


def _units(weight: float) -> int:
    return round(weight * UNITS_PER_NAT)


def _ranked(reporters: Iterable[Reporter]) -> list[Reporter]:
    """By falling weight, then by id; each publisher once, and those who add nothing left out."""
    heaviest: dict[bytes, Reporter] = {}
    for reporter in reporters:
        known = heaviest.get(reporter.publisher)
        if known is None or (reporter.weight, sorted(reporter.labels)) > (known.weight, sorted(known.labels)):
            heaviest[reporter.publisher] = reporter
    weighty = [reporter for reporter in heaviest.values() if _units(reporter.weight)]
    return sorted(weighty, key=lambda reporter: (-_units(reporter.weight), reporter.publisher))


def _numbered(ranked: Sequence[Reporter]) -> list[tuple[int, ...] | None]:
    """The numbers of each one's shared labels, the most shared lowest; None if a heavier one has just the same."""
    holders = Counter(label for reporter in ranked for label in reporter.labels)
    shared = sorted((-count, label) for label, count in holders.items() if count > 1)
    numbers = {label: number for number, (_, label) in enumerate(shared)}
    numbered: list[tuple[int, ...] | None] = []
    seen: set[tuple[int, ...]] = set()
    for reporter in ranked:
        held = tuple(sorted(numbers[label] for label in reporter.labels if label in numbers))
        numbered.append(None if held in seen else held)
        if held:
            seen.add(held)
    return numbered


def _components(numbered: Sequence[tuple[int, ...] | None]) -> list[list[int]]:
    """Indices that chains of shared labels tie together; smaller groups first, so that a large one starves none."""
    leader: dict[int, int] = {}
    for held in numbered:
        if held:
            first = _find(leader, held[0])
            for label in held[1:]:
                leader[_find(leader, label)] = first
    groups: dict[int, list[int]] = {}
    for index, held in enumerate(numbered):
        if held:
            groups.setdefault(_find(leader, held[0]), []).append(index)
    return sorted(groups.values(), key=lambda group: (len(group), group))


def _find(leader: dict[int, int], label: int) -> int:
    """The label that leads this one's group (union-find, with the path halved on the way)."""
    while (above := leader.setdefault(label, label)) != label:
        leader[label] = label = leader[above]
    return label
