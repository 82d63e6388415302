"""`tocsin log prune` and `tocsin log confirm`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from ..control_verbs import Verb
from ..store.pruning import MIN_KEEP_DAYS
from .base import EXIT_CODES, ask_node, confirm, home_option, open_config, output_option
from .output import Output


@click.command(epilog=EXIT_CODES)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--keep-days",
    type=click.IntRange(min=MIN_KEEP_DAYS),
    default=365,
    show_default=True,
    help="What is younger stays, as does what is about anything open. Days on which nothing was logged do not count.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@output_option
def prune(folder: Path, keep_days: int, yes: bool, home: Path, out: Output) -> None:
    """Export the log to FOLDER, then have the running node drop the bytes of old entries; their hashes stay.

    What is dropped is in FOLDER alone from then on, and nobody can bring it back: keep it, and give the same FOLDER
    the next time. `tocsin log verify FOLDER` checks it, `tocsin log replay --from FOLDER` takes its decisions again.
    """
    from ..clock import now_ms
    from ..record.beside import write_beside
    from ..record.export import export_log
    from ..record.exported import check_exported
    from ..store.replay_source import ReplaySource

    config = open_config(home)
    with closing(ReplaySource(config.node.data_dir)) as own:
        head, pruned = own.head, own.pruned
        to = own.find_prunable(keep_days, now_ms())
        write_beside(own, folder)
        export_log(own, head, own.checkpoint(), folder)
        check_exported(own, folder, pruned, to, head)
    before = pruned
    if to > pruned:
        confirm(f"Drop {to - pruned} entries here? {folder} will be the only place that has them.", yes=yes)
    while pruned < to:
        answer = ask_node(config, Verb.PRUNE_LOG, to=to, keep_days=keep_days)
        # What became open meanwhile is kept.
        if answer["pruned"] == pruned:
            break
        pruned = answer["pruned"]
    if out.as_json:
        out.emit({"entries": head.size, "pruned": pruned, "now": pruned - before})
    elif pruned == before:
        out.say(f"Nothing dropped: all that is old enough is gone, or about something open. {folder} is up to date.")
    else:
        out.say(
            (f"{pruned - before} entries dropped here.", "bold"), f" No other place than {folder} has them: keep it."
        )


@click.command(name="confirm", epilog=EXIT_CODES)
@click.option("--anew", is_flag=True, help="Under another name, where no peer can be asked.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@output_option
def confirm_log(anew: bool, yes: bool, home: Path, out: Output) -> None:
    """Let the log of a restored backup go on.

    Its head may be older than one that others have seen; to go on from there tells two histories, which anybody can
    prove against this node. So peers are asked first: where one keeps a later head, the log is begun anew by itself,
    and says so. This is for when none does: nobody else, no export, no case file and no anchor on a chain has a later
    head either.

    With --anew no peer is asked. The log goes on under another name, its next generation; whoever verifies it has to
    be told (`tocsin log key`), and what was in it after the backup is gone.
    """
    config = open_config(home)
    if anew:
        confirm("Give this log another name, which whoever verifies it has to be told?", yes=yes)
    else:
        confirm(
            "Do you know of no export, proof, case file or anchor on a chain with a later head of this log?", yes=yes
        )
    answer = ask_node(config, Verb.CONFIRM_LOG, anew=anew)
    if out.as_json:
        out.emit(answer)
    else:
        out.say("The log goes on from ", (f"{answer['size']} entries", "bold"), f", generation {answer['generation']}.")
