"""What a node starts is its own package, never a module that lies in the folder it was started in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tocsin_node

PACKAGE = Path(tocsin_node.__file__).parent
# Started by people at their desk, with what is theirs.
AT_THE_DESK = {"bench", "demo"}
STARTS = [
    (str(path.relative_to(PACKAGE)), options)
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] not in AT_THE_DESK
    for options in re.findall(r'sys\.executable, (.*?)"-m"', path.read_text())
]


def test_mesh_feed_exporter_and_the_process_that_checks_signatures_are_found() -> None:
    assert len(STARTS) == 4


@pytest.mark.parametrize(("module", "options"), STARTS)
def test_the_folder_it_stands_in_is_left_out(module: str, options: str) -> None:
    assert options == '"-P", ', module
