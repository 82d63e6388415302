"""specs/hooks.md and the code say the same."""

from __future__ import annotations

import importlib
import re
from importlib.util import find_spec
from pathlib import Path

from tocsin_node.hooks.hook import Answer
from tocsin_node.hooks.presets import PRESETS, Preset
from tocsin_node.hooks.templates import Placeholder

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "specs" / "hooks.md").read_text()
HOOKS = ROOT / "node" / "tocsin_node" / "hooks"
ORDER = (
    "presets",
    "config",
    "templates",
    "call",
    "rights",
    "reading",
    "evm",
    "safe_desk",
    "safe_proposal",
    "tries",
    "webhook",
    "command",
)


def table(heading: str) -> list[list[str]]:
    rows = PAGE.split(f"| {heading} |", 1)[1].split("\n")[2:]
    body = rows[: next(n for n, row in enumerate(rows) if not row.startswith("|"))]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in body]


def in_code() -> list[str]:
    found: list[str] = []
    for name in ORDER:
        found += re.findall(r"^ *# (\[HOOK\] .+)$", (HOOKS / f"{name}.py").read_text(), re.MULTILINE)
    return found


def row_of(name: str, preset: Preset) -> str:
    """How the page shows a preset."""
    sign = {"is": "is", "at-most": "is at most", "at-least": "is at least"}[preset.compare]
    wanted = str(preset.wants).lower().strip("{}")
    zero = ", and not 0" if preset.zero_is_open else ""
    place = f" (value {preset.position})" if preset.position else ""
    undo = f"`{preset.undo}`" if preset.undo else "people choose"
    given = " ".join(f"`{item}`" for item in preset.parameters) or "none"
    ends = {"": "people", "seconds": "after its seconds", "set-up": "as the contract is set up"}[preset.ends]
    effect = f"`{preset.check}`{place} {sign} {wanted}{zero}"
    return f"| `{name}` | `{preset.function}` | {given} | {effect} | {undo} | {ends} |"


def test_rules_are_those_of_the_code_in_its_order() -> None:
    assert re.findall(r"^- (\[HOOK\] .+)$", PAGE, re.MULTILINE) == in_code()
    assert len(set(in_code())) == len(in_code())
    for path in (ROOT / "node").rglob("*.py"):
        if path.parent != HOOKS or path.stem not in ORDER:
            assert "# [HOOK]" not in path.read_text(), path


def test_presets_are_those_of_the_code() -> None:
    lines = PAGE.split("| preset |", 1)[1].split("\n")[2:]
    shown = lines[: next(n for n, line in enumerate(lines) if not line.startswith("|"))]
    assert shown == [row_of(name, preset) for name, preset in PRESETS.items()]


def test_constants_are_those_of_the_code() -> None:
    for name, module, value, _ in table("constant"):
        inside = f"tocsin_node.hooks.{module.strip('`')}"
        found = importlib.import_module(inside if find_spec(inside) else f"tocsin_node.{module.strip('`')}")
        assert str(getattr(found, name)) == value, name


def test_words_are_those_of_the_code() -> None:
    for word in (*Answer, *(f"{{{kind}" for kind in Placeholder)):
        assert f"`{word}" in PAGE, word
