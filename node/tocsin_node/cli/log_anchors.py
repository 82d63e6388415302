"""The part of `tocsin log` that is about anchors: the key, what was anchored, and whether it holds on the chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import NodeError
from .base import home_option, open_config, output_option
from .output import Output, count_text, short_hex, styled, time_text

if TYPE_CHECKING:
    from tocsin_protocol.log.checkpoint import Checkpoint

    from ..chain.anchor_blocks import Sight
    from ..record.anchors import ToldAnchor
    from ..record.checking import LogFault
    from ..record.files import LogFiles
    from ..store.anchors import AnchorRow

ANCHOR_KEY_NAME = "anchor.json"
# One endpoint's word is not the chain's.
LEAST_ENDPOINTS = 2


@click.command()
@home_option
@output_option
def anchor_key(home: Path, out: Output) -> None:
    """Make the key that anchors this node's log, or show the account of the one that is there.

    It is encrypted with the passphrase of the node's other keys. The account needs gas, and nothing else.
    """
    import secrets

    from ..chain.guardian import Guardian
    from ..keystore import SECRET_BYTES, create_anchor_keystore, open_anchor_keystore

    config = open_config(home, pinned=False)
    section = config.log.anchor
    path = home / ANCHOR_KEY_NAME if section is None else section.keystore
    is_new = not path.exists()
    if is_new:
        create_anchor_keystore(path, secrets.token_bytes(SECRET_BYTES), config.read_passphrase())
    account = Guardian(open_anchor_keystore(path, config.read_passphrase())).address
    if out.as_json:
        out.emit({"account": account, "keystore": str(path), "is_new": is_new})
        return
    out.say(("Made. " if is_new else "It is there. ", "bold green"), f"{path} holds the key of {account}")
    if section is None:
        out.say("Give the account some gas, and put into node.toml:")
        out.say(
            f'\n[log.anchor]\nchain = "eip155:1"\nkeystore = "{path.name}"\nmax_day_spend_wei = 10_000_000_000_000_000'
        )


@click.command()
@home_option
@output_option
def anchors(home: Path, out: Output) -> None:
    """Show what of this node's log was written to a chain, newest first, and what is in the way."""
    from ..store.anchors import read_anchor_status, read_anchors
    from ..store.database import open_reader

    connection = open_reader(open_config(home).node.data_dir)
    try:
        rows, status = read_anchors(connection), read_anchor_status(connection)
    finally:
        connection.close()
    if out.as_json:
        out.emit({"anchors": [_view(row) for row in rows], "trouble": status.trouble})
        return
    if status.trouble:
        out.say(("  ! ", "bold red"), (status.trouble, "yellow"))
    if not rows:
        out.say("Nothing of the log is anchored.")
        return
    cells = [
        (
            time_text(row.anchor.created_ms),
            row.chain,
            str(row.size),
            short_hex(row.root),
            styled(row.anchor.state.value),
            "" if row.anchor.block_number is None else str(row.anchor.block_number),
            "0x" + (row.anchor.included_hash or row.anchor.transactions[-1].hash).hex(),
        )
        for row in rows
    ]
    out.table("Anchors", ("signed", "chain", "entries", "root", "state", "block", "transaction"), cells)


def _view(row: AnchorRow) -> dict[str, Any]:
    anchor = row.anchor
    return {
        "chain": row.chain,
        "size": row.size,
        "root": row.root.hex(),
        "account": anchor.target,
        "state": anchor.state.value,
        "created_ms": anchor.created_ms,
        "block_number": anchor.block_number,
        "block_hash": None if anchor.block_hash is None else "0x" + anchor.block_hash.hex(),
        "hash": "0x" + (anchor.included_hash or anchor.transactions[-1].hash).hex(),
        "reason": anchor.reason,
    }


def own_endpoints(home: Path) -> list[str]:
    """The endpoints of all configured chains."""
    return [url for chain in open_config(home).chains for url in chain.endpoints]


@dataclass(frozen=True, slots=True)
class Checked:
    """What is wrong with the anchors of a log, what stood when by those that hold, and what else may be looked at."""

    faults: list[LogFault]
    stood: list[str]
    notes: list[str]


def check_anchors(files: LogFiles, head: Checkpoint, urls: Sequence[str], pruned: int) -> Checked:
    """Hold the anchors that a log tells of against its tiles and the chain; raises NodeError without two endpoints."""
    import trio

    from ..chain.anchor_blocks import read_anchor_blocks
    from ..record.anchors import read_anchors
    from ..record.checking import LogFault

    if len(set(urls)) < LEAST_ENDPOINTS or len(set(urls)) < len(urls):
        raise NodeError(f"{LEAST_ENDPOINTS} endpoints of different providers are wanted: give --rpc twice")
    told = read_anchors(files, head, pruned)
    faults = list(told.faults)
    if not told.anchors and not faults:
        faults.append(LogFault("anchors", "the log tells of none"))
    last = {(anchor.block.chain, anchor.account): anchor.nonce for anchor in told.anchors}
    heard = trio.run(read_anchor_blocks, list(urls), [anchor.block for anchor in told.anchors], tuple(last))
    faults += [LogFault("anchors", line) for line in heard.faults]
    newest: dict[str, tuple[ToldAnchor, int]] = {}
    for anchor, seen in zip(told.anchors, heard.sights, strict=True):
        wrong = _judge(anchor, seen)
        faults += wrong
        if not wrong:
            newest[anchor.block.chain] = (anchor, seen[0].time_s)
    notes = [*told.notes]
    notes += [
        f"{name} counts {count_text(count - last[account] - 1, 'later transaction')} of {account[1]}: the log is older "
        "than they are, or was rolled back; one may be under way"
        for name, account, count in heard.counts
        if count > last[account] + 1
    ]
    return Checked(faults, [_sentence(anchor, time_s) for anchor, time_s in newest.values()], notes)


def _judge(anchor: ToldAnchor, seen: Sequence[Sight]) -> list[LogFault]:
    from ..record.checking import LogFault

    wrong = [LogFault(anchor.place, f"{sight.endpoint} {sight.fault}") for sight in seen if sight.fault]
    if len(seen) < LEAST_ENDPOINTS:
        what = f"{count_text(len(seen), 'endpoint')} of {anchor.block.chain} where {LEAST_ENDPOINTS} are wanted (--rpc)"
        wrong.append(LogFault(anchor.place, what))
    times = {sight.endpoint: sight.time_s for sight in seen if not sight.fault}
    if len(set(times.values())) > 1:
        what = ", ".join(f"{name} says {time_text(1000 * time_s)}" for name, time_s in sorted(times.items()))
        wrong.append(LogFault(anchor.place, f"the endpoints disagree about the time of its block: {what}"))
    return wrong


def _sentence(anchor: ToldAnchor, time_s: int) -> str:
    where = f"block {anchor.block.block_number} of {anchor.block.chain}"
    return f"{anchor.size} entries stood at {time_text(1000 * time_s)} UTC ({where}), by {anchor.account}"
