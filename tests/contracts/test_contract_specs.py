"""The page, the contracts and their tests say the same: rules, constants, verdicts, selectors."""

from __future__ import annotations

import re
from pathlib import Path

from gate_kit import Level
from module_kit import Direction, Verdict, selector

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "specs" / "contracts.md"
SOURCES = ROOT / "deploy" / "contracts" / "src"
FOLDERS = ("levers", "oracle")
# In the order of the page.
RULES = (
    *("Level", "ExpiringPause", "TocsinGuardianModule", "TocsinSignalGate", "TocsinBreaker"),
    *("RiskOracle", "RiskFeed", "CoverPool"),
)
TAG = r"\[(?:LEVEL|PAUSE|MODULE|GATE|BREAKER|ORACLE|RISKFEED|POOL)\]"
UNITS = {"": 1, "hours": 3_600, "days": 86_400}


def source(name: str) -> str:
    return next(path for path in sources() if path.stem == name).read_text()


def sources() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((SOURCES / folder).glob("*.sol"))]


def rules() -> list[str]:
    return re.findall(rf"^- ({TAG} .+)$", SPEC.read_text(), re.MULTILINE)


def members(name: str, enum: str) -> list[str]:
    body = source(name).split(f"enum {enum} {{", 1)[1].split("}", 1)[0]
    return [member.strip() for member in body.split(",")]


def test_rules_are_those_of_the_contracts_in_their_order() -> None:
    in_code = [rule for name in RULES for rule in re.findall(rf"^ *// ({TAG} .+)$", source(name), re.MULTILINE)]
    assert rules() == in_code
    assert len(set(in_code)) == len(in_code)


def test_every_rule_has_a_test_and_every_test_a_rule() -> None:
    tested = {
        rule
        for path in Path(__file__).parent.glob("test_*.py")
        for rule in re.findall(rf'^ +(?:""")?({TAG} .+?)(?:""")?$', path.read_text(), re.MULTILINE)
    }
    assert tested == set(rules())


def test_constants_are_those_of_the_contracts() -> None:
    rows = dict(re.findall(r"^\| ([A-Z][A-Z_]+) \| (\d+) \|", SPEC.read_text(), re.MULTILINE))
    found = {
        name: str(int(number.replace("_", "")) * UNITS[unit])
        for path in sources()
        for name, number, unit in re.findall(r"public constant ([A-Z_]+) = ([\d_]+) ?(days|hours|);", path.read_text())
    }
    assert rows == found


def test_words_are_those_of_the_contracts() -> None:
    assert members("TocsinGuardianModule", "Verdict") == list(Verdict.__members__)
    assert members("TocsinGuardianModule", "Direction") == list(Direction.__members__)
    assert members("Level", "Level") == list(Level.__members__)
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", SPEC.read_text(), re.MULTILINE)
    assert rows == [(str(verdict.value), verdict.name) for verdict in Verdict]


def test_the_examples_have_the_selectors_of_their_functions() -> None:
    text = SPEC.read_text()
    shown = re.findall(r"0x[0-9a-f]{8}\b", text)
    named = text.split("The selectors are those of ", 1)[1].split(", in this order", 1)[0]
    functions = re.findall(r"`([^`]+)`", named)
    assert shown == ["0x" + selector(function).hex() for function in functions]
