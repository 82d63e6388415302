"""Rosters as the commands read, write and report them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .base import open_config, open_store
from .output import Output, count_text

if TYPE_CHECKING:
    from tocsin_protocol.roster_model import Roster, SignedRoster

FILE = click.Path(path_type=Path, dir_okay=False)
current_option = click.option("--current", type=FILE, help="The roster in force; the node's own, if not given.")


def parse_hex(name: str, text: str, length: int) -> bytes:
    """Bytes from hex digits with or without 0x; raises click.UsageError."""
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        data = b""
    if len(data) != length:
        raise click.UsageError(f"{name}: {2 * length} hex digits are wanted")
    return data


def current_roster(home: Path, path: Path | None) -> Roster:
    """The roster in force: of a file, of the node's database, or the pinned genesis of a node that never ran."""
    from tocsin_protocol.roster_encoding import decode_roster

    from ..roster_files import load_genesis, read_roster
    from ..store.database import StoreError

    if path is not None:
        return decode_roster(read_roster(path).body)
    config = open_config(home)
    try:
        with open_store(config) as reader:
            return reader.roster().roster
    except StoreError:
        return load_genesis(config.network.genesis, config.genesis_hash)


def write_next(out: Output, path: Path, signed: SignedRoster) -> None:
    from ..roster_files import write_roster

    write_roster(path, signed)
    report_roster(out, signed, path)


def report_roster(out: Output, signed: SignedRoster, path: Path) -> None:
    from tocsin_protocol.roster_encoding import decode_roster, roster_hash

    body = decode_roster(signed.body)
    if out.as_json:
        out.emit(
            {
                "file": str(path),
                "network": body.network_id.hex(),
                "epoch": body.epoch,
                "hash": roster_hash(signed.body).hex(),
                "members": [member.name for member in body.members],
                "signatures": len(signed.signatures),
            }
        )
        return
    out.say(
        (str(path), "bold"),
        f": epoch {body.epoch}, {count_text(len(body.members), 'member')}, ",
        count_text(len(signed.signatures), "root signature"),
    )
