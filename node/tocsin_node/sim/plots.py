"""The report's plots."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tocsin_protocol.decision.tiers import Tier

from ..drawing import FAINT, GRID, INK, WIDTH_INCHES, draw_legend, open_figure
from .outcome import HappeningKind, Outcome, Point
from .scenario import Kind, Scenario
from .totals import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOTHING, PEOPLE, POLICY = "#9aa5b1", "#2b6cb0", "#dd6b20"
_TIER_COLOUR = {Tier.TIGHTEN: "#ecc94b", Tier.FREEZE: "#dd6b20", Tier.PAUSE: "#c53030"}
_TIER_NAME = {Tier.TIGHTEN: "tighten", Tier.FREEZE: "freeze", Tier.PAUSE: "pause"}
_LEAST_USD, _LEAST_BELIEF = 1_000.0, 1e-5
_ROW_INCHES = 0.42
# A line is broken where belief was not looked at for as long: nothing could actuate then.
_GAP_STEPS = 3


def check_plots() -> None:
    """Raises NodeError where no plots can be made: better before an hour's runs than after."""
    with open_figure("check", 1, 1):
        pass


def plot_losses(summaries: Sequence[Summary]) -> str:
    """What was lost in each attack: if nothing is done, with people, with the policy. Logarithmic."""
    with open_figure("losses", WIDTH_INCHES, 1.1 + _ROW_INCHES * len(summaries)) as (figure, ax, svg):
        rows = _rows(ax, summaries)
        for row, summary in zip(rows, summaries, strict=True):
            with_ = summary.loss_with_usd
            shown = [max(_LEAST_USD, usd) for usd in (summary.loss_without_usd, summary.loss_people_usd, with_.value)]
            ax.plot([min(shown), max(shown)], [row, row], color=GRID, linewidth=5, solid_capstyle="round", zorder=1)
            ax.plot([max(_LEAST_USD, with_.low), max(_LEAST_USD, with_.high)], [row, row], color=POLICY, linewidth=2)
            for usd, colour, size in zip(shown, (NOTHING, PEOPLE, POLICY), (8, 10, 5.5), strict=True):
                # Rings, so that what coincides is seen.
                ax.plot(usd, row, "o", color=colour, markersize=size, zorder=3, markeredgewidth=2,
                        markerfacecolor="none" if colour == PEOPLE else colour)  # fmt: skip
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(lambda usd, _: _usd(usd))
        ax.set_xlabel(
            "lost (logarithmic; $1k stands for that and less; the line through the last is its 95 % interval)"
        )
        draw_legend(
            figure,
            ax,
            (("if nothing is done", NOTHING), ("with people, as published", PEOPLE), ("with the policy", POLICY)),
        )
        return svg()


