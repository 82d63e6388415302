"""Circles in a graph: its strongly connected components, in an order in which harm flows (specs/exposure.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def find_components(successors: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The strongly connected components of nodes 0…n-1, each before those it leads to.

    Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1 (1972), with its stack written out:
    a chain of a thousand protocols must not meet the interpreter's recursion limit.
    """
    search = _Search(len(successors))
    for root in range(len(successors)):
        if search.found_at[root] < 0:
            search.walk(root, successors)
    return search.components[::-1]


class _Search:
    """One search: when each node was found, the oldest node it leads back to, and what is not yet in a component."""

    def __init__(self, size: int) -> None:
        self.found_at = [-1] * size
        self.components: list[tuple[int, ...]] = []
        self._oldest = [0] * size
        self._open: list[int] = []
        self._is_open = [False] * size
        self._clock = 0

    def walk(self, root: int, successors: Sequence[Sequence[int]]) -> None:
        """Find everything that can be reached from `root`."""
        path: list[tuple[int, Iterator[int]]] = [(root, self._enter(root, successors))]
        while path:
            node, rest = path[-1]
            following = next(rest, None)
            if following is None:
                path.pop()
                self._leave(node)
                if path:
                    self._lower(path[-1][0], self._oldest[node])
            elif self.found_at[following] < 0:
                path.append((following, self._enter(following, successors)))
            elif self._is_open[following]:
                self._lower(node, self.found_at[following])

    def _enter(self, node: int, successors: Sequence[Sequence[int]]) -> Iterator[int]:
        self.found_at[node] = self._oldest[node] = self._clock
        self._clock += 1
        self._open.append(node)
        self._is_open[node] = True
        return iter(successors[node])

    def _leave(self, node: int) -> None:
        if self._oldest[node] != self.found_at[node]:
            return
        members = [self._open.pop()]
        while members[-1] != node:
            members.append(self._open.pop())
        for member in members:
            self._is_open[member] = False
        self.components.append(tuple(sorted(members)))

    def _lower(self, node: int, oldest: int) -> None:
        self._oldest[node] = min(self._oldest[node], oldest)
