"""`tocsin roster propose …`: the next roster, for the members to sign."""

from __future__ import annotations

from pathlib import Path

import click

from .base import home_option, output_option
from .output import Output
from .roster_io import FILE, current_option, current_roster, parse_hex, write_next

_OUT = click.option("--out", "out_path", type=FILE, required=True, help="The file to write; never one that exists.")


@click.group()
def propose() -> None:
    """Write the next roster, for the members to sign."""


@propose.command()
@click.argument("entry", type=FILE)
@_OUT
@current_option
@home_option
@output_option
def add(entry: Path, out_path: Path, current: Path | None, home: Path, out: Output) -> None:
    """Add a member, or one more node of a member."""
    from ..roster_files import add_entry, read_entry

    write_next(out, out_path, add_entry(current_roster(home, current), read_entry(entry)))


@propose.command()
@click.argument("member")
@_OUT
@current_option
@home_option
@output_option
def remove(member: str, out_path: Path, current: Path | None, home: Path, out: Output) -> None:
    """Remove a member, who then has no vote in it."""
    from ..roster_files import remove_member

    write_next(out, out_path, remove_member(current_roster(home, current), member))


@propose.command()
@click.argument("publisher")
@click.argument("entry", type=FILE)
@_OUT
@current_option
@home_option
@output_option
def rotate(publisher: str, entry: Path, out_path: Path, current: Path | None, home: Path, out: Output) -> None:
    """Replace a node's key (PUBLISHER: 0x and 40 hex digits) by that of ENTRY."""
    from ..roster_files import read_entry, rotate_publisher

    old = parse_hex("PUBLISHER", publisher, 20)
    write_next(out, out_path, rotate_publisher(current_roster(home, current), old, read_entry(entry)))


@propose.command()
@click.argument("publisher")
@click.option("--critical", type=click.IntRange(0), required=True, help="Last sequence accepted of its CRITICAL lane.")
@click.option("--standard", type=click.IntRange(0), required=True, help="Last sequence accepted of its STANDARD lane.")
@_OUT
@current_option
@home_option
@output_option
def revoke(
    publisher: str, critical: int, standard: int, out_path: Path, current: Path | None, home: Path, out: Output
) -> None:
    """Revoke a key after a last accepted sequence, so that a thief cannot backdate."""
    from tocsin_protocol.taxonomy import CRITICAL, STANDARD

    from ..roster_files import revoke_publisher

    last = {CRITICAL: critical, STANDARD: standard}
    write_next(
        out, out_path, revoke_publisher(current_roster(home, current), parse_hex("PUBLISHER", publisher, 20), last)
    )
