"""The folder's helper modules can be imported, and a node's database with one incident in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
sys.path.insert(0, str(Path(__file__).parents[2] / "protocol"))

from incident_kit import Scene, open_scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """The database stays open for writing, as a running node's is."""
    with open_scene(tmp_path / "data") as opened:
        yield opened
