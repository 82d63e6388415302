"""The contracts' own tests run on anvil."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tocsin_node.demo.anvil import Anvil, open_anvil

sys.path.insert(0, str(Path(__file__).parent))  # for the kits, which importlib mode does not find by itself

from contract_kit import START_S


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-gas", action="store_true", help="write the gas table of specs/contracts.md anew")


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    async with open_anvil("--timestamp", str(START_S)) as chain:
        yield chain
