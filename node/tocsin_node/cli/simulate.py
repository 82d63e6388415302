"""`tocsin simulate`: what a policy would have done in incidents of the past, and in false alarms."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import NodeError
from .base import EXIT_CODES, output_option
from .output import Output, count_text

if TYPE_CHECKING:
    from rich.text import Text

    from ..sim.runner import Flown
    from ..sim.scenario import Scenario
    from ..sim.totals import Summary, Total

FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)
DEFAULT_SEEDS = 100
# Of an attack's runs, contained in time: from here on it is shown as good.
WELL_PERCENT = 95
_RUN = "run"
_ATTACK_COLUMNS = (
    "attack",
    "runs",
    "nothing done",
    "people",
    "policy",
    "TTC p50",
    "p95",
    "people's",
    "contained in time",
)
_OTHER_COLUMNS = ("false alarm", "runs", "runs with a freeze", "false pause-minutes", "worst run", "notices")


class _ScenariosOrCommand(click.Group):
    """`tocsin simulate import …` is a command; whatever else comes first belongs to `run`, whose help is shown."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] not in (["--help"], *([name] for name in self.commands)):
            args = [_RUN, *args]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS] [SCENARIO]…"]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.commands[_RUN].format_options(ctx, formatter)
        super().format_commands(ctx, formatter)


@click.group(cls=_ScenariosOrCommand, epilog=EXIT_CODES)
def simulate() -> None:
    """Replay incidents and false alarms on virtual time under a policy: no network, no chain, no clock.

    SCENARIO is the name of one of ours or a file; none: all of ours. A policy's levers and limits are put on each
    scenario's scopes as if these were yours, and its members pinned as `tocsin init` proposes.
    """


@simulate.command(_RUN, epilog=EXIT_CODES)
@click.argument("names", metavar="[SCENARIO]…", nargs=-1)
@click.option("--policy", "policy_path", type=FILE, help="The policy to fly.  [default: a careful first one]")
@click.option(
    "--seeds", type=click.IntRange(1, 100_000), default=DEFAULT_SEEDS, show_default=True, help="Runs of each."
)
@click.option("--control-seeds", type=click.IntRange(1, 100_000), help="Runs of each control.  [default: as --seeds]")
@click.option("--report", "report_path", type=FILE, help="Write a page with plots here.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="The run that the page shows in detail."
)
@click.option(
    "--fail-if", "conditions", multiple=True, help="A condition in CEL over the figures; several are possible."
)
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=os.cpu_count() or 1, help="Processes.  [default: all cores]"
)
@output_option
def run(
    names: tuple[str, ...],
    policy_path: Path | None,
    seeds: int,
    control_seeds: int | None,
    report_path: Path | None,
    seed: int,
    conditions: tuple[str, ...],
    jobs: int,
    out: Output,
) -> None:
    """Replay scenarios, and say what was lost, saved and paused for nothing.

    --fail-if is asked of each scenario that has the figures it names, for example "false_pause_minutes > 0.0" or
    "ttc_p95_s > 600.0"; the exit code is then 1. `tocsin simulate figures` lists them.
    """
    from ..sim.fitting import DEFAULT_POLICY, load_any_policy
    from ..sim.runner import Plan, run_all
    from ..sim.thresholds import find_failures, parse_threshold
    from ..sim.totals import sum_up, total_of

    try:
        thresholds = [parse_threshold(condition) for condition in conditions]
    except ValueError as exc:
        raise click.UsageError(f"--fail-if: {exc}") from exc
    if report_path is not None:
        from ..sim.plots import check_plots

        check_plots()
    scenarios = _load(names)
    loaded = load_any_policy(policy_path or DEFAULT_POLICY)
    if policy_path is not None:
        for warning in loaded.warnings:
            out.warn(warning)
    traced = None if report_path is None else seed
    plan = Plan(tuple(scenarios), loaded.policy, seeds, control_seeds or seeds, traced)
    with out.progress("Replaying", plan.runs) as advance:
        flown = run_all(plan, jobs, advance)
    summaries = [sum_up(one.scenario, one.outcomes) for one in flown]
    total = total_of(summaries)
    failures = find_failures(thresholds, summaries)
    _print(out, summaries, total, failures, loaded.hash)
    if report_path is not None:
        _report(report_path, flown, summaries, total, str(policy_path or "the built-in default"), seed)
    if failures:
        raise NodeError("; ".join(failures))


@simulate.command("import", epilog=EXIT_CODES)
@click.argument("clone", type=DIRECTORY)
@click.option("--out", "out_dir", type=DIRECTORY, required=True, help="Where the scenario files go.")
@click.option("--after-minutes", type=click.IntRange(1, 7 * 24 * 60), default=30, show_default=True,
              help="When the made-up second victim is hit.")  # fmt: skip
