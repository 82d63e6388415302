"""The tables of specs/containment-faults.md, drawn from what was seen and read back by the tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase

from fault_kit import CASES, Outcome
from fault_matrix import ALL_CELLS, MESSAGES, Cell
from hook_kit import MAKERS
from message_fault_kit import Lasting
from tocsin_node.demo.faults import FAULTS

PAGE = Path(__file__).parents[3] / "specs" / "containment-faults.md"
NOTHING = "–"
FIRST_LINE = "<!-- drawn from real runs by tests/node/hooks/draw_faults.py -->"
LAST_LINE = "<!-- end of what is drawn -->"


def draw(seen: Mapping[Cell, Outcome]) -> str:
    """Return everything between the two marks."""
    sentences = list(dict.fromkeys(seen[cell].sentence for cell in ALL_CELLS if seen[cell].sentence))
    shown = {cell: _show(outcome, sentences) for cell, outcome in seen.items()}
    columns = _columns(shown)
    calls = (
        (f"`{fault}`", where, *(shown.get((names[0], fault, where), NOTHING) for names in columns))
        for fault, where in CASES
    )
    letters = ascii_uppercase[: len(columns)]
    return "\n\n".join(
        [
            FIRST_LINE,
            "## Calls",
            _table(("fault", "what it does"), _explain(FAULTS)),
            _table(("column", "hooks"), zip(letters, (", ".join(map(_code, names)) for names in columns), strict=True)),
            _table(("fault", "at", *letters), calls),
            *(part for hook in MESSAGES for part in _draw_messages(hook, shown)),
            "## How an action ends that is not effective",
            _table(("", "state and sentence"), zip(ascii_lowercase, sentences, strict=False)),
            LAST_LINE,
        ]
    )


def redraw(page: str, seen: Mapping[Cell, Outcome]) -> str:
    """Return the page with its drawn part drawn anew."""
    before, first, rest = page.partition(FIRST_LINE)
    _, last, after = rest.partition(LAST_LINE)
    assert first, f"the page lacks the line {FIRST_LINE!r}"
    assert last, f"the page lacks the line {LAST_LINE!r}"
    return before + draw(seen) + after


def read(page: str) -> dict[Cell, Outcome]:
    """Return every cell of the page, so that a test can compare it with what it has seen."""
    sentences = {letter: text for letter, text in _read_table(page, "", "state and sentence")}
    hooks = {column: re.findall(r"`([^`]+)`", names) for column, names in _read_table(page, "column", "hooks")}
    cells: dict[Cell, str] = {}
    for fault, where, *row in _read_table(page, "fault", "at", *hooks):
        for names, cell in zip(hooks.values(), row, strict=True):
            cells |= {(name, fault.strip("`"), where): cell for name in names}
    for hook in MESSAGES:
        for fault, _, *row in _read_table(page, f"{hook}'s fault", "what it does", *Lasting):
            cells |= {(hook, fault.strip("`"), lasting.value): cell for lasting, cell in zip(Lasting, row, strict=True)}
    return {key: _read_cell(cell, sentences) for key, cell in cells.items() if cell != NOTHING}


def _draw_messages(hook: str, shown: Mapping[Cell, str]) -> tuple[str, str]:
    rows = (
        (f"`{fault}`", sentence, *(shown[hook, fault, lasting] for lasting in Lasting))
        for fault, sentence in MESSAGES[hook].items()
    )
    return f"## {hook.capitalize()}s", _table((f"{hook}'s fault", "what it does", *Lasting), rows)


def _columns(shown: Mapping[Cell, str]) -> list[list[str]]:
    """Hooks that behave alike share a column."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in MAKERS:
        column = tuple(shown.get((name, fault, where), NOTHING) for fault, where in CASES)
        alike.setdefault(column, []).append(name)
    return list(alike.values())


def _show(outcome: Outcome, sentences: Sequence[str]) -> str:
    return f"{outcome.effects}{ascii_lowercase[sentences.index(outcome.sentence)] if outcome.sentence else ''}"


def _read_cell(cell: str, sentences: Mapping[str, str]) -> Outcome:
    return Outcome(int(cell[0]), sentences[cell[1:]] if cell[1:] else "")


def _explain(faults: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    return ((f"`{fault}`", sentence) for fault, sentence in faults.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows)])


def _read_table(page: str, *head: str) -> list[list[str]]:
    rows = page.split("| " + " | ".join(head) + " |\n", 1)[1].split("\n")[1:]
    body = rows[: next(n for n, row in enumerate(rows) if not row.startswith("|"))]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in body]


def _code(text: str) -> str:
    return f"`{text}`"
