"""`tocsin coverage`: which threats to which holdings a pre-authorised lever answers, and which none does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import NodeError
from .base import EXIT_CODES, EXIT_FAILED, ask_node, home_option, output_option
from .node_files import Around, look_around, read_manifest, read_policy, strict_option
from .output import Output, count_text

if TYPE_CHECKING:
    from rich.text import Text

    from ..coverage import Cell, Coverage, Gap

# The first column and the edges; each holding wants its name, or the widest word that can stand under it.
_CATEGORY_COLUMNS = 34
_CELL_COLUMNS = 12


@click.command(epilog=EXIT_CODES)
@strict_option
@home_option
@output_option
def coverage(strict: bool, home: Path, out: Output) -> None:
    """Say for each kind of threat and each holding which lever may answer, whether in time, and what is missing.

    What is armed is known from the running node only.
    """
    from ..coverage import find_coverage

    around = look_around(home, needs_node=True)
    manifest = read_manifest(around, None)
    assert manifest is not None  # noqa: S101 - there is a node
    loaded = read_policy(around, None, manifest)
    armed = _armed(around)
    disarmed = [hook for hook, is_armed in (armed or {}).items() if not is_armed]
    members = None if around.members is None else len(around.members)
    found = find_coverage(loaded.policy, manifest, members, disarmed)
    faults = loaded.policy.faults()
    if out.as_json:
        out.emit(_view(found, armed, faults))
    else:
        _show(out, found, armed, faults)
    if strict and (found.gaps or faults):
        raise click.exceptions.Exit(EXIT_FAILED)


def _armed(around: Around) -> dict[str, bool] | None:
    """Which hooks are armed, by the running node; None where it does not say."""
    from ..control_verbs import Verb

    assert around.config is not None  # noqa: S101 - the command needs a node
    try:
        rows = ask_node(around.config, Verb.STATUS).get("hooks", [])
    except NodeError:
        return None
    return {str(row["hook"]): bool(row["armed"]) for row in rows}


def _view(found: Coverage, armed: dict[str, bool] | None, faults: tuple[str, ...]) -> dict[str, Any]:
    return {
        "holdings": [
            {"name": name, "feasibility": found.feasibilities.get(name), "beats_mal": found.beats_mal(name)}
            for name in found.holdings
        ],
        "cells": [
            {
                "category": str(cell.category),
                "holding": cell.holding,
                "tier": None if cell.lever is None else cell.lever.tier.name.lower(),
                "hook": None if cell.lever is None else cell.lever.hook,
                "armed": None if cell.lever is None or armed is None else armed.get(cell.lever.hook),
                "beats_mal": _beats_mal(found, cell),
            }
            for cell in found.cells
        ],
        "gaps": [
            {"holding": g.holding, "categories": [str(c) for c in g.categories], "what": g.what} for g in found.gaps
        ],
        "faults": list(faults),
    }


def _show(out: Output, found: Coverage, armed: dict[str, bool] | None, faults: tuple[str, ...]) -> None:
    if not found.holdings:
        out.say("The manifest names no holding: there is nothing to cover. Write manifest.toml.")
        return
    width = max(_CELL_COLUMNS, *(len(name) for name in found.holdings)) + 3
    at_once = max(1, (out.console.width - _CATEGORY_COLUMNS) // width)
    for start in range(0, len(found.holdings), at_once):
        _show_matrix(out, found, found.holdings[start : start + at_once])
    out.say(
        ("✓", "green"), " can act before the limit is passed   ", ("✗", "red"), " cannot   ? the holding has no limit"
    )
    if armed is None:
        out.say(("The node is not running, so what is armed is not known.", "dim"))
    out.say("")
    for fault in faults:
        out.say(("✗ the policy may not be armed: ", "bold red"), fault)
    if not found.gaps:
        out.say(("No gaps.", "bold green"))
        return
    out.say((count_text(len(found.gaps), "gap"), "bold yellow"))
    for gap in found.gaps:
        out.say("  ", (gap.holding, "bold cyan"), f": {_about(found, gap)}{gap.what}")


def _show_matrix(out: Output, found: Coverage, holdings: tuple[str, ...]) -> None:
    cells = {(cell.category, cell.holding): cell for cell in found.cells}
    categories = dict.fromkeys(cell.category for cell in found.cells)
    rows: list[list[str | Text]] = [
        [str(category), *(_cell(found, cells[category, name]) for name in holdings)] for category in categories
    ]
    out.table("", ("threat", *holdings), rows)


def _cell(found: Coverage, cell: Cell) -> Text:
    from rich.text import Text

    if cell.lever is None:
        return Text("nothing", "bold red")
    tier = cell.lever.tier.name.lower()
    if tier == "notify":
        return Text(tier, "yellow")
    mark, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}[_beats_mal(found, cell)]
    return Text(f"{tier} {mark}", style)


def _beats_mal(found: Coverage, cell: Cell) -> bool | None:
    """Whether the lever acts before the limit is passed; to notify holds nothing still."""
    is_holding = cell.lever is not None and cell.lever.tier > 0
    return found.beats_mal(cell.holding) if is_holding else False


def _about(found: Coverage, gap: Gap) -> str:
    """The threats a gap is about, or those it is not about where these are fewer; nothing where it is about all."""
    if not gap.categories:
        return ""
    others = [
        category for category in dict.fromkeys(cell.category for cell in found.cells) if category not in gap.categories
    ]
    if len(others) < len(gap.categories):
        return f"all but {', '.join(others)}: "
    return f"{', '.join(gap.categories)}: "
