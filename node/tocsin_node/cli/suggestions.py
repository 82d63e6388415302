"""`tocsin suggestions …`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click

from .base import EXIT_CODES, confirm, home_option, open_config, output_option
from .output import Output, short_address, styled, time_text

_NUMBER = click.argument("number", type=click.IntRange(1))


@click.group(epilog=EXIT_CODES)
def suggestions() -> None:
    """What others found (TAXII, monitors): publish it as your own word, or drop it.

    Nothing of it counts, here or elsewhere, before you publish it.
    """


@suggestions.command(name="list")
@click.option("--all", "every", is_flag=True, help="Those that are dealt with, too.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@home_option
@output_option
def list_(every: bool, limit: int, home: Path, out: Output) -> None:
    """List suggestions, newest first."""
    from ..api.feed_db import open_feed_db
    from ..api.suggestions import State, read_suggestions

    with closing(open_feed_db(open_config(home).node.data_dir)) as connection:
        found = read_suggestions(connection, states=tuple(State) if every else (State.OPEN,), limit=limit)
    if out.as_json:
        out.emit({"suggestions": [asdict(one) for one in found]})
        return
    rows = []
    for one in found:
        subjects = " ".join(short_address(str(s["value"])) for s in one.document["subjects"])
        severity = styled(str(one.document["severity"]))
        rows.append(
            (str(one.number), time_text(one.at_ms), one.source, severity, str(one.document["category"]), subjects)
        )
    out.table("", ("number", "came", "from", "severity", "category", "about"), rows)


@suggestions.command()
@_NUMBER
@home_option
@output_option
def show(number: int, home: Path, out: Output) -> None:
    """Show one: what would be published, where it comes from, and what was assumed in drafting it."""
    from ..api.feed_db import open_feed_db
    from ..api.suggestions import read_suggestion

    with closing(open_feed_db(open_config(home).node.data_dir)) as connection:
        one = read_suggestion(connection, number)
    if out.as_json:
        out.emit(asdict(one))
        return
    out.say((f"Suggestion {one.number}", "bold"), f" from {one.source}, {one.state}: {one.origin}")
    for note in one.notes:
        out.say(("Assumed: ", "yellow"), note)
    for name, value in one.document.items():
        out.say(f"  {name}: ", str(value))
    out.say(
        f"To change it: tocsin suggestions show {number} --json, and publish its `document` with tocsin publish --file"
    )


@suggestions.command()
@_NUMBER
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@output_option
def publish(number: int, yes: bool, home: Path, out: Output) -> None:
    """Sign a suggestion and publish it: from then on it is your word, and counts as your own detector's."""
    from ..api.feed_db import open_feed_db
    from ..api.suggestions import State, read_suggestion, settle_suggestion
    from ..errors import NodeError
    from .publish import send_signal

    config = open_config(home)
    with closing(open_feed_db(config.node.data_dir)) as connection:
        one = read_suggestion(connection, number)
        if one.state is not State.OPEN:
            raise NodeError(f"suggestion {number} is {one.state} already")
        if not out.as_json:
            _warn(one.notes, out)
        confirm(f"Publish {one.document['category']} from {one.source} under your own name?", yes=yes)
        send_signal(config, one.document, out)
        settle_suggestion(connection, number, State.PUBLISHED)


@suggestions.command()
@_NUMBER
@home_option
@output_option
def drop(number: int, home: Path, out: Output) -> None:
    """Drop a suggestion; the same finding does not come back."""
    from ..api.feed_db import open_feed_db
    from ..api.suggestions import State, settle_suggestion

    with closing(open_feed_db(open_config(home).node.data_dir)) as connection:
        settle_suggestion(connection, number, State.DROPPED)
    if out.as_json:
        out.emit({"number": number, "state": "dropped"})
    else:
        out.say(f"Dropped {number}.")


def _warn(notes: tuple[str, ...], out: Output) -> None:
    for note in notes:
        out.warn(note)
