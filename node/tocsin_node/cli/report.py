"""`tocsin report INCIDENT` and `tocsin report verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from tocsin_protocol.errors import ProtocolError
from tocsin_protocol.taxonomy import Tlp

from ..control_verbs import Verb
from ..errors import ConfigError, NodeError
from .base import EXIT_CODES, ask_node, home_option, open_config, output_option
from .output import Output
from .roster_io import FILE

if TYPE_CHECKING:
    from tocsin_protocol.postmortem.report import Report

    from ..store.record_reader import RecordReader

_DEFAULT = "make"


class _ReportGroup(click.Group):
    """A group whose first argument is an incident, unless it names a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command before an incident."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=_ReportGroup,
    epilog=EXIT_CODES,
    options_metavar="",
    subcommand_metavar="INCIDENT | verify FILE [FULL] | log FILE",
)
def report() -> None:
    """Write the post-mortem of INCIDENT (first hex digits of its id): a page, a PDF, and JSON for programs.

    With --public also a version that withholds what others or you did not open, and commits to the whole one.
    `tocsin report INCIDENT --help` has the options.
    """


@report.command(name=_DEFAULT, hidden=True, epilog=EXIT_CODES)
@click.argument("incident")
@click.option(
    "--out",
    "out_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write to; report-INCIDENT here, if not given. Nothing in it is overwritten.",
)
@click.option("--public", is_flag=True, help="Also write the version for others, of the same entries.")
@click.option(
    "--tlp",
    type=click.Choice([label.value for label in Tlp]),
    default=Tlp.CLEAR.value,
    show_default=True,
    help="With --public: the strictest label that is shown.",
)
@click.option(
    "--database",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A folder with a copy of a node's tocsin.db, in place of the node's own.",
)
@home_option
@output_option
def make(
    incident: str, out_dir: Path | None, public: bool, tlp: str, database: Path | None, home: Path, out: Output
) -> None:
    """Write the post-mortem of INCIDENT, from the database, whether or not the node runs."""
    from ..clock import now_ms
    from ..report.files import make_report, write_report
    from ..report.reading import read_entries

    with _open_record(home, database) as reader:
        entries = read_entries(reader, incident, now_ms())
    whole = make_report(entries)
    folder = out_dir or Path(f"report-{whole.header.incident[:12]}")
    with out.working("Writing …"):
        written = write_report(folder, whole, Tlp(tlp) if public else None)
    if out.as_json:
        out.emit(
            {
                "incident": whole.header.incident,
                "root": whole.root.hex(),
                "entries": len(whole.leaves),
                "files": [str(path) for path in written.paths],
                "without_pdf": written.without_pdf,
            }
        )
        return
    out.say(("Incident ", "bold"), (whole.header.incident[:12], "cyan"), f": {len(whole.leaves)} entries")
    out.say("Root  ", (whole.root.hex(), "cyan"))
    for path in written.paths:
        out.say("  ", str(path))
    if written.without_pdf:
        out.warn(f"no PDF: {written.without_pdf}")
    out.say("Keep the whole report: only with it can anybody check that a public one is a part of it.")
    out.say("`tocsin report log FILE` has the running node sign its root, and write it to the log.")


@report.command(name="log", epilog=EXIT_CODES)
@click.argument("file", type=FILE)
@home_option
@output_option
def log_root(file: Path, home: Path, out: Output) -> None:
    """Have the running node sign the root of a report of its own, FILE, and write it to the log."""
    told = _read(file)
    config = open_config(home)
    with _open_record(home, None) as reader:
        if bytes.fromhex(told.header.publisher) != reader.publisher:
            raise NodeError(f"{file} is told by 0x{told.header.publisher}, and this node is 0x{reader.publisher.hex()}")
    answer = ask_node(
        config, Verb.LOG_REPORT, incident=told.header.incident, root=told.root.hex(), leaves=len(told.leaves)
    )
    if out.as_json:
        out.emit({"root": told.root.hex(), **answer})
        return
    out.say(("Logged: ", "bold green"), f"entry {answer['index']} says the root ", (told.root.hex(), "cyan"))
    out.say(f"`tocsin log entry {answer['index']} --out FILE` proves that to others.")


@report.command(epilog=EXIT_CODES)
@click.argument("public", type=FILE)
@click.argument("full", type=FILE, required=False)
@click.option("--key", "log_key", help="The key of its node's log: then its proofs are checked as well.")
@output_option
def verify(public: Path, full: Path | None, log_key: str | None, out: Output) -> None:
    """Check a report's JSON: its entries give its root; with FULL also that it is a part of that one."""
    from tocsin_protocol.log.note import decode_verifier_key
    from tocsin_protocol.postmortem.proofs import verify_proofs
    from tocsin_protocol.postmortem.report import verify_redaction

    shown = _read(public)
    proven = None if log_key is None else verify_proofs(shown, [decode_verifier_key(log_key)])[1]
    if full is not None:
        try:
            verify_redaction(shown, _read(full))
        except ProtocolError as exc:
            raise NodeError(f"{public} is no part of {full}: {exc}") from exc
    if out.as_json:
        out.emit(
            {
                "incident": shown.header.incident,
                "publisher": "0x" + shown.header.publisher,
                "root": shown.root.hex(),
                "entries": len(shown.entries),
                "withheld": shown.withheld,
                "part_of_full": True if full is not None else None,
                "proven": proven,
            }
        )
        return
    out.say(
        ("Good. ", "bold green"),
        f"{len(shown.entries)} entries are shown, {shown.withheld} withheld; all are under the root",
    )
    out.say("  ", (shown.root.hex(), "cyan"))
    out.say(f"  of incident {shown.header.incident[:12]}, as 0x{shown.header.publisher} tells it.")
    if proven is not None:
        out.say(f"{proven} entries of its node's log are proven, under a head that the key signed.")
    if full is not None:
        out.say(f"It is a part of {full}: what it shows stands there too, and what it withholds as well.")
    else:
        out.say("That nobody changed the root you know only from who gave it to you: compare it by another way.")


def _open_record(home: Path, database: Path | None) -> RecordReader:
    """The node's own record, or the copy; raises StoreError, and ConfigError where it is another node's."""
    from ..store.record_reader import open_record
    from ..views import member_name

    if database is not None:
        return open_record(database)
    config = open_config(home, pinned=False)
    reader = open_record(config.node.data_dir)
    member = member_name(reader.roster(), reader.publisher)
    if member and member != config.node.member:
        reader.close()
        raise ConfigError(
            config.node.data_dir,
            "",
            f"the database is of {member}, and this node is {config.node.member}: if you mean it, use --database",
        )
    return reader


def _read(path: Path) -> Report:
    from tocsin_protocol.postmortem.report import MAX_REPORT_BYTES, decode_report

    try:
        with path.open("rb") as file:
            return decode_report(file.read(MAX_REPORT_BYTES + 1))
    except OSError as exc:
        raise NodeError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ProtocolError as exc:
        raise NodeError(f"{path}: {exc}") from exc
