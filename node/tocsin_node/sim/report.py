"""The simulation's report: one HTML file that holds everything it shows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from ..errors import ConfigError
from .intervals import estimate_share, percentile
from .outcome import Outcome
from .plots import plot_belief, plot_false_pauses, plot_losses, plot_ttc
from .runner import Flown
from .scenario import Kind, Scenario
from .totals import Summary, Total
from .wording import seconds_text, share_text, span_text, usd_text

MAX_ROWS = 60

_CSS = Path(__file__).with_name("report.css")


def write_report(
    path: Path, flown: Sequence[Flown], summaries: Sequence[Summary], total: Total, policy: str, seed: int
) -> None:
    """Write the page; raises ConfigError where it cannot be written, NodeError without matplotlib."""
    text = build_report(flown, summaries, total, policy, seed)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(path, "", f"cannot be written: {exc.strerror}") from exc


def build_report(flown: Sequence[Flown], summaries: Sequence[Summary], total: Total, policy: str, seed: int) -> str:
    """The page as text."""
    attacks = [summary for summary in summaries if summary.scenario.kind is Kind.ATTACK]
    others = [summary for summary in summaries if summary.scenario.kind is not Kind.ATTACK]
    parts = [
        "<h1>Flight simulation</h1>",
        f'<p class="faint">Policy: {escape(policy)}. {sum(s.runs for s in summaries):,} runs of {len(summaries)} '
        "scenarios on virtual time; intervals are of 95 %, over seeds. What the sources leave open is assumed in the "
        "scenarios, and said there.</p>",
        _cards(total),
    ]
    if attacks:
        parts += [
            "<h2>What was lost</h2>",
            "<p>What a lever averts counts as averted; when it lapses, losses go on. People come when they came.</p>",
            plot_losses(attacks),
            "<h2>How long it took</h2>",
            plot_ttc(attacks),
            _attack_table(attacks),
        ]
    if others:
        parts += ["<h2>False alarms</h2>", plot_false_pauses(others)]
    parts += [
        f"<h2>Run {seed} of each, in detail</h2>",
        *(_detail(one.scenario, one.traced) for one in flown if one.traced),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Flight simulation</title>'
        f'<meta name="viewport" content="width=device-width"><style>\n{_CSS.read_text()}</style></head>\n'
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _cards(total: Total) -> str:
    cards = []
    if total.attack_runs:
        cards.append(_card(usd_text(total.loss_without_usd), "lost in the attacks if nothing is done"))
        cards.append(_card(usd_text(total.loss_people_usd), "lost with people, as published"))
        cards.append(_card(usd_text(total.loss_with_usd), "lost with the policy, and people (sum of means)"))
    if total.timed_runs:
        share = estimate_share(total.in_time_runs, total.timed_runs)
        what = f"of {total.timed_runs:,} runs contained within the best published human time"
        what += f" ({share.low:.1f}…{share.high:.1f})"
        cards.append(_card(f"{share.value:.1f} %", what, "good" if share.value >= 95 else "bad"))
    if total.control_runs:
        share = estimate_share(total.control_frozen_runs, total.control_runs)
        style = "bad" if total.control_frozen_runs else "good"
        what = f"runs of the controls with a freeze or pause (at most {share.high:.2f} %)"
        cards.append(_card(f"{total.control_frozen_runs:,} of {total.control_runs:,}", what, style))
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(figure: str, what: str, style: str = "") -> str:
    return f'<div class="card"><b class="{style}">{escape(figure)}</b><span>{escape(what)}</span></div>'


def _attack_table(attacks: Sequence[Summary]) -> str:
    rows = []
    for summary in attacks:
        share = None if summary.in_time_runs is None else estimate_share(summary.in_time_runs, summary.runs)
        cells = (
            f"{summary.runs:,}",
            usd_text(summary.loss_without_usd),
            usd_text(summary.loss_people_usd),
            span_text(summary.loss_with_usd),
            seconds_text(percentile(summary.ttc_s, 50)),
            seconds_text(percentile(summary.ttc_s, 95)),
            "none to beat" if summary.human_s is None else seconds_text(summary.human_s),
            "" if share is None else share_text(share),
        )
        columns = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        rows.append(f"<tr><td>{escape(summary.scenario.name)}</td>{columns}</tr>")
    head = ("runs", "nothing done", "people", "policy", "TTC p50", "TTC p95", "people's", "contained in time")
    columns = "".join(f'<th class="n">{column}</th>' for column in head)
    return f"<table><tr><th>attack</th>{columns}</tr>{''.join(rows)}</table>"


def _detail(scenario: Scenario, run: Outcome) -> str:
    trace = run.trace
    if trace is None:
        return ""
    said = [f"<p>{escape(scenario.summary.strip())}</p>"]
    if scenario.doubts:
        said.append(f'<p class="faint"><i>Not known:</i> {escape(scenario.doubts.strip())}</p>')
    if scenario.sources:
        said.append(f'<p class="faint"><i>Read in:</i> {escape("; ".join(scenario.sources))}</p>')
    if scenario.people is not None:
        said.append(f'<p class="faint"><i>People:</i> {escape(scenario.people.who)}</p>')
    rows = []
    for happening in trace.happenings[:MAX_ROWS]:
        at = seconds_text((happening.at_ms - scenario.starts_ms) / 1000)
        said_then = f'<td class="{happening.kind}">{escape(happening.text)}</td>'
        rows.append(f'<tr><td class="n">{at}</td>{said_then}</tr>')
    if len(trace.happenings) > MAX_ROWS:
        rows.append(f'<tr><td></td><td class="faint">… and {len(trace.happenings) - MAX_ROWS:,} more</td></tr>')
    nearest = f"<p><b>When belief was highest:</b> {escape(trace.nearest)}</p>" if trace.nearest else ""
    head = f'<h3>{escape(scenario.title)}</h3><span class="kind">{scenario.kind} · {escape(scenario.name)}</span>'
    return (
        f"<details open><summary>{head}</summary>{''.join(said)}{plot_belief(scenario, run)}{nearest}"
        f"<details><summary>What happened</summary><table>{''.join(rows)}</table></details></details>"
    )
