"""What each lever costs stands in the spec, to the unit."""

from __future__ import annotations

import pytest
from gas_table import measure, render, stored, write


async def test_gas_is_what_the_table_says(request: pytest.FixtureRequest) -> None:
    table = render(await measure())
    print(table)
    if request.config.getoption("--write-gas", default=False):
        write(table)
    assert table == stored(), "`pytest tests/contracts --write-gas` writes it anew"
