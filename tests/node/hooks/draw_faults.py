"""Draw the tables of specs/containment-faults.md: `python tests/node/hooks/draw_faults.py` runs every cell.

It takes some minutes, writes nothing where a cell is a third outcome, and changes nothing where nothing changed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "chain", HERE.parents[1] / "contracts"):
    sys.path.insert(0, str(folder))

import fault_matrix  # noqa: E402
import trio  # noqa: E402
from fault_kit import Outcome  # noqa: E402
from fault_matrix import ALL_CELLS, Cell  # noqa: E402
from fault_page import PAGE, redraw  # noqa: E402

AT_ONCE = 2


async def see_all() -> tuple[dict[Cell, Outcome], list[str]]:
    """Run every cell; return what came of each, and the cells that are a third outcome."""
    seen: dict[Cell, Outcome] = {}
    faults: list[str] = []
    limit = trio.CapacityLimiter(AT_ONCE)

    async def see(cell: Cell) -> None:
        async with limit:
            try:
                seen[cell] = await fault_matrix.see(cell)
            except Exception as exc:  # noqa: BLE001 - a cell that fails is told of at the end, with its name
                faults.append(f"{cell}: {exc!r}")

    async with trio.open_nursery() as nursery:
        for cell in ALL_CELLS:
            nursery.start_soon(see, cell)
    return seen, faults


def main() -> int:
    begun = time.monotonic()
    seen, faults = trio.run(see_all)
    if faults:
        sys.stderr.write("\n".join([*faults, f"{len(faults)} cells are neither one effect nor a refusal\n"]))
        return 1
    PAGE.write_text(redraw(PAGE.read_text(), seen))
    sys.stdout.write(f"{len(seen)} cells in {time.monotonic() - begun:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
