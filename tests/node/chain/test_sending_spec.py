"""specs/sending.md and the code have the same limits."""

from __future__ import annotations

import importlib
from pathlib import Path

PAGE = (Path(__file__).parents[3] / "specs" / "sending.md").read_text()


def test_limits_are_those_of_the_code() -> None:
    rows = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) > 10
    for name, module, value, _ in ([cell.strip() for cell in row] for row in rows):
        found = getattr(importlib.import_module(f"tocsin_node.{module.strip('`')}"), name)
        assert found == int(value), name
