"""HTML from texts that strangers wrote: escaped, without what steers a reader, and bounded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

# What strangers wrote is shown up to here; the JSON has all of it.
MAX_SHOWN_CHARS = 600
MAX_TABLE_ROWS = 400

_LONG_HEX = re.compile(r"(0x[0-9a-f]{8})[0-9a-f]{24,}([0-9a-f]{6})")


def safe(text: str, most: int = MAX_SHOWN_CHARS) -> str:
    """A text as HTML, cut, and without control and direction characters."""
    shown = text if len(text) <= most else text[: most - 1] + "…"
    return escape("".join(char if char.isprintable() or char == "\n" else "�" for char in shown))


def short(text: str) -> str:
    """A text whose long hex is cut in the middle; the JSON has it whole."""
    return _LONG_HEX.sub(r"\1…\2", text)


def code(text: str) -> str:
    """An id."""
    return f"<code>{safe(text)}</code>"


def time_text(at_ms: int) -> str:
    """A UTC time with milliseconds; a time that no calendar has as a number."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kinds: str, classes: Sequence[str] = ()) -> str:
    """A table of HTML cells; `kinds` has a letter for each column: n number, t time, w words, - text."""
    found = list(rows)
    lines = []
    for number, row in enumerate(found[:MAX_TABLE_ROWS]):
        cells = "".join(
            f"<td{'' if kind == '-' else f' class={kind}'}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)
        )
        style = f' class="{classes[number]}"' if number < len(classes) and classes[number] else ""
        lines.append(f"<tr{style}>{cells}</tr>")
    heads = "".join(
        f"<th{'' if kind == '-' else f' class={kind}'}>{safe(name)}</th>"
        for kind, name in zip(kinds, head, strict=True)
    )
    more = len(found) - MAX_TABLE_ROWS
    rest = f'<p class="faint">… and {more:,} more, which stand in the JSON.</p>' if more > 0 else ""
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>{rest}"
