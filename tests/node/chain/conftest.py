from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tocsin_node.demo.anvil import Anvil, open_anvil

sys.path.insert(0, str(Path(__file__).parent))  # for chain_kit, which importlib mode does not find by itself

from chain_kit import Bench, open_bench


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    async with open_anvil() as chain:
        yield chain


@pytest.fixture
async def bench(anvil: Anvil) -> Bench:
    """An anvil with the three protocols, whose guardians are those of chain_kit."""
    return await open_bench(anvil)
