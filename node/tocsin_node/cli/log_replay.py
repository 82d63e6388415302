"""`tocsin log replay`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tocsin_protocol.log.trust import judge_head

from ..errors import NodeError
from .base import EXIT_CODES, home_option, open_config, output_option
from .log_trust import trust_of, trust_options
from .output import Output, time_text

if TYPE_CHECKING:
    from ..record.source import LogSource
    from ..replay.taking import Result, Taken

MAX_TOLD = 100


@click.command(epilog=EXIT_CODES)
@click.option("--incident", "prefix", default="", help="Take only this one again: the first hex digits of its id.")
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder of `tocsin log export --whole`, of any node; with --key or --policy.",
)
@trust_options
@home_option
@output_option
def replay(prefix: str, folder: Path | None, log_key: str | None, policy: Path | None, home: Path, out: Output) -> None:
    """Take every logged decision and finding again, from the log alone, and say which come out differently.

    Of this node's own log, or, with --from, of one that was exported. Nothing is changed, and the node may run
    meanwhile. Exits with 1 unless all come out as they were logged; what is missing to take one again is named.
    """
    if folder is None and (log_key or policy):
        raise click.UsageError("--key and --policy go with --from: this node's own log is checked by its own key")
    found, pruned = _replay_own(home) if folder is None else _replay_exported(folder, log_key, policy)
    taken = [one for one in found if one.about.hex().startswith(prefix.lower())]
    if prefix and not taken:
        raise NodeError(f"the log has no decision and no finding about an incident {prefix!r}")
    _tell(out, taken, pruned)


def _replay_own(home: Path) -> tuple[list[Taken], int]:
    from ..store.replay_source import ReplaySource

    source = ReplaySource(open_config(home).node.data_dir)
    try:
        return _replay(source, bool(source.check_details() or source.count_outside())), source.pruned
    finally:
        source.close()


def _replay_exported(folder: Path, log_key: str | None, policy: Path | None) -> tuple[list[Taken], int]:
    from ..record.exported import ExportedLog
    from ..record.files import LogFolder

    trust = trust_of(log_key, policy)
    head = judge_head(LogFolder(folder).checkpoint(), trust).checkpoint
    return _replay(ExportedLog(folder, head), False), 0


def _replay(source: LogSource, is_broken: bool) -> list[Taken]:
    from ..record.checking import check_log
    from ..replay.taking import replay_log

    # [REPLAY] Nothing is taken again from a log that is not whole.
    if is_broken or check_log(source, source.head, source.pruned):
        why = "the log is not whole, or has entries under no head"
        raise NodeError(f"{why}, so nothing is taken again: `tocsin log fsck`, or `verify`, says where")
    return list(replay_log(source))


def _tell(out: Output, taken: list[Taken], pruned: int) -> None:
    from ..replay.taking import Result

    counts = Counter(one.result for one in taken)
    wrong = [one for one in taken if one.result is not Result.EQUAL]
    if out.as_json:
        told = {str(result): counts[result] for result in Result}
        out.emit({**told, "pruned": pruned, "told": [_view(one) for one in wrong]})
    else:
        _say(out, counts, wrong)
        if pruned:
            out.say(
                f"The first {pruned} entries were pruned, and not looked at: see --from, with the folder that has them."
            )
    if wrong:
        click.get_current_context().exit(1)


def _say(out: Output, counts: Counter[Result], wrong: list[Taken]) -> None:
    from ..replay.taking import Result

    for one in wrong[:MAX_TOLD]:
        how = "comes out differently" if one.result is Result.DIFFERS else "cannot be taken again"
        out.say(
            ("  ! ", "bold red"),
            f"{one.what} about incident {one.about.hex()[:12]}, {time_text(one.at_ms)} (entry {one.index}) ",
            (how, "bold red" if one.result is Result.DIFFERS else "bold yellow"),
        )
        for line in one.why:
            out.say("      ", (line, "yellow"))
    if len(wrong) > MAX_TOLD:
        out.say(f"  and {len(wrong) - MAX_TOLD} more: --json has them all")
    equal, differ = counts[Result.EQUAL], counts[Result.DIFFERS]
    if not wrong and not equal:
        out.say("The log has no decisions and no findings yet: there was nothing to take again.")
    elif not wrong:
        out.say(
            ("The same. ", "bold green"),
            f"Decisions and findings that come out as they were logged: {equal} of {equal}.",
        )
    else:
        out.say(
            (f"{differ} come out differently", "bold red" if differ else "bold"),
            f", {counts[Result.NOT_REPLAYABLE]} cannot be taken again, {equal} come out as they were logged.",
        )


def _view(one: Taken) -> dict[str, object]:
    return {
        "index": one.index,
        "at_ms": one.at_ms,
        "what": one.what,
        "about": one.about.hex(),
        "result": str(one.result),
        "why": list(one.why),
    }