def plot_ttc(summaries: Sequence[Summary]) -> str:
    """How long each run took from the first harm to containment, against the best published human time."""
    with open_figure("ttc", WIDTH_INCHES, 1.1 + _ROW_INCHES * len(summaries)) as (figure, ax, svg):
        rows = _rows(ax, summaries)
        for row, summary in zip(rows, summaries, strict=True):
            known = sorted(ttc for ttc in summary.ttc_s if math.isfinite(ttc))
            heights = [row - 0.16 + 0.32 * ((n * 0.618) % 1) for n in range(len(known))]
            ax.plot(known, heights, "o", color=POLICY, markersize=3.2, alpha=0.35, markeredgewidth=0)
            if known:
                middle = known[len(known) // 2]
                ax.plot([middle, middle], [row - 0.3, row + 0.3], color=INK, linewidth=1.6)
            if summary.human_s is not None:
                ax.plot(summary.human_s, row, "D", color=PEOPLE, markersize=7, zorder=4)
            never = len(summary.ttc_s) - len(known)
            if never:
                share = 100 * never / len(summary.ttc_s)
                ax.annotate(f"{share:.1f} % never", (1.005, row), xycoords=("axes fraction", "data"), va="center",
                            color=_TIER_COLOUR[Tier.PAUSE], annotation_clip=False)  # fmt: skip
        ax.axvline(0, color=INK, linewidth=1)
        ax.set_xscale("symlog", linthresh=60, linscale=0.5)
        ax.set_xticks([-3600, -600, -60, 0, 60, 600, 3600, 6 * 3600])
        ax.xaxis.set_major_formatter(lambda seconds, _: _seconds(seconds))
        ax.minorticks_off()
        ax.set_xlabel("from the first harm to the first freeze or pause in effect; left of 0: before it")
        draw_legend(figure, ax, (("one run", POLICY), ("median", INK), ("best published human time", PEOPLE)))
        return svg()


def plot_false_pauses(summaries: Sequence[Summary]) -> str:
    """Minutes of freeze and pause per run where nothing threatened us."""
    with open_figure("false", WIDTH_INCHES, 1.0 + _ROW_INCHES * len(summaries)) as (figure, ax, svg):
        rows = _rows(ax, summaries)
        longest = max(10.0, *(summary.false_pause_minutes_max for summary in summaries))
        for row, summary in zip(rows, summaries, strict=True):
            colour = NOTHING if summary.scenario.kind is Kind.LIMIT else _TIER_COLOUR[Tier.PAUSE]
            minutes, share = summary.false_pause_minutes, summary.freeze_percent
            ax.barh(row, minutes.value, height=0.5, color=colour)
            ax.plot([minutes.low, minutes.high], [row, row], color=INK, linewidth=1.2)
            said = f"{summary.frozen_runs:,} of {summary.runs:,} runs ({share.low:.1f}…{share.high:.1f} %)"
            ax.annotate(said, (max(minutes.high, minutes.value), row), xytext=(8, 0), textcoords="offset points",
                        va="center", color=INK if summary.frozen_runs else FAINT,
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
        ax.set_xlim(0, longest * 1.6)
        ax.set_xlabel(
            "false pause-minutes per run; the runs with any freeze or pause, and the 95 % interval of their share"
        )
        draw_legend(
            figure, ax, (("control: must be 0", _TIER_COLOUR[Tier.PAUSE]), ("limit: known to go wrong", NOTHING))
        )
        return svg()


def plot_belief(scenario: Scenario, run: Outcome) -> str:
    """Belief over time in one run, with what pays from where, what was said, checked and done."""
    trace = run.trace
    if trace is None:
        raise ValueError("the run was not traced")
    last_ms = _last_ms(scenario, run)
    unit_s, unit = _unit((last_ms - scenario.starts_ms) // 1000)

    def at(ms: int) -> float:
        return (ms - scenario.starts_ms) / 1000 / unit_s

    with open_figure(f"belief {scenario.name}", WIDTH_INCHES, 3.4) as (figure, ax, svg):
        for action in run.actions:
            colour = _TIER_COLOUR[action.tier]
            ax.axvspan(at(action.begins_ms), at(action.ends_ms), color=colour, alpha=0.13, linewidth=0)
            ax.axvline(at(action.begins_ms), color=colour, linewidth=1, alpha=0.7)
        for tier, least in sorted(trace.thresholds.items()):
            ax.axhline(least, color=_TIER_COLOUR[tier], linewidth=1, linestyle=(0, (4, 3)))
            ax.annotate(f"to {_TIER_NAME[tier]} pays", (1.004, least), xycoords=("axes fraction", "data"),
                        va="center", color=FAINT, fontsize=8, annotation_clip=False)  # fmt: skip
        for line in _lines(trace.points, scenario.lasts_s * 1000 // 400 * _GAP_STEPS):
            ax.plot([at(p.at_ms) for p in line], [p.probability for p in line], color=INK, linewidth=1.4)
        for kind, colour, height in (
            (HappeningKind.SAID, PEOPLE, 2.2e-5),
            (HappeningKind.FOUND, "#6b46c1", 1.7e-5),
            (HappeningKind.CHECKED, "#2f855a", 1.3e-5),
        ):
            moments = [at(happening.at_ms) for happening in trace.happenings if happening.kind is kind]
            ax.plot(moments, [height] * len(moments), "|", color=colour, markersize=7, markeredgewidth=1.2)
        if scenario.threat is not None:
            ax.axvline(
                scenario.threat.first_harm_s / unit_s, color=_TIER_COLOUR[Tier.PAUSE], linewidth=1.4, linestyle=":"
            )
        if scenario.people is not None:
            ax.axvline(scenario.people.contained_s / unit_s, color=PEOPLE, linewidth=1.4, linestyle=":")
        ax.set_yscale("log")
        ax.set_ylim(_LEAST_BELIEF, 1)
        ax.set_xlim(0, at(last_ms))
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        ax.minorticks_off()
        ax.set_xlabel(unit)
        marks = [
            ("belief", INK),
            ("a member speaks", PEOPLE),
            ("our own detector", "#6b46c1"),
            ("evidence answered", "#2f855a"),
        ]
        marks += [(f"{_TIER_NAME[t]} in effect", _TIER_COLOUR[t]) for t in sorted({a.tier for a in run.actions})]
        dotted = [("first harm", _TIER_COLOUR[Tier.PAUSE])] if scenario.threat is not None else []
        dotted += [("people contained", PEOPLE)] if scenario.people is not None else []
        draw_legend(figure, ax, marks, dotted)
        return svg()


def _last_ms(scenario: Scenario, run: Outcome) -> int:
    """Up to where something happened; the rest of the time is empty."""
    trace = run.trace
    moments = [scenario.starts_ms + 60_000]
    moments += [action.ends_ms for action in run.actions]
    moments += [point.at_ms for point in trace.points] if trace else []
    moments += [happening.at_ms for happening in trace.happenings] if trace else []
    if scenario.people is not None:
        moments.append(scenario.starts_ms + scenario.people.contained_s * 1000)
    ends_ms = scenario.starts_ms + scenario.lasts_s * 1000
    return min(ends_ms, max(moments) + (max(moments) - scenario.starts_ms) // 20)


def _rows(ax: Axes, summaries: Sequence[Summary]) -> list[int]:
    rows = list(range(len(summaries)))[::-1]
    ax.set_yticks(rows, [summary.scenario.name for summary in summaries])
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.tick_params(axis="y", length=0)
    return rows


def _lines(points: Sequence[Point], gap_ms: int) -> Iterator[list[Point]]:
    """One line for each incident, broken where nothing was believed."""
    by_incident: dict[int, list[Point]] = {}
    for point in points:
        by_incident.setdefault(point.incident, []).append(point)
    for line in by_incident.values():
        part: list[Point] = []
        for point in line:
            if part and point.at_ms - part[-1].at_ms > gap_ms:
                yield part
                part = []
            part.append(point)
        yield part


def _unit(seconds: int) -> tuple[int, str]:
    if seconds > 4 * 24 * 3600:
        return 24 * 3600, "days"
    return (3600, "hours") if seconds > 3 * 3600 else (60, "minutes")


def _usd(usd: float) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if usd >= size:
            return f"${usd / size:g}{letter}"
    return f"${usd:g}"


def _seconds(seconds: float) -> str:
    sign, size = ("−" if seconds < 0 else ""), abs(seconds)
    if size >= 3600:
        return f"{sign}{size / 3600:g} h"
    return f"{sign}{size / 60:g} min" if size else "0"
