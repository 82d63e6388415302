"""The report's plots: belief, the way to containment, and losses, each over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tocsin_protocol.containment.life_cycle import Event
from tocsin_protocol.evidence.answers import Answer
from tocsin_protocol.postmortem.entries import Acted, AnyEntry, Believed, Check
from tocsin_protocol.postmortem.lessons import reports_of, step_ms
from tocsin_protocol.postmortem.words import money_text, span_text

from ..drawing import INK, WIDTH_INCHES, draw_legend, open_figure
from .stages import STAGES, Stages

_MEMBER, _OWN, _CHECK, _EFFECT, _LOSS = "#2b6cb0", "#805ad5", "#2f855a", "#dd6b20", "#c53030"
_STAGE_COLOURS = ("#a0aec0", "#718096", "#2b6cb0", "#805ad5", "#d69e2e", "#dd6b20", "#2f855a", "#276749")
_PPM = 1_000_000
# Probabilities below this are drawn at it.
_LEAST_BELIEF = 1e-5
# Members in one plot; what more there are stand in the table.
MAX_LINES = 8
_UNITS = ((3 * 86_400_000, 86_400_000, "days"), (3 * 3_600_000, 3_600_000, "hours"), (300_000, 60_000, "minutes"))


@dataclass(frozen=True, slots=True)
class _Axis:
    """Time since a moment, in a unit that suits the span."""

    starts_ms: int
    unit_ms: int
    label: str

    def at(self, ms: int) -> float:
        return (ms - self.starts_ms) / self.unit_ms


def _axis(moments: Sequence[int]) -> _Axis:
    starts_ms, span_ms = min(moments), max(moments) - min(moments)
    unit_ms, unit = next(((size, name) for least, size, name in _UNITS if span_ms > least), (1000, "seconds"))
    return _Axis(starts_ms, unit_ms, f"{unit} since the first of these")


def plot_belief(entries: Sequence[AnyEntry]) -> str:
    """What was believed at each decision, with who spoke, what was checked, and what took effect; "" without any."""
    points = sorted((e for e in entries if isinstance(e, Believed)), key=lambda e: e.decision)
    if not points:
        return ""
    said, checks = reports_of(entries), [entry for entry in entries if isinstance(entry, Check)]
    effects = [(at, a.hook) for a in entries if isinstance(a, Acted) and (at := step_ms(a, Event.CONFIRM)) is not None]
    moments = [p.at_ms for p in points] + [s.received_ms for s in said] + [at for at, _ in effects]
    axis = _axis(moments)
    last = axis.at(max(moments))
    with open_figure("report belief", WIDTH_INCHES, 3.1) as (figure, ax, svg):
        shares = [max(_LEAST_BELIEF, point.belief_ppm / _PPM) for point in points]
        # What was believed holds until the next decision; after the last nothing is recorded.
        ax.step([axis.at(p.at_ms) for p in points], shares, where="post", color=INK, linewidth=1.5)
        ax.plot([axis.at(p.at_ms) for p in points], shares, "o", color=INK, markersize=4)
        for at_ms, hook in effects:
            ax.axvline(axis.at(at_ms), color=_EFFECT, linewidth=1.6)
            ax.annotate(f"{_label(hook)} in effect", (axis.at(at_ms), 1), xycoords=("data", "axes fraction"),
                        va="bottom", color=_EFFECT, fontsize=8.5)  # fmt: skip
        marks: list[tuple[str, str, list[int]]] = [
            ("a member speaks", _MEMBER, [s.received_ms for s in said if not s.own]),
            ("our own detector", _OWN, [s.received_ms for s in said if s.own]),
            ("evidence confirmed", _CHECK, [c.at_ms for c in checks if c.answer is Answer.CONFIRMED]),
            ("in doubt", _LOSS, [c.at_ms for c in checks if c.answer is not Answer.CONFIRMED]),
        ]
        for row, (_, colour, times) in enumerate(marks):
            ax.plot([axis.at(ms) for ms in times], [0.03 + 0.05 * row] * len(times), "|", color=colour,
                    markersize=8, markeredgewidth=1.6, transform=ax.get_xaxis_transform())  # fmt: skip
        ax.set_yscale("log")
        ax.set_ylim(min(0.001, min(shares)) / 4, 1.5)
        ax.set_yticks([share for share in (1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.5, 1) if share >= min(0.001, min(shares))])
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        ax.minorticks_off()
        ax.set_xlim(-0.02 * (last or 1), 1.04 * (last or 1))
        ax.set_xlabel(axis.label)
        shown = [(name, colour) for name, colour, times in marks if times]
        draw_legend(figure, ax, [("belief, as decided on", INK), *shown])
        return svg()


def plot_stages(rows: Sequence[Stages]) -> str:
    """How long each stage of each action took, from the first that is known; "" where there is nothing to show."""
    shown = [row for row in rows if len(row.known) > 1]
    if not shown:
        return ""
    with open_figure("report stages", WIDTH_INCHES, 1.0 + 0.55 * len(shown)) as (figure, ax, svg):
        unit_ms, unit = (1, "ms") if max(row.total_ms for row in shown) < 10_000 else (1000, "s")
        seen: dict[str, str] = {}
        for place, row in enumerate(reversed(shown)):
            for (_, before_ms), (stage, at_ms) in pairwise(row.known):
                colour = _STAGE_COLOURS[row.order_of(stage)]
                seen[stage] = colour
                begin = (before_ms - row.known[0][1]) / unit_ms
                ax.barh(place, (at_ms - before_ms) / unit_ms, left=begin, height=0.5, color=colour)
            ax.annotate(span_text(row.total_ms), (row.total_ms / unit_ms, place), xytext=(6, 0), va="center", color=INK,
                        textcoords="offset points")  # fmt: skip
        ax.set_yticks(range(len(shown)), [_label(row.hook) for row in reversed(shown)])
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(-0.6, len(shown) - 0.4)
        ax.set_xlim(right=1.12 * max(row.total_ms for row in shown) / unit_ms or 1)
        first = {row.known[0][0] for row in shown}
        ax.set_xlabel(f"{unit} from {' or '.join(sorted(first))}")
        order = sorted(seen, key=shown[0].order_of)
        draw_legend(figure, ax, [(f"until {stage}", seen[stage]) for stage in order], columns=len(STAGES))
        return svg()


def plot_losses(entries: Sequence[AnyEntry]) -> str:
    """What each member said was lost so far, by when it said so, and when levers took effect; "" where none did."""
    lines: dict[str, list[tuple[int, int]]] = {}
    at_risk: dict[str, list[tuple[int, int]]] = {}
    own: set[str] = set()
    for report in (r for r in reports_of(entries) if r.statement and r.statement.observed_micro_usd):
        assert report.statement is not None  # noqa: S101 - so were they chosen
        name = report.member or report.publisher[:12]
        lines.setdefault(name, []).append((report.received_ms, report.statement.observed_micro_usd))
        at_risk.setdefault(name, []).append((report.received_ms, report.statement.at_risk_micro_usd))
        own |= {name} if report.own else set()
    if not lines:
        return ""
    effects = [at for a in entries if isinstance(a, Acted) and (at := step_ms(a, Event.CONFIRM)) is not None]
    ends = [report.received_ms for report in reports_of(entries)] + [
        p.at_ms for p in entries if isinstance(p, Believed)
    ]
    axis = _axis([at for line in lines.values() for at, _ in line] + effects + ends)
    last_ms = max([at for line in lines.values() for at, _ in line] + effects + ends)
    with open_figure("report losses", WIDTH_INCHES, 2.7) as (figure, ax, svg):
        palette = ("#c53030", "#2b6cb0", "#2f855a", "#805ad5", "#d69e2e", "#319795", "#b83280", "#718096")
        marks = []
        for (name, line), colour in zip(list(lines.items())[:MAX_LINES], palette, strict=False):
            points = [*sorted(line), (last_ms, sorted(line)[-1][1])]
            ax.step([axis.at(at) for at, _ in points], [lost / 1e6 for _, lost in points], where="post", color=colour)
            ax.plot([axis.at(at) for at, _ in line], [lost / 1e6 for _, lost in line], "o", color=colour, markersize=5)
            rings = [(axis.at(at), usd / 1e6) for at, usd in at_risk[name] if usd]
            ax.plot(
                *zip(*rings, strict=True) if rings else ([], []),
                "o",
                color=colour,
                markersize=7,
                markerfacecolor="none",
            )
            said = f"{name}: measured by our own detector" if name in own else f"reported by {name}"
            marks.append((_label(said), colour))
        for at_ms in effects:
            ax.axvline(axis.at(at_ms), color=_EFFECT, linewidth=1.6, linestyle=":")
        top = max(usd for line in (*lines.values(), *at_risk.values()) for _, usd in line) / 1e6
        ax.set_ylim(0, 1.15 * top)
        ax.yaxis.set_major_formatter(lambda usd, _: money_text(round(usd * 1e6)))
        ax.set_xlabel(axis.label)
        draw_legend(figure, ax, marks, [("a lever in effect", _EFFECT)] if effects else [])
        return svg()


def _label(text: str) -> str:
    """A text as a label: others chose it, and matplotlib takes what is between dollars for mathematics."""
    return "".join(char if char.isprintable() else "�" for char in text)[:60].replace("$", r"\$")
