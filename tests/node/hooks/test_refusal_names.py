"""Errors of our own contracts have a name and a meaning wherever a revert is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tocsin_node.contracts as levers
from tocsin_node.chain.abi import decode_revert, parse_function
from tocsin_node.hooks.refusals import IN_EFFECT, describe, explain, meaning_of

OURS = {
    "TocsinGuardianModule": ("Refused(uint8)", "NoEffect(uint256,uint256)"),
    "TocsinBreaker": ("NotAbove(uint8)", "AssetHalted(address)", "OverLimit(address,uint256,uint256)"),
}


@pytest.mark.parametrize(("contract", "error"), [(name, error) for name, errors in OURS.items() for error in errors])
def test_an_error_of_ours_is_told_by_name_and_meaning(contract: str, error: str) -> None:
    path = Path(levers.__file__).parent / f"{contract}.json"
    abi = json.loads(path.read_text())["abi"]
    signatures = {f"{e['name']}({','.join(i['type'] for i in e['inputs'])})" for e in abi if e["type"] == "error"}
    assert error in signatures
    revert = decode_revert(parse_function(error).selector + bytes(96))
    assert revert is not None
    name = error.partition("(")[0]
    assert explain(revert) == f"{name}: {meaning_of(revert)}"
    assert meaning_of(revert) is not None


def test_what_is_in_effect_already_says_so_first() -> None:
    revert = "0x" + parse_function("NotAbove(uint8)").selector.hex()
    assert describe(revert) == f"{IN_EFFECT}: the simulation reverts with NotAbove"


def test_an_error_that_nobody_knows_is_shown_by_its_selector() -> None:
    assert explain("0xdeadbeef") == "0xdeadbeef"
    assert describe("no more of this") == "the simulation reverts with no more of this"
