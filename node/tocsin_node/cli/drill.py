"""`tocsin drill`, `tocsin drill report` and `tocsin drill verify`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import NodeError
from .base import EXIT_CODES, EXIT_FAILED, home_option, open_config, open_store, output_option
from .output import Output, count_text, short_hex, styled, time_text
from .publish import send_signal
from .roster_io import FILE

if TYPE_CHECKING:
    from tocsin_protocol.drill import DrillRecord
    from tocsin_protocol.roster import RosterIndex

    from ..config import NodeConfig

POLL_SECONDS = 0.1
MAX_EXPORT_BYTES = 4 * 1024 * 1024
DEFAULT_REPORTED = 100


@click.group(invoke_without_command=True, epilog=EXIT_CODES)
@click.option("--subject", help="What the drill is about; a subject of your own manifest, if not given.")
@click.option(
    "--wait-seconds", type=click.IntRange(0, 600), default=10, show_default=True, help="For what comes of it."
)
@home_option
@output_option
@click.pass_context
def drill(context: click.Context, subject: str | None, wait_seconds: int, home: Path, out: Output) -> None:
    """Publish a drill: signed, gossiped, stored and decided on by everybody, and never acted on.

    Hooks with `drill = true` are used by it, and by nothing else: they have no effect. How long each stage took is
    signed and kept; see `tocsin drill report`.
    """
    if context.invoked_subcommand is None:
        _drill(open_config(home), subject, wait_seconds, out)


def _drill(config: NodeConfig, subject: str | None, wait_seconds: int, out: Output) -> None:
    from ..manifest_file import load_manifest

    subjects = sorted(s.value for holding in load_manifest(config.exposure.manifest).holdings for s in holding.subjects)
    about = subject or next(iter(subjects), None)
    started = time.monotonic()
    digest = send_signal(config, _drill_of(about), out)
    decision = _wait_for_decision(config, digest, started + wait_seconds) if digest else ""
    took_ms = round(1000 * (time.monotonic() - started))
    records = _wait_for_records(config, digest, started + wait_seconds) if digest else []
    if out.as_json:
        shown = [_view(record) for record in records]
        out.emit(
            {
                "digest": digest,
                "decided_after_ms": took_ms if decision else None,
                "decision": decision,
                "records": shown,
            }
        )
    elif digest is not None:
        _say(out, decision, took_ms, wait_seconds)
        if records:
            _show_records(out, records)
        elif config.drill_names:
            out.say(("No hook is done", "yellow"), f" within {wait_seconds} s: see tocsin drill report later.")


def _say(out: Output, decision: str, took_ms: int, wait_seconds: int) -> None:
    if decision:
        out.say(("Decided ", "bold"), f"{took_ms} ms after: ", decision)
    else:
        out.say(("No decision", "yellow"), f" within {wait_seconds} s: it touches nothing of ours.")


@drill.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=DEFAULT_REPORTED, show_default=True)
@click.option("--export", "export_path", type=FILE, help="Write the signed records there, a JSON object in each line.")
@home_option
@output_option
def report(limit: int, export_path: Path | None, home: Path, out: Output) -> None:
    """Show how long each stage of past drills took, from publication on, and percentiles over all of them."""
    from tocsin_protocol.drill import decode_record

    with open_store(open_config(home)) as reader:
        signed = reader.drill_records(limit)
    if export_path is not None:
        from ..private_files import write_new_file

        lines = [json.dumps({"body": body.hex(), "signature": mark.hex()}) for body, mark in signed]
        write_new_file(export_path, "".join(line + "\n" for line in lines).encode(), mode=0o644)
    records = [decode_record(body) for body, _ in signed]
    if out.as_json:
        out.emit({"records": [_view(record) for record in records], "percentiles": _percentiles(records)})
    elif records:
        _show_records(out, records)
        _show_percentiles(out, records)
    else:
        out.say("No drill was measured yet: give a hook `drill = true`, and run `tocsin drill`.")


@drill.command()
@click.argument("path", type=FILE)
@home_option
@output_option
def verify(path: Path, home: Path, out: Output) -> None:
    """Check the signatures of exported records against the roster in force; exit 1 if one does not hold."""
    from tocsin_protocol.drill import decode_record, verify_record
    from tocsin_protocol.errors import ProtocolError

    from ..toml_files import read_bytes

    with open_store(open_config(home)) as reader:
        index = reader.roster()
    is_good = True
    for number, line in enumerate(read_bytes(path, MAX_EXPORT_BYTES).splitlines(), start=1):
        try:
            document = json.loads(line)
            body, signature = bytes.fromhex(document["body"]), bytes.fromhex(document["signature"])
        except (ValueError, TypeError, KeyError) as exc:
            raise NodeError(f"{path}, line {number}: body and signature in hex are wanted") from exc
        try:
            record = verify_record(_key_of(index, decode_record(body).node), body, signature)
            fault = ""
        except ProtocolError as exc:
            fault, record, is_good = str(exc), None, False
        if out.as_json:
            out.emit({"line": number, "fault": fault, "record": None if record is None else _view(record)})
        elif fault:
            out.say((f"line {number}: ", "bold red"), fault)
    if is_good and not out.as_json:
        out.say(("All signatures hold.", "bold green"))
    if not is_good:
        raise click.exceptions.Exit(EXIT_FAILED)


def _key_of(index: RosterIndex, node: bytes) -> bytes:
    from tocsin_protocol.errors import SignatureError

    publisher = index.publisher(node)
    if publisher is None:
        raise SignatureError(f"0x{node.hex()} is no publisher of the roster in force")
    return publisher.key


def _drill_of(subject: str | None) -> dict[str, Any]:
    """A drill about a subject; without one, about nobody in particular."""
    about = {"role": "at-risk", "value": subject} if subject else {"role": "related", "value": "drill"}
    return {"category": "meta.drill", "severity": "low", "confidence": 100, "drill": True, "subjects": [about]}


def _wait_for_decision(config: NodeConfig, digest: str, deadline: float) -> str:
    """The decision's sentence, or nothing when there is none in time."""
    with open_store(config) as reader:
        while True:
            row = reader.signal(bytes.fromhex(digest))
            decisions = reader.decisions(row.incident, limit=1) if row and row.incident else []
            if decisions:
                return decisions[0].sentence
            if time.monotonic() >= deadline:
                return ""
            time.sleep(POLL_SECONDS)


