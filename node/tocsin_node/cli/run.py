"""`tocsin run`, `serve` and `up`."""

from __future__ import annotations

import os
import signal as signals
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError, NodeError
from .base import EXIT_CODES, home_option, open_config

if TYPE_CHECKING:
    import trio

    from ..config import NodeConfig

# The feed is started again after this long, doubled each time it ends at once.
FEED_RESTART_MIN_SECONDS = 0.5
FEED_RESTART_MAX_SECONDS = 30.0
FEED_STABLE_SECONDS = 30.0


@click.command(epilog=EXIT_CODES)
@home_option
def run(home: Path) -> None:
    """Run the relay with its mesh until interrupted."""
    config = _prepare(home)

    async def start(nursery: trio.Nursery) -> None:
        from ..app import run_node
        from ..service_manager import run_notify

        await nursery.start(run_node, config)
        await nursery.start(run_notify)

    _run(start)


@click.command(epilog=EXIT_CODES)
@home_option
@click.option("--until-stdin-ends", is_flag=True, hidden=True, help="End with the process that holds our stdin.")
def serve(home: Path, until_stdin_ends: bool) -> None:
    """Run the feed until interrupted: the read API, live streams, health and metrics."""
    config = _prepare(home)
    if until_stdin_ends:
        threading.Thread(target=_stop_when_stdin_ends, daemon=True).start()
    from ..api.server import run_feed

    run_feed(config)


@click.command(epilog=EXIT_CODES)
@home_option
def up(home: Path) -> None:
    """Run all of it until interrupted: relay, mesh and feed, each a process of its own."""
    config = _prepare(home)

    async def start(nursery: trio.Nursery) -> None:
        from ..app import run_node
        from ..service_manager import run_notify

        await nursery.start(run_node, config)
        await nursery.start(run_notify)
        # only now is there a database for it to read
        nursery.start_soon(_run_feed_process, home)

    _run(start)


def _prepare(home: Path) -> NodeConfig:
    from ..logs import configure_logs

    config = open_config(home)
    configure_logs(config.log.level, as_json=config.log.as_json)
    return config


def _run(start: Callable[[trio.Nursery], Awaitable[None]]) -> None:
    """Run what `start` starts until it fails, or until SIGINT or SIGTERM asks for an orderly end."""
    import trio

    async def stop_when_told(scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signals.SIGINT, signals.SIGTERM) as received:
            task_status.started()
            async for _ in received:
                scope.cancel()

    async def run_main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(stop_when_told, nursery.cancel_scope)
            await start(nursery)

    try:
        trio.run(run_main, strict_exception_groups=True)
    except BaseExceptionGroup as group:
        known, others = group.split(NodeError)
        if known is None or others is not None:
            raise
        raise _first(known) from group


def _first(group: BaseExceptionGroup[NodeError]) -> NodeError:
    """The one thing to tell the operator: a wrong file before what follows from it."""
    leaves: list[NodeError] = []
    pending: list[BaseExceptionGroup[NodeError] | NodeError] = [group]
    while pending:
        exc = pending.pop()
        if isinstance(exc, BaseExceptionGroup):
            pending += exc.exceptions
        else:
            leaves.append(exc)
    return next((exc for exc in leaves if isinstance(exc, ConfigError)), leaves[0])


def _stop_when_stdin_ends() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    signals.raise_signal(signals.SIGTERM)


async def _run_feed_process(home: Path) -> None:
    """Keep `tocsin serve` running beside the relay; it reads the database, so it may die and come back."""
    import structlog
    import trio

    log = structlog.get_logger("tocsin.up")
    command = [sys.executable, "-P", "-m", "tocsin_node.cli", "serve", "--until-stdin-ends", "--home", str(home)]
    # Nobody writes to it: its end says that we are gone, by kill -9 too.
    stdin, held = os.pipe()
    try:
        pause = FEED_RESTART_MIN_SECONDS
        while True:
            started = trio.current_time()
            ended = await trio.run_process(command, check=False, stdin=stdin)
            if trio.current_time() - started > FEED_STABLE_SECONDS:
                pause = FEED_RESTART_MIN_SECONDS
            log.warning("the feed ended and is started again", exit_code=ended.returncode, in_seconds=pause)
            await trio.sleep(pause)
            pause = min(2 * pause, FEED_RESTART_MAX_SECONDS)
    finally:
        os.close(stdin)
        os.close(held)
