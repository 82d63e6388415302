"""Draw what stands in these pages and follows from a table of the code: `python specs/draw.py`."""

from __future__ import annotations

from pathlib import Path

from tocsin_protocol.containment.drawing import redraw

PAGE = Path(__file__).parent / "containment.md"

if __name__ == "__main__":
    PAGE.write_text(redraw(PAGE.read_text()))
