"""`tocsin watchdog`."""

from __future__ import annotations

from pathlib import Path

import click

from .base import EXIT_CODES, home_option, open_config


@click.command(epilog=EXIT_CODES)
@home_option
def watchdog(home: Path) -> None:
    """Watch the node until interrupted, and raise the alarm of [watchdog] in node.toml when it is not well.

    A process of its own, best on the node's machine. It starts nothing again: that is systemd's.
    """
    import trio

    from ..logs import configure_logs
    from ..watchdog import make_sender, run_watchdog

    config = open_config(home)
    configure_logs(config.log.level, as_json=config.log.as_json)
    send = make_sender(config.watchdog, config.node.member)
    trio.run(run_watchdog, config.control_path, config.watchdog, send)
