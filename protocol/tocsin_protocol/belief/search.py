"""The heaviest set of conflicting items, exact within a bound: branch and bound under Lagrangian prices.

Items hold labels; two that share one exclude each other. A price on every label gives an upper bound for any
prices at all: what all labels cost, and what any item is worth beyond its labels (Lagrangian relaxation; Held,
Wolfe and Crowder, "Validation of subgradient optimization", Mathematical Programming 6, 1974). Weights are
integers, so sums are exact and neither order nor rounding decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

# Most sets that occur are proven within this; only what is not is worth finding better prices for.
CHEAP_SEARCH_STEPS = 200
# The bound hardly falls after that many; each costs 20 to 50 µs.
PRICE_ROUNDS = 96

_GREEDY_EVERY = 8
_PATIENCE = 6
_SHORTEN = 0.7


@dataclass(frozen=True, slots=True)
class Found:
    """A set of items that exclude nobody in it. A step is one item looked at once."""

    weight: int
    chosen: tuple[int, ...]
    steps: int
    is_exact: bool


@dataclass(frozen=True, slots=True)
class _Problem:
    """Weights fall; item i holds the labels with the numbers `held[i]`, at least one, and the bits of `masks[i]`.

    Every weight is a multiple of `unit`: a set is the heaviest once the bound is less than one unit above it.
    """

    weights: Sequence[int]
    held: Sequence[tuple[int, ...]]
    masks: Sequence[int]
    unit: int


def find_heaviest(weights: Sequence[int], held: Sequence[tuple[int, ...]], max_steps: int) -> Found:
    """The heaviest set of items of whom no two hold one label; the best one found when `max_steps` do not suffice.

    `weights` are positive and fall; `held` are the numbers of each one's labels, rising, at least one; a label that
    more items hold has the lower number. Numbers may have gaps.
    """
    problem = _Problem(weights, held, [sum(1 << label for label in own) for own in held], math.gcd(*weights))
    prices = _cover_prices(problem)
    start = Found(*_greedy(problem, range(len(weights))), steps=0, is_exact=False)
    found = _branch(problem, prices, range(len(weights)), start, min(max_steps, CHEAP_SEARCH_STEPS))
    rounds = min(PRICE_ROUNDS, (max_steps - found.steps) // len(weights))
    if found.is_exact or rounds < 1:
        return found
    prices, found = _better_prices(problem, found, rounds)
    return _branch(problem, prices, _survivors(problem, prices, found.weight), found, max_steps)


def _greedy(problem: _Problem, order: Iterable[int]) -> tuple[int, tuple[int, ...]]:
    """Weight and items of the set that takes whoever still can be taken, in this order."""
    taken = weight = 0
    chosen = []
    for item in order:
        if not problem.masks[item] & taken:
            taken |= problem.masks[item]
            weight += problem.weights[item]
            chosen.append(item)
    return weight, tuple(chosen)


def _cover_prices(problem: _Problem) -> list[int]:
    """First prices: each item not yet covered, heaviest first, puts its weight on the label that most hold."""
    prices = [0] * (1 + max(map(max, problem.held)))
    covered: set[int] = set()
    for weight, held in zip(problem.weights, problem.held, strict=True):
        if covered.isdisjoint(held):
            prices[held[0]] = weight
            covered.add(held[0])
    return prices


def _excesses(problem: _Problem, prices: Sequence[int]) -> list[int]:
    """What each item is worth beyond the prices of its labels; negative: what choosing it would lose."""
    return [
        weight - sum([prices[label] for label in held])
        for weight, held in zip(problem.weights, problem.held, strict=True)
    ]


def _survivors(problem: _Problem, prices: Sequence[int], best: int) -> list[int]:
    """The items that can be in a set heavier than `best`: choosing any other loses more than the bound's slack."""
    excesses = _excesses(problem, prices)
    bound = sum(prices) + sum(excess for excess in excesses if excess > 0)
    return [item for item, excess in enumerate(excesses) if bound + min(0, excess) >= best + problem.unit]


