"""Plots as SVG that needs nothing else. The only door to matplotlib, imported when it is used."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import NodeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
WIDTH_INCHES = 9.6
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.edgecolor": GRID,
    "axes.labelcolor": FAINT,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "legend.frameon": False,
}


@contextmanager
def open_figure(name: str, width: float, height: float) -> Iterator[tuple[Figure, Axes, Callable[[], str]]]:
    """A figure with one pair of axes, and the function that makes SVG of it."""
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise NodeError("plots want matplotlib, which is not installed: pip install matplotlib") from exc
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.subplots(), lambda: _svg(figure)


def _svg(figure: Figure) -> str:
    """The figure as an element: no prologue, no metadata, nothing that is fetched."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Every figure names its parts alike, and a page may have several: the names that nothing refers to go.
    used = set(re.findall(r"#([\w.-]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    head, rest = text.split(">", 1)
    return re.sub(r' (?:width|height)="[^"]*"', "", head) + ">" + rest


def draw_legend(
    figure: Figure,
    ax: Axes,
    marks: Sequence[tuple[str, str]],
    dotted: Sequence[tuple[str, str]] = (),
    columns: int = 5,
) -> None:
    """A legend above the axes: `marks` as dots, `dotted` as lines, (name, colour) each."""
    for name, colour in marks:
        ax.plot([], [], "o", color=colour, label=name, markersize=6)
    for name, colour in dotted:
        ax.plot([], [], ":", color=colour, label=name, linewidth=1.6)
    figure.legend(
        loc="outside upper left",
        ncols=min(columns, len(marks) + len(dotted)),
        handletextpad=0.2,
        columnspacing=1.2,
        fontsize=9,
    )
