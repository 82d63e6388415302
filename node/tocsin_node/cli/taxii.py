"""`tocsin taxii …`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click
from tocsin_protocol.ids import check_slug

from .base import EXIT_CODES, home_option, open_config, output_option
from .output import Output, count_text

_TLPS = ("clear", "green", "amber", "red")


@click.group(epilog=EXIT_CODES)
def taxii() -> None:
    """Serve another's archive, and read another's feed."""


@taxii.command(name="import")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", required=True, help="Short name of the collection, in its address.")
@click.option("--title", help="For people; the name, if not given.")
@click.option("--tlp", type=click.Choice(_TLPS), required=True, help="Who may read it.")
@home_option
@output_option
def import_(path: Path, name: str, title: str | None, tlp: str, home: Path, out: Output) -> None:
    """Serve the dump of a TAXII collection: lines of {"date_added": …, "object": …}.

    Its objects keep their dates. The same dump again, or a later one of the same collection, adds what is new.
    """
    from tocsin_protocol.taxonomy import Tlp

    from ..api.feed_db import open_feed_db
    from ..api.taxii.importing import import_dump
    from ..api.taxii.inbox import OWN_ALIASES

    config = open_config(home)
    with closing(open_feed_db(config.node.data_dir)) as connection, out.working("Importing"):
        done = import_dump(
            connection, path, alias=check_slug(name), title=title or name, tlp=Tlp(tlp), known=OWN_ALIASES
        )
    if out.as_json:
        out.emit(asdict(done))
        return
    out.say(("Imported ", "bold green"), count_text(done.added, "object"), f" into {name} ({done.collection})")
    out.say(
        f"{done.duplicates} were there already, {done.out_of_order} stood out of order, {done.late} got later dates"
    )
    for refusal in done.refusals:
        out.warn(refusal)
    if done.refused > len(done.refusals):
        out.warn(f"and {done.refused - len(done.refusals)} more were refused")


@taxii.command()
@click.argument("name")
@click.argument("url")
@click.option("--key-file", type=click.Path(path_type=Path, dir_okay=False), help="0600; the key or password.")
@click.option("--user", help="For servers that want a user and a password (Basic); else the key is sent as Bearer.")
@home_option
@output_option
def pull(name: str, url: str, key_file: Path | None, user: str | None, home: Path, out: Output) -> None:
    """Read what is new in the collection at URL (…/collections/ID) as suggestions; NAME is for where to go on."""
    from ..api.feed_db import open_feed_db
    from ..api.taxii.pulling import pull_collection
    from ..private_files import read_private_file

    config = open_config(home)
    key = read_private_file(key_file).decode().strip() if key_file else ""
    if user and not key:
        raise click.UsageError("--user wants --key-file")
    auth = (user, key) if user else None
    with closing(open_feed_db(config.node.data_dir)) as connection, out.working("Reading"):
        pulled = pull_collection(connection, check_slug(name), url, auth, None if user else key or None)
    if out.as_json:
        out.emit(asdict(pulled))
        return
    told = f" of {count_text(pulled.objects, 'object')}; {pulled.known} known already, {pulled.faulty} faulty"
    out.say(("New: ", "bold green"), count_text(pulled.new, "suggestion"), told)
    for fault in pulled.faults:
        out.warn(fault)
    if pulled.new:
        out.say("See them: tocsin suggestions list")
