"""`tocsin backup` and `tocsin restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .base import EXIT_CODES, home_option, open_config, output_option
from .output import Output, time_text

if TYPE_CHECKING:
    from ..backups import Backup

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command(epilog=EXIT_CODES)
@click.argument("folder", type=_FOLDER)
@home_option
@output_option
def backup(folder: Path, home: Path, out: Output) -> None:
    """Write the databases of node and feed to FOLDER, a new one, and check them; both may run meanwhile.

    Keys and config are no part of it. Nor is the ledger's anchor: it has to know more than any backup. The feed's
    has the secrets of webhooks, and of readers' keys what they are known by.
    """
    from ..backups import back_up
    from ..clock import now_ms

    made = back_up(open_config(home).node.data_dir, folder, now_ms())
    if out.as_json:
        out.emit(_shown(made))
    else:
        out.say(
            ("Written and checked. ", "bold green"),
            f"{folder} has the database, with {made.entries} entries of the log"
            + (", and the feed's own." if made.has_feed else "."),
        )
        out.say("  Keys and config are not in it: keep them apart.")


@click.command(epilog=EXIT_CODES)
@click.argument("folder", type=_FOLDER)
@home_option
@output_option
def restore(folder: Path, home: Path, out: Output) -> None:
    """Put the backup in FOLDER where this node has no database. The node must not run.

    Then it starts with every hook disarmed and its ledger in doubt, until `tocsin ledger confirm`; it publishes when
    its peers have shown it its own feed; its log goes on, and hooks can be armed, after `tocsin log confirm`.
    """
    from .. import backups
    from ..keystore import open_keystore

    config = open_config(home)
    publisher = open_keystore(config.keys.keystore, config.read_passphrase()).publisher_id
    found, feed = backups.restore(folder, config.node.data_dir, publisher)
    if out.as_json:
        out.emit(_shown(found) | {"feed": feed.value})
        return
    out.say(
        ("Restored. ", "bold green"),
        f"The backup of {time_text(found.made_ms)} UTC, {found.entries} entries of the log.",
    )
    out.say("What came after that is not in it. What comes next:")
    out.say(
        "  1. Start it, and wait until `tocsin status` says that it publishes: enough peers have then shown it its own"
    )
    out.say(
        "     feed, and what they keep of its log. A log of which they keep a later head is begun anew, and says so."
    )
    out.say(
        "  2. Look at every target on chain, then `tocsin ledger confirm`: what was done since is not in the backup."
    )
    out.say("  3. `tocsin log confirm`, unless the log was begun anew; then arm the hooks again.")
    match feed:
        case backups.FeedRestored.RESTORED:
            out.say("  4. `tocsin feed key list`, `tocsin feed hook list`: what was revoked since is valid again.")
        case backups.FeedRestored.KEPT:
            out.say("The feed's own database was there already, and stays as it is.")


def _shown(backup: Backup) -> dict[str, object]:
    return {
        "publisher": backup.publisher.hex(),
        "entries": backup.entries,
        "made_ms": backup.made_ms,
        "has_feed": backup.has_feed,
    }