def _wait_for_records(config: NodeConfig, digest: str, deadline: float) -> list[DrillRecord]:
    """What was measured of a drill on every drill hook, as far as it is in time."""
    from tocsin_protocol.drill import decode_record

    with open_store(config) as reader:
        while True:
            signed = reader.drill_records(DEFAULT_REPORTED)
            records = [r for body, _ in signed if (r := decode_record(body)).drill == bytes.fromhex(digest)]
            if len(records) >= len(config.drill_names) or time.monotonic() >= deadline:
                return records
            time.sleep(POLL_SECONDS)


def _view(record: DrillRecord) -> dict[str, Any]:
    return {
        "drill": record.drill.hex(),
        "publisher": "0x" + record.publisher.hex(),
        "node": "0x" + record.node.hex(),
        "hook": record.hook,
        "outcome": record.outcome,
        "ttc_ms": record.ttc_ms,
        "stages": {stage.value: at_ms for stage, at_ms in record.stages},
    }


def _percentiles(records: list[DrillRecord]) -> dict[str, dict[str, int | None]]:
    """Of each stage, how long after publication it was reached."""
    from tocsin_protocol.drill import PERCENTILES, DrillStage, percentile

    found = {}
    for stage in list(DrillStage)[1:]:
        times = [ms for record in records if (ms := record.after_publication_ms(stage)) is not None]
        found[stage.value] = {f"p{percent}": percentile(times, percent) for percent in PERCENTILES}
    return found


def _show_records(out: Output, records: list[DrillRecord]) -> None:
    from tocsin_protocol.drill import DrillStage

    stages = list(DrillStage)[1:]
    rows: list[list[Any]] = []
    for record in records:
        times = [record.after_publication_ms(stage) for stage in stages]
        at_ms = dict(record.stages).get(DrillStage.PUBLISHED, 0)
        shown = ["" if ms is None else str(ms) for ms in times]
        rows.append([time_text(at_ms)[:-4], short_hex(record.drill), record.hook, styled(record.outcome), *shown])
    out.table("ms after publication", ("published", "drill", "hook", "outcome", *stages), rows)


def _show_percentiles(out: Output, records: list[DrillRecord]) -> None:
    found = _percentiles(records)
    rows = [(stage, *("" if ms is None else str(ms) for ms in values.values())) for stage, values in found.items()]
    title = f"Percentiles over {count_text(len(records), 'record')}, ms"
    out.table(title, ("stage", *next(iter(found.values()))), rows)
