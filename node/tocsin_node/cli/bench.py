"""`tocsin bench`: what this machine does, held against the goals; ratios in one run, because machines are noisy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import NodeError
from .base import EXIT_CODES, output_option
from .output import Output

if TYPE_CHECKING:
    from rich.text import Text

    from ..bench.result import Result

GROUPS = ("spine", "decide", "contain", "log", "feed")


@click.command(epilog=EXIT_CODES)
@click.argument("group", required=False, type=click.Choice(GROUPS))
@click.option("--part", multiple=True, help="Only parts whose name holds this text; several are possible.")
@click.option(
    "--js-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("tests/interop/js"),
    show_default=True,
    help="The js-libp2p mesh that ours is compared with.",
)
@output_option
def bench(group: str | None, part: tuple[str, ...], js_dir: Path, out: Output) -> None:
    """Measure GROUP, or all groups. Run it on a machine with nothing else to do; it takes about twenty minutes.

    --json prints a list of {group, name, value, unit, goal, met}. The exit code is 1 when a goal is not met.
    """
    import trio

    from ..bench.contain import contain_parts
    from ..bench.decide import decide_parts
    from ..bench.feed import feed_parts
    from ..bench.log import log_parts
    from ..bench.spine import spine_parts
    from ..interpreter import tune_interpreter
    from ..logs import configure_logs

    configure_logs("error")
    # As a node does: what is measured in this process is measured as it runs there.
    tune_interpreter()
    results: list[Result] = []
    groups = {
        "spine": spine_parts(js_dir),
        "decide": decide_parts(),
        "contain": contain_parts(),
        "log": log_parts(),
        "feed": feed_parts(),
    }
    parts = [one for name, of_group in groups.items() if group in (None, name) for one in of_group]
    chosen = [p for p in parts if not part or any(text in p.name for text in part)]
    if not chosen:
        raise click.UsageError(f"--part: none of {', '.join(p.name for p in parts)} holds that text")
    for one in chosen:
        with out.progress(one.name, one.steps) as advance:
            results += trio.run(one.run, advance)
    if out.as_json:
        click.echo(json.dumps([result.as_json() for result in results], indent=1))
    else:
        out.table("Bench", ("group", "figure", "value", "unit", "goal", "met"), [_row(result) for result in results])
    missed = [result.name for result in results if result.met is False]
    if missed:
        raise NodeError(f"{len(missed)} of {len(results)} figures miss their goal: {'; '.join(missed)}")


def _row(result: Result) -> list[str | Text]:
    from rich.text import Text

    met = {True: Text("yes", "green"), False: Text("NO", "bold red"), None: Text("")}[result.met]
    value = f"{result.value:,.0f}" if abs(result.value) >= 1000 else f"{result.value:.3g}"
    return [result.group, result.name, value, result.unit, result.goal, met]
