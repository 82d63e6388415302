"""The contracts that the wheel carries."""

from __future__ import annotations

import json

import pytest
from tocsin_node.contracts import NAMES, load_artifact

MAX_CODE_BYTES = 24_576
"""EIP-170."""


@pytest.mark.parametrize("name", NAMES)
def test_an_artifact_can_be_loaded_and_is_small_enough_to_deploy(name: str) -> None:
    artifact = load_artifact(name)
    assert artifact.compiler.startswith("0.8.37")
    assert json.loads(artifact.abi_json)
    assert 0 < len(artifact.bytecode) < MAX_CODE_BYTES


def test_there_is_no_other() -> None:
    with pytest.raises(KeyError):
        load_artifact("GatedTarget")
