"""The folder's helper modules can be imported, and the vectors can be written anew."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_HERE = str(Path(__file__).parent)
if _HERE not in sys.path:
    sys.path.insert(0, _HERE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-vectors", action="store_true", help="write specs/vectors/*.json instead of comparing them"
    )
