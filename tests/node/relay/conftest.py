"""The relay's tests share the rules and levers of the store's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tocsin_node.relay import supervisor

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
sys.path.insert(0, str(Path(__file__).parents[2] / "protocol"))


@pytest.fixture
def never_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a moment is not taken for a frozen mesh."""
    monkeypatch.setattr(supervisor, "FROZEN_SECONDS", 60.0)
