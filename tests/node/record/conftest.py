"""The kits of store and protocol can be imported."""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(_TESTS / "node" / "store"), str(_TESTS / "protocol")]
