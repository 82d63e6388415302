"""Figures of a mesh run."""

from __future__ import annotations

import pytest
from tocsin_node.bench.figures import Usage, mesh_figures, percentile, shares


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 50) == 50.0
    assert percentile(values, 99) == 99.0
    assert percentile(list(reversed(values)), 99) == 99.0
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7.0


def test_percentile_of_nothing_is_nought() -> None:
    assert percentile([], 99) == 0.0


@pytest.mark.parametrize(("total", "parts"), [(10, 3), (5000, 5), (2, 5), (0, 2)])
def test_shares_add_up_and_differ_by_one_at_most(total: int, parts: int) -> None:
    shared = shares(total, parts)
    assert sum(shared) == total
    assert len(shared) == parts
    assert max(shared) - min(shared) <= 1


def test_cpu_is_of_all_nodes_and_memory_of_the_one_that_grew_most() -> None:
    before = [Usage(100.0, 1000), Usage(200.0, 2000)]
    after = [Usage(110.0, 1500), Usage(230.0, 2100)]
    figures = mesh_figures(10, 2, [1.0, 2.0, 3.0, 4.0], before, after)
    assert figures.cpu_ms_per_delivery == 10.0
    assert figures.rss_growth_bytes == 500
    assert (figures.sent, figures.expected, figures.delivered) == (10, 10, 4)


def test_a_run_that_delivered_nothing_still_has_figures() -> None:
    figures = mesh_figures(10, 2, [], [Usage(0.0, 0)], [Usage(5.0, 0)])
    assert figures.cpu_ms_per_delivery == 5.0
    assert figures.p99_ms == 0.0
