"""The verifier of one file takes and refuses the same proof files as the core."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import vectors_log

SCRIPT = Path(__file__).parents[2] / "deploy" / "verifier" / "tocsin_verify.py"
PROOFS = vectors_log.notes()["proofs"]


@pytest.fixture(scope="module")
def standalone() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tocsin_verify", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("case", PROOFS["valid"], ids=lambda case: case["name"])
def test_a_proof_file_is_taken(standalone: ModuleType, case: dict[str, Any]) -> None:
    policy = standalone.read_policy(PROOFS["policy"].encode())
    _, size, cosigners, index, entry = standalone.open_proof(case["proof"].encode(), policy)
    # a vector's bytes are hex where it is written down
    assert (size, index, entry) == (case["size"], case["index"], bytes.fromhex(case["entry"]))
    assert len(cosigners) == 2


@pytest.mark.parametrize("case", PROOFS["invalid"], ids=lambda case: case["name"])
def test_a_proof_file_with_a_fault_is_refused(standalone: ModuleType, case: dict[str, Any]) -> None:
    policy = standalone.read_policy(PROOFS["policy"].encode())
    with pytest.raises(standalone.Fault):
        standalone.open_proof(case["proof"].encode(), policy)