def _branch(problem: _Problem, prices: Sequence[int], items: Iterable[int], start: Found, max_steps: int) -> Found:
    """Search on from `start` for a heavier set within `items`, depth first, dearest label first."""
    masks, weights = problem.masks, problem.weights
    excesses = _excesses(problem, prices)
    best, steps = start.weight, start.steps
    chosen: _Path = None
    # An entry: who was free before, the labels that are now taken or given up, the weight and the choices so far.
    stack: list[tuple[list[int], int, int, _Path]] = [(list(items), 0, 0, None)]
    while stack:
        before, barred, weight, path = stack.pop()
        steps += len(before) + 1
        if steps > max_steps:
            break
        if weight > best:
            best, chosen = weight, path
        free = [item for item in before if not masks[item] & barred]
        label = _dearest_label(free, masks, prices, excesses, best - weight + problem.unit)
        if label < 0:
            continue
        holders = [item for item in free if masks[item] >> label & 1]
        stack.append((free, 1 << label, weight, path))
        for item in sorted(holders, key=lambda item: (excesses[item], -item)):
            stack.append((free, masks[item], weight + weights[item], (item, path)))
    if chosen is None:
        return replace(start, steps=min(steps, max_steps), is_exact=steps <= max_steps)
    # A search that was cut short may have stopped on the way to a set: whoever still fits is in it.
    best, items = _greedy(problem, (*_unrolled(chosen), *range(len(weights))))
    return Found(best, items, min(steps, max_steps), is_exact=steps <= max_steps)


_Path = tuple[int, "_Path"] | None


def _unrolled(path: _Path) -> tuple[int, ...]:
    items = []
    while path is not None:
        item, path = path
        items.append(item)
    return tuple(items)


def _dearest_label(
    free: list[int], masks: Sequence[int], prices: Sequence[int], excesses: Sequence[int], wanted: int
) -> int:
    """The label to decide on next; -1 when the free items cannot weigh `wanted` together."""
    present = 0
    bound = 0
    for item in free:
        present |= masks[item]
        if excesses[item] > 0:
            bound += excesses[item]
    dearest = -1
    for label in _bits_of(present):
        bound += prices[label]
        if dearest < 0 or prices[label] > prices[dearest]:
            dearest = label
    return dearest if bound >= wanted else -1


def _bits_of(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set, rising."""
    while mask:
        yield (mask & -mask).bit_length() - 1
        mask &= mask - 1


def _better_prices(problem: _Problem, found: Found, rounds: int) -> tuple[list[int], Found]:
    """Prices by the subgradient method, from nothing up: those of a cover are a kink where it would stay.

    A label that several want gets dearer, one that nobody wants cheaper; whoever is worth most beyond his labels
    shows a good set on the way. The last price is that of no label, always 0.
    """
    weights = np.array(problem.weights, dtype=np.float64)
    held = _label_table(problem)
    current = np.zeros(int(held.max()) + 1)
    best, least, scale, failed, steps = current, np.inf, 1.0, 0, found.steps
    for turn in range(rounds):
        steps += len(weights)
        excess = weights - current[held].sum(axis=1)
        worth = excess > 0
        bound = float(current.sum() + excess[worth].sum())
        if bound < least:
            best, least, failed = current, bound, 0
        else:
            failed += 1
        if turn % _GREEDY_EVERY == 0:
            weight, chosen = _greedy(problem, np.argsort(-excess, kind="stable").tolist())
            if weight > found.weight:
                found = Found(weight, chosen, steps, is_exact=False)
        if failed >= _PATIENCE:
            current, scale, failed = best, scale * _SHORTEN, 0
            continue
        slope = 1.0 - np.bincount(held[worth].ravel(), minlength=len(current))
        slope[(current <= 0) & (slope > 0)] = 0
        slope[-1] = 0
        length = float(slope @ slope)
        if least < found.weight + problem.unit or length == 0:
            break
        current = np.maximum(0, current - scale * (bound - found.weight) / length * slope)
    return np.rint(best[:-1]).astype(int).tolist(), Found(found.weight, found.chosen, steps, is_exact=False)


def _label_table(problem: _Problem) -> npt.NDArray[np.intp]:
    """One row for each item with the numbers of its labels, filled up to one more with the number of none."""
    none = 1 + max(map(max, problem.held))
    width = 1 + max(map(len, problem.held))
    return np.array([(*held, *[none] * (width - len(held))) for held in problem.held], dtype=np.intp)
