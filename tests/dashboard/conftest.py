"""The dashboard in a real browser, over a feed with a record, and over a running node."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
sys.path.insert(0, str(Path(__file__).parents[1] / "protocol"))
sys.path.insert(0, str(Path(__file__).parents[1] / "node" / "store"))
sys.path.insert(0, str(Path(__file__).parents[1] / "node" / "api"))

from api_kit import Desk
from browser_kit import Page, open_page


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A node's record, without a relay."""
    opened = Desk(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A browser's one page."""
    async with open_page() as opened:
        yield opened
