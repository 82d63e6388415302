"""The folder's tests use the kits of the store's."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "store"), str(_HERE.parents[1] / "protocol")]
