"""What commands print: tables and colours for people, JSON for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

SHORT_HEX_CHARS = 12
PIPE_COLUMNS = 220

_LONG_HEX = re.compile(r"(0x[0-9a-f]{6})[0-9a-f]{10,}([0-9a-f]{4})")

_STYLES = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "dim",
    "fires": "bold red",
    "in-effect": "bold green",
    "not-worth-it": "yellow",
    "contradicted": "red",
    "tier-closed": "dim",
    "not-at-stake": "dim",
    "admitted": "green",
    "confirmed": "bold green",
    "effective": "bold green",
    "included": "green",
    "broadcast": "yellow",
    "signed": "yellow",
    "planned": "yellow",
    "preflight": "yellow",
    "awaiting-approval": "bold yellow",
    "expiring": "bold yellow",
    "declined": "red",
    "refused": "red",
    "reverted": "red",
    "failed": "red",
    "unknown": "bold red",
    "armed": "bold red",
    "disarmed": "dim",
    "connected": "green",
    "up": "green",
    "yes": "green",
    "ok": "green",
    "not-ok": "bold red",
    "not-known": "yellow",
}


class Output:
    """Where a command prints, and in which form."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """rich's console on stdout, made when first used: rich takes a tenth of a second to import."""
        if self._console is None:
            from rich.console import Console

            console = Console(highlight=False)
            # a pipe has no width: what is wide enough for whole ids
            self._console = console if console.is_terminal else Console(highlight=False, width=PIPE_COLUMNS)
        return self._console

    def emit(self, document: dict[str, Any]) -> None:
        """Print one JSON object on one line, at once."""
        click.echo(json.dumps(document, ensure_ascii=False))

    def say(self, *parts: str | tuple[str, str]) -> None:
        """Print a line of texts and (text, style) pairs; nothing in a text is taken for mark-up."""
        if self.as_json:
            return
        from rich.text import Text

        line = Text()
        for part in parts:
            text, style = (part, "") if isinstance(part, str) else part
            line.append(plain(text), style)
        self.console.print(line, soft_wrap=True)

    def show(self, renderable: RenderableType) -> None:
        """Print something of rich's."""
        self.console.print(renderable)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
        """Print a table; cells may be texts or rich texts."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(plain(cell)) if isinstance(cell, str) else cell for cell in row))
        self.show(table)

    def warn(self, text: str) -> None:
        """Tell a person something on stderr; stdout stays parseable."""
        click.echo(click.style("Note: ", fg="yellow", bold=True) + plain(text), err=True)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show that something takes a while."""
        if self.as_json or not self.console.is_terminal:
            yield
            return
        with self.console.status(what):
            yield

    @contextmanager
    def progress(self, what: str, steps: int) -> Iterator[Callable[[], None]]:
        """Show a bar on stderr, where a person looks; call what is yielded after each of the steps."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), disable=self.as_json) as bar:
            task = bar.add_task(what, total=steps)
            yield lambda: bar.advance(task)


def plain(text: str) -> str:
    """A text without what could steer a terminal: others wrote much of what we print."""
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in text)


def styled(word: str, shown: str = "") -> Text:
    """A word of ours in its colour, or what is shown in its place."""
    from rich.text import Text

    return Text(plain(shown or word), _STYLES.get(word, ""))


def short_hex(data: bytes | str) -> str:
    """The first digits of an id, enough to name it in the next command."""
    return (data.hex() if isinstance(data, bytes) else data)[:SHORT_HEX_CHARS]


def short_address(text: str) -> str:
    """An id whose long hex is cut in the middle, for narrow tables; whole ids are in --json and explain."""
    return _LONG_HEX.sub(r"\1…\2", text)


def count_text(count: int, what: str) -> str:
    """`1 signal`, `2 signals`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def time_text(at_ms: int) -> str:
    """A UTC time with milliseconds."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def money_text(micro_usd: int) -> str:
    """micro-USD as dollars."""
    return f"${micro_usd // 1_000_000:,}"
