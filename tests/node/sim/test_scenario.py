"""Scenario files: what is wrong in one is named with file and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sim_kit import POOL, all_scenarios, load, replaced, write
from tocsin_node.errors import ConfigError
from tocsin_node.sim.scenario import Kind
from tocsin_node.sim.scenario_files import find_scenario, load_scenario

CONTROLS = {
    "flash-crash", "vendor-misfire", "sybil-burst", "replayed-critical", "rpc-split", "drill", "crying-wolf",
    "borrowed-labels", "healed-partition", "white-hat",
}  # fmt: skip


def test_scenario_is_called_as_its_file(tmp_path: Path) -> None:
    scenario = load(tmp_path)
    assert (scenario.name, scenario.kind) == ("small", Kind.ATTACK)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (replaced(('seat = "us"', 'seat = "nobody"')), "seat"),
        (replaced(('seat = "us"', 'seta = "us"')), "seta"),
        (replaced(("lasts_s = 7_200", "lasts_s = 0")), "lasts_s"),
        (replaced(("starts = 2025-01-01T00:00:00Z", 'starts = "yesterday"')), "starts"),
        (replaced(('name = "two"', 'name = "one"')), "member.name"),
        (replaced((f'id = "{POOL}"', 'id = "eip155:1:0xNO"')), "scope[0].id"),
        (replaced(('link = "deposit"', 'link = "compiler"')), "scope[0].depends_on[0].link"),
        (replaced(("at_stake_usd = 10_000_000", "at_stake_usd = 10")), "scope[0].at_stake_usd"),
        (replaced(("until_s = 4_600, usd", "until_s = 10, usd")), "scope[0].loss[1]"),
        (replaced(('by = "one"', 'by = "three"')), "report[0].by"),
        (replaced(("confidence = 90", "confidence = 101")), "report[0].confidence"),
        (replaced(("confidence = 90", "confidence = 90\nmiss_percent = nan")), "report[0].miss_percent"),
        (replaced(("confidence = 90", 'confidence = 90\nrelation = "disputes"')), "report[0].to"),
        (replaced(("confidence = 90", 'confidence = 90\nrelation = "disputes"\nto = "later"')), "report[0].to"),
        (replaced(("confidence = 90", "confidence = 90\ntimes = 3")), "report[0].every_s"),
        (replaced(("confidence = 90", "confidence = 90\nevery_s = 4_000\ntimes = 3")), "report[0]"),
        (replaced(('answer = "confirmed"', 'answer = "perhaps"')), "report[0].evidence.answer"),
        (replaced(('kind = "attack"', 'kind = "control"')), "threat"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_fault_names_file_and_key(tmp_path: Path, make: Callable[[], str], key: str) -> None:
    path = write(tmp_path, make())
    with pytest.raises(ConfigError) as error:
        load_scenario(path)
    assert error.value.file == str(path)
    assert error.value.key == key


def test_unknown_scenario_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no-such.*euler-balancer"):
        find_scenario("no-such")


def test_all_of_ours_load() -> None:
    kinds = {name: scenario.kind for name, scenario in all_scenarios().items()}
    assert {name for name, kind in kinds.items() if kind is Kind.CONTROL} == CONTROLS
    assert sum(kind is Kind.ATTACK for kind in kinds.values()) >= 10


def test_attacks_name_their_sources_and_doubts() -> None:
    for scenario in all_scenarios().values():
        if scenario.kind is Kind.ATTACK:
            assert scenario.sources, scenario.name
            assert scenario.doubts, scenario.name
