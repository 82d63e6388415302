"""Interop tests: js-libp2p peers beside our own nodes, over loopback; Go's verifier over our logs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

JS_DIR = Path(__file__).parent / "js"
_TESTS = Path(__file__).parent.parent
_KITS = ("interop", "network", "protocol", "node/store", "node/record")
sys.path[:0] = [str(_TESTS / folder) for folder in _KITS]


@pytest.fixture(scope="module", autouse=True)
def _js_is_installed(request: pytest.FixtureRequest) -> None:
    """A missing set-up fails with the sentence that cures it."""
    if request.path.name.startswith(("test_go_", "test_opencti")):
        return
    if shutil.which("node") is None:
        pytest.fail("node is not on the PATH: the interop tests need Node 20 or newer", pytrace=False)
    if not (JS_DIR / "node_modules" / "libp2p").is_dir():
        pytest.fail(f"{JS_DIR.name}/node_modules is missing: run `make set-up`", pytrace=False)


@pytest.fixture
def js_dir() -> Path:
    """The folder of the js implementation."""
    return JS_DIR
