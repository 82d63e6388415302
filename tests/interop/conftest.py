"""Interop tests: js-libp2p peers beside our own nodes, over loopback."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

JS_DIR = Path(__file__).parent / "js"
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "network")]


@pytest.fixture(scope="session", autouse=True)
def _js_is_installed() -> None:
    """A missing set-up fails with the sentence that cures it."""
    if shutil.which("node") is None:
        pytest.fail("node is not on the PATH: the interop tests need Node 20 or newer", pytrace=False)
    if not (JS_DIR / "node_modules" / "libp2p").is_dir():
        pytest.fail(f"{JS_DIR.name}/node_modules is missing: run `make set-up`", pytrace=False)


@pytest.fixture
def js_dir() -> Path:
    """The folder of the js implementation."""
    return JS_DIR
