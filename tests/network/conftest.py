"""Network tests run real libp2p over loopback."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tocsin_node.mesh import hardening

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "protocol"))


@pytest.fixture(autouse=True)
def _collect_libp2p() -> Iterator[None]:
    # A cancelled libp2p node leaves sockets to the collector, which would warn in an unrelated later test.
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def long_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is barred stays so while a test looks at it."""
    monkeypatch.setattr(hardening, "_Record", partial(hardening._Record, next_bar=hardening.LONGEST_BAR_SECONDS))
