"""What operators deploy by: units, containers, dashboards, rules, the guide; each judged by the tool that reads it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
