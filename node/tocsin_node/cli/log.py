"""`tocsin log …`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click
from tocsin_protocol.log.bundle import encode_proof_bundle
from tocsin_protocol.log.note import decode_note

from ..errors import NodeError
from .base import EXIT_CODES, home_option, open_config, output_option
from .log_anchors import anchor_key, anchors
from .log_keep import confirm_log, prune
from .log_replay import replay
from .log_verify import fsck, own_log, verify
from .output import Output

MIN_PREFIX_CHARS = 4
_OUT = click.option(
    "--out", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write."
)


@click.group(epilog=EXIT_CODES)
def log() -> None:
    """Check, prove from and export the record of what this node knew, decided and did."""


for _command in (fsck, verify, replay, prune, confirm_log, anchor_key, anchors):
    log.add_command(_command)


@log.command()
@home_option
@output_option
def key(home: Path, out: Output) -> None:
    """Print the public key of this node's log: what others need to check it."""
    with own_log(home) as own:
        text = str(own.key)
    if out.as_json:
        out.emit({"key": text})
    else:
        click.echo(text)


@log.command()
@click.argument("about")
@_OUT
@home_option
@output_option
def prove(about: str, path: Path, home: Path, out: Output) -> None:
    """Write a case file about ABOUT: the first hex digits of the id of a signal, an action or an incident.

    The file of an incident has its signals, decisions, actions and outcomes, and what the decisions stood on: your
    policy, manifest and roster are in it. deploy/verifier/tocsin_verify.py checks it without Tocsin.
    """
    from tocsin_protocol.log.case import MAX_CASE_ENTRIES, encode_case

    from ..record.cases import find_case, make_case
    from ..store.replay_source import ReplaySource

    prefix = _prefix_of(about)
    with closing(ReplaySource(open_config(home).node.data_dir)) as own:
        indexes = find_case(own, own.find_id(prefix))
        if not indexes:
            raise NodeError(f"no entry under the head of the log is about {about!r}: `tocsin log fsck` says why")
        if len(indexes) > MAX_CASE_ENTRIES:
            raise NodeError(f"more than {MAX_CASE_ENTRIES} entries are about {about!r}: a case file holds no more")
        case = make_case(own, indexes)
        pruned = own.pruned
    _write(path, encode_case(case))
    if out.as_json:
        counts = {"entries": len(case.entries), "signals": len(case.signals), "pruned": pruned}
        out.emit(counts | {"cosigned": _cosigned(case.checkpoint)})
    else:
        out.say((f"{len(case.entries)} entries", "bold"), f" and {len(case.signals)} signals in {path}")
        _say_cosigned(out, case.checkpoint)
        if pruned:
            out.warn(f"the first {pruned} entries were pruned: what they have about it is where they were exported to")


@log.command()
@click.argument("index", type=click.IntRange(min=0))
@_OUT
@home_option
@output_option
def entry(index: int, path: Path, home: Path, out: Output) -> None:
    """Write a proof file (C2SP tlog-proof) for the entry at INDEX; the first is 0."""
    from ..record.cases import prover_up_to

    with own_log(home) as own:
        bundle = prover_up_to(own, index).prove_entry(index)
    _write(path, encode_proof_bundle(bundle))
    if out.as_json:
        out.emit({"index": index, "entry": bundle.entry.hex(), "cosigned": _cosigned(bundle.checkpoint)})
    else:
        out.say((f"Entry {index}", "bold"), f" in {path}")
        _say_cosigned(out, bundle.checkpoint)


@log.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--whole", is_flag=True, help="With what entries name by a hash: signals, drafts, decisions.")
@home_option
@output_option
def export(folder: Path, whole: bool, home: Path, out: Output) -> None:
    """Write the log to FOLDER as static files, or add to it what is new.

    With --whole, `tocsin log replay --from FOLDER` takes every decision again. That is for an auditor or cold storage,
    and for no file server: signals have labels, and what is written beside the tiles is readable for you alone.
    """
    from ..record.beside import write_beside
    from ..record.export import export_log
    from ..store.replay_source import ReplaySource

    with closing(ReplaySource(open_config(home).node.data_dir)) as own:
        head = own.head
        note = own.witnessed_checkpoint(head.size)
        written = write_beside(own, folder) if whole else 0
        written += export_log(own, head, note, folder)
    if out.as_json:
        out.emit({"entries": head.size, "written": written, "cosigned": _cosigned(note)})
    else:
        out.say((f"{head.size} entries", "bold"), f" in {folder}, {written} files written")
        _say_cosigned(out, note)


@log.command()
@click.option("--least", type=click.IntRange(min=0), help="Members whose word is wanted; without it more than may lie.")
@home_option
@output_option
def policy(least: int | None, home: Path, out: Output) -> None:
    """Print a policy (C2SP tlog-policy) for this node's log: its key, and the members whose cosignatures are wanted."""
    from tocsin_protocol.log.checkpoint import FIRST_GENERATION, read_origin
    from tocsin_protocol.log.members import trust_text
    from tocsin_protocol.roster import tolerated_faults

    from ..store.reader import Reader

    with own_log(home) as own, Reader(open_config(home).node.data_dir) as reader:
        index, named = reader.roster(), read_origin(own.key.name)
        generation = FIRST_GENERATION if named is None else named.generation
        wanted = tolerated_faults(len(index.roster.members)) + 1 if least is None else least
        text = trust_text(index, reader.publisher, generation, wanted)
    if out.as_json:
        out.emit({"policy": text})
    else:
        click.echo(text, nl=False)


def _prefix_of(about: str) -> str:
    digits = about.lower().removeprefix("0x")
    if len(digits) < MIN_PREFIX_CHARS or not set(digits) <= set("0123456789abcdef"):
        raise click.BadParameter(f"at least {MIN_PREFIX_CHARS} hex digits of an id are wanted", param_hint="ABOUT")
    return digits


def _cosigned(note: bytes) -> int:
    return len(decode_note(note).signatures) - 1


def _say_cosigned(out: Output, note: bytes) -> None:
    if count := _cosigned(note):
        out.say(f"  under a head that {count} others have cosigned")
    else:
        out.say("  under a head that nobody else has cosigned: a policy that wants witnesses does not take it")


def _write(path: Path, data: bytes) -> None:
    from ..private_files import replace_file

    try:
        replace_file(path, data)
    except OSError as exc:
        raise NodeError(f"{path}: cannot be written ({exc.strerror})") from exc
