from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# For the kits, which importlib mode does not find by itself.
for folder in (HERE, HERE.parent / "chain", HERE.parents[1] / "contracts"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from contract_kit import START_S  # noqa: E402
from tocsin_node.demo.anvil import Anvil, open_anvil  # noqa: E402


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    async with open_anvil("--timestamp", str(START_S)) as chain:
        yield chain
