"""OpenCTI keeps of our objects what specs/stix.md promises, by its own code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import stix_kit as kit
from protocol_kit import ATTACKER
from tocsin_protocol.stix.naming import checksum_address

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "build" / "opencti"
SPLIT = Path(__file__).parent / "opencti" / "split.py"


@pytest.fixture(scope="module")
def split() -> dict[str, Any]:
    """What becomes of all kinds of objects."""
    if not (PACKAGES / "pycti").is_dir():
        pytest.fail("build/opencti is missing: run `make set-up`", pytrace=False)
    bundle = json.dumps(kit.bundle(kit.everything()))
    # its library of dates warns of what Python will do without one day
    command = [sys.executable, "-W", "ignore", str(SPLIT), str(PACKAGES)]
    told = subprocess.run(command, input=bundle, capture_output=True, text=True, check=True, timeout=120)
    answer: dict[str, Any] = json.loads(told.stdout)
    return answer


def last_versions() -> dict[str, kit.Object]:
    """Of each id the last version: a splitter sees one bundle, and in it one object of an id."""
    return {value["id"]: value for value in kit.everything()}


def test_all_but_the_definitions_of_extensions_are_kept(split: dict[str, Any]) -> None:
    assert {value["type"] for value in split["dropped"]} == {"extension-definition"}
    kept = {value["id"] for value in split["kept"]}
    assert kept == {named for named, value in last_versions().items() if value["type"] != "extension-definition"}


def test_what_is_kept_is_kept_whole(split: dict[str, Any]) -> None:
    ours = last_versions()
    for value in split["kept"]:
        del value["nb_deps"]
        assert value == ours[value["id"]]


def test_no_reference_is_lost_and_each_object_stands_after_those_it_names(split: dict[str, Any]) -> None:
    seen: set[str] = set()
    for value in split["kept"]:
        refs = [v for key, v in value.items() if key.endswith("_ref")]
        refs += [ref for key, listed in value.items() if key.endswith("_refs") for ref in listed]
        assert all(refs)
        assert set(refs) <= seen | {value["id"]}, value["type"]
        seen.add(value["id"])


def test_transactions_are_kept_as_external_references(split: dict[str, Any]) -> None:
    told = [ref for value in split["kept"] for ref in value.get("external_references", [])]
    assert {"source_name": "eip155:1 transaction", "external_id": kit.TRANSACTION} in told


def test_wallets_are_those_of_the_addresses(split: dict[str, Any]) -> None:
    values = {value["value"] for value in split["kept"] if value["type"] == "cryptocurrency-wallet"}
    assert checksum_address(ATTACKER.rsplit(":", 1)[1]) in values
