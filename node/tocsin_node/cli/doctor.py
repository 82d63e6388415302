"""`tocsin doctor`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ..control_verbs import Verb
from .base import EXIT_CODES, EXIT_FAILED, ask_node, home_option, open_config, output_option
from .output import Output, styled

_MARKS = {"ok": "ok", "not-ok": "NOT OK", "not-known": "not known"}


@click.command(epilog=EXIT_CODES)
@home_option
@output_option
def doctor(home: Path, out: Output) -> None:
    """Look at every lever and every part of the running node, and record the result; exit 1 if something is wrong.

    Nothing is signed, sent or changed. The node does the same once a day by itself.
    """
    with out.working("Asking every lever"):
        answer = ask_node(open_config(home), Verb.DOCTOR)
    if out.as_json:
        out.emit(answer)
    else:
        _show(out, answer)
    if not answer["healthy"]:
        raise click.exceptions.Exit(EXIT_FAILED)


def _show(out: Output, answer: dict[str, Any]) -> None:
    rows = []
    # What is wrong stands first.
    for check in sorted(answer["checks"], key=lambda check: list(_MARKS).index(check["answer"]) != 1):
        mark = _MARKS[check["answer"]]
        until = check["valid_until_ms"]
        ends = "" if until is None else datetime.fromtimestamp(until / 1000, UTC).strftime("%Y-%m-%d")
        rows.append((check["area"], check["check"], styled(check["answer"], mark), check["sentence"], ends))
    out.table("", ("area", "check", "", "what was found", "until"), rows)
    wrong = sum(check["answer"] == "not-ok" for check in answer["checks"])
    unknown = sum(check["answer"] == "not-known" for check in answer["checks"])
    if answer["healthy"]:
        out.say(("All right", "bold green"), f": {len(rows)} checks, {unknown} not known.")
    else:
        out.say((f"{wrong} not right", "bold red"), f" of {len(rows)} checks, {unknown} not known.")
