"""A node's record on disk, and its TAXII server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from taxii_kit import TaxiiDesk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[TaxiiDesk]:
    opened = TaxiiDesk(tmp_path / "data")
    yield opened
    opened.close()
