"""Scenarios from a clone of DeFiHackLabs: here a made-up one of three incidents."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sim_kit import default_policy
from tocsin_node.errors import ConfigError
from tocsin_node.sim.import_hacks import dollars_of, import_clone, read_hacks
from tocsin_node.sim.replay import replay
from tocsin_node.sim.scenario_files import load_scenario

PAGE = """
### 20240903 Made Up Farm - price oracle manipulation

### Lost: ~$2.5M

[Farm_exp.sol](../../src/test/2024-09/Farm_exp.sol)

### 20240810 Coins Only - Reentrancy

### Lost: 390 ETH

[Coins_exp.sol](../../src/test/2024-08/Coins_exp.sol)

### 20240701 Elsewhere - Logic Flaw

### Lost: 10k USD

[Elsewhere_exp.sol](../../../../etc/passwd.sol)

### 20240231 No Day - Logic Flaw

### Lost: 10k USD
"""
SOURCE = """
// @KeyInfo - Total Lost : 2.5M USD
// Attacker : https://bscscan.com/address/0xAAAAaaaaAAAAaaaaAAAAaaaaAAAAaaaaAAAAaaaa
// Vulnerable Contract : https://bscscan.com/address/0xBBBBbbbbBBBBbbbbBBBBbbbbBBBBbbbbBBBBbbbb
contract Farm_exp { function setUp() public { vm.createSelectFork("bsc", 123); } }
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    (root / "past" / "2024").mkdir(parents=True)
    (root / "src" / "test" / "2024-09").mkdir(parents=True)
    (root / "README.md").write_text("# none of this year\n")
    (root / "past" / "2024" / "README.md").write_text(PAGE)
    (root / "src" / "test" / "2024-09" / "Farm_exp.sol").write_text(SOURCE)
    return root


def test_incident_of_which_enough_is_known_is_a_scenario(clone: Path, tmp_path: Path) -> None:
    imported = import_clone(clone, tmp_path / "out", 30)
    (path,) = imported.written
    scenario = load_scenario(path)
    assert scenario.name == "dhl-20240903-made-up-farm"
    assert scenario.scope[0].at_stake_usd == 2_500_000
    assert scenario.scope[0].depends_on[0].subject == "eip155:56:0x" + "bb" * 20
    assert scenario.report[0].category == "oracle.manipulation"
    assert "made up" in scenario.doubts
    assert replay(scenario, default_policy(), 1).held


def test_what_is_left_out_is_counted_by_why(clone: Path, tmp_path: Path) -> None:
    left_out = import_clone(clone, tmp_path / "out", 30).left_out
    assert left_out == {
        "its loss is not in dollars": 1,
        "its victim or chain is not in its proof of concept": 1,
        "its date is none": 1,
    }


def test_no_file_outside_of_the_clone_is_read(clone: Path) -> None:
    hacks = list(read_hacks(clone, Counter()))
    assert [hack.protocol for hack in hacks] == ["Made Up Farm"]


def test_folder_that_is_no_clone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no clone"):
        import_clone(tmp_path, tmp_path / "out", 30)


@pytest.mark.parametrize(
    ("text", "usd"),
    [
        ("~$2.5M", 2_500_000),
        ("36,044 USDT", 36_044),
        ("Multiple ERC-20 Tokens (~152M US$)", 152_000_000),
        ("153,037 ETH (~$30M)", 30_000_000),
        ("4.1M VUSD, 7.35M XCN, 5K DAI, 0.23 WBTC, 50K USDT (>$3.8M USD)", 3_800_000),
        ("19.3M", 19_300_000),
        ("~ $204K", 204_000),
        (">200k USD(plus a lot of STC)", 200_000),
        ("~$1.24K (2.13 BNB)", 1_240),
        ("$59 K", 59_000),
        ("$~150 BNB", None),
        ("390 ETH", None),
        ("996B (CGT token)", None),
        ("Unclear", None),
        ("$999999999M", None),
    ],
)
def test_dollars_are_told_from_coins(text: str, usd: int | None) -> None:
    assert dollars_of(text) == usd
