"""Network tests run real libp2p over loopback."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "protocol"))


@pytest.fixture(autouse=True)
def _collect_libp2p() -> Iterator[None]:
    # A cancelled libp2p node leaves sockets to the collector, which would warn in an unrelated later test.
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
