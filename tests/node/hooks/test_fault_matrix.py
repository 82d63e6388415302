"""Each fault with each hook: one effect, or a refusal that says why. The page shows what came of each.

A part of the cells is run each time; `make soak` runs them all.
"""

from __future__ import annotations

import pytest
from fault_kit import CASES
from fault_matrix import ALL_CELLS, CALL_CELLS, Cell, is_run_each_time, see
from fault_page import FIRST_LINE, LAST_LINE, PAGE, draw, read
from hook_kit import MAKERS


def _mark(cell: Cell) -> object:
    return pytest.param(cell, id="-".join(cell), marks=() if is_run_each_time(cell) else pytest.mark.soak)


@pytest.mark.parametrize("cell", [_mark(cell) for cell in ALL_CELLS])
async def test_what_comes_of_a_fault_is_what_the_page_shows(cell: Cell) -> None:
    assert await see(cell) == read(PAGE.read_text())[cell]


def test_the_page_has_every_cell_and_is_drawn_from_its_cells() -> None:
    page = PAGE.read_text()
    shown = read(page)
    assert set(shown) == set(ALL_CELLS)
    assert draw(shown) == page[page.index(FIRST_LINE) : page.index(LAST_LINE) + len(LAST_LINE)]


def test_the_page_has_no_third_outcome() -> None:
    """Two effects, a success without one, and an effect of what is said to have had none."""
    for cell, outcome in read(PAGE.read_text()).items():
        state = outcome.sentence.partition(":")[0]
        assert outcome.effects == 0 or state in ("", "unknown"), cell
        assert outcome.effects == 1 or state, cell


def test_the_short_form_has_each_hook_and_each_fault_several_times() -> None:
    short = [cell for cell in CALL_CELLS if is_run_each_time(cell)]
    assert min(sum(hook == name for hook, _, _ in short) for name in MAKERS) >= 3
    assert min(sum((fault, where) == case for _, fault, where in short) for case in CASES) >= 3