@output_option
def import_(clone: Path, out_dir: Path, after_minutes: int, out: Output) -> None:
    """Make scenarios from your own clone of SunWeb3Sec/DeFiHackLabs.

    What is known is date, chain, victim, cause and loss. Who else would have been hit is made up: a second protocol
    that stands to lose as much, --after-minutes later, and so is who reports it how fast.
    """
    from ..sim.import_hacks import import_clone

    imported = import_clone(clone, out_dir, after_minutes)
    if out.as_json:
        out.emit({"written": [path.name for path in imported.written], "left_out": imported.left_out})
        return
    out.say(f"{count_text(len(imported.written), 'scenario')} in {out_dir}.")
    for why, count in sorted(imported.left_out.items()):
        out.say(f"{count} left out: {why}.")


@simulate.command(epilog=EXIT_CODES)
@output_option
def figures(out: Output) -> None:
    """List the figures that --fail-if may speak of."""
    from ..sim.totals import FIGURES

    if out.as_json:
        out.emit(dict(FIGURES))
    else:
        out.table("", ("figure", "what it is"), list(FIGURES.items()))


def _load(names: tuple[str, ...]) -> list[Scenario]:
    from ..sim.scenario import Kind
    from ..sim.scenario_files import find_scenario, list_scenarios, load_scenario

    scenarios = [load_scenario(path) for path in ([find_scenario(name) for name in names] or list_scenarios())]
    seen = {scenario.name for scenario in scenarios}
    if len(seen) != len(scenarios):
        raise click.UsageError("the same scenario stands twice, or two files give one name")
    return sorted(scenarios, key=lambda scenario: (list(Kind).index(scenario.kind), scenario.name))


def _report(path: Path, flown: list[Flown], summaries: list[Summary], total: Total, policy: str, seed: int) -> None:
    from ..sim.report import write_report

    write_report(path, flown, summaries, total, policy, seed)


def _print(out: Output, summaries: list[Summary], total: Total, failures: list[str], policy_hash: bytes) -> None:
    if out.as_json:
        document: dict[str, Any] = {
            "policy_hash": policy_hash.hex(),
            "scenarios": [summary.as_json() for summary in summaries],
            "total": total.as_json(),
            "failures": failures,
        }
        click.echo(json.dumps(document, indent=1, allow_nan=False))
        return
    attacks = [summary for summary in summaries if summary.ttc_s]
    others = [summary for summary in summaries if not summary.ttc_s]
    if attacks:
        out.table("Attacks", _ATTACK_COLUMNS, [_attack_row(summary) for summary in attacks])
    if others:
        title = "Controls, where nothing may be frozen; and limits, known to go wrong"
        out.table(title, _OTHER_COLUMNS, [_other_row(summary) for summary in others])
    _say_total(out, total)


def _say_total(out: Output, total: Total) -> None:
    from ..sim.intervals import estimate_share
    from ..sim.wording import share_text, usd_text

    if total.attack_runs:
        lost = f"{usd_text(total.loss_without_usd)} if nothing is done, {usd_text(total.loss_people_usd)} with people, "
        out.say("Attacks: ", lost, (usd_text(total.loss_with_usd), "bold"), " with the policy (sums of means).")
    if total.timed_runs:
        share = share_text(estimate_share(total.in_time_runs, total.timed_runs))
        runs = f"{total.in_time_runs} of {total.timed_runs} runs"
        out.say(f"Contained within the best published human time: {runs} ({share}).")
    if total.control_runs:
        share = share_text(estimate_share(total.control_frozen_runs, total.control_runs))
        runs = f"{total.control_frozen_runs} of {total.control_runs} runs"
        minutes = f"{total.control_false_minutes:,.0f} false pause-minutes"
        style = "bold red" if total.control_frozen_runs else "green"
        out.say("Controls: ", (runs, style), f" with a freeze or pause ({share}), {minutes}.")


def _attack_row(summary: Summary) -> list[str | Text]:
    from rich.text import Text

    from ..sim.intervals import estimate_share, percentile
    from ..sim.wording import seconds_text, share_text, span_text, usd_text

    in_time: str | Text = "none to beat"
    if summary.in_time_runs is not None:
        share = estimate_share(summary.in_time_runs, summary.runs)
        in_time = Text(share_text(share), "green" if share.value >= WELL_PERCENT else "bold red")
    return [
        summary.scenario.name,
        str(summary.runs),
        usd_text(summary.loss_without_usd),
        usd_text(summary.loss_people_usd),
        span_text(summary.loss_with_usd),
        seconds_text(percentile(summary.ttc_s, 50)),
        seconds_text(percentile(summary.ttc_s, 95)),
        "" if summary.human_s is None else seconds_text(summary.human_s),
        in_time,
    ]


def _other_row(summary: Summary) -> list[str | Text]:
    from rich.text import Text

    from ..sim.wording import share_text

    is_control = summary.scenario.kind == "control"
    style = "" if not is_control else "bold red" if summary.frozen_runs else "green"
    return [
        summary.scenario.name if is_control else f"{summary.scenario.name} ({summary.scenario.kind})",
        str(summary.runs),
        Text(share_text(summary.freeze_percent), style),
        f"{summary.false_pause_minutes.value:.1f}",
        f"{summary.false_pause_minutes_max:.0f}",
        f"{summary.notices:.1f}",
    ]
