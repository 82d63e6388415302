"""TAXII within the feed: its app beneath the feed's own, and the process that exports the record."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from fastapi import FastAPI

from ..context import Feed
from .routes import create_taxii
from .wire import PREFIX, SlashForms

LOOK_SECONDS = 0.2
RESTART_SECONDS = 2.0
END_SECONDS = 5.0

_log = structlog.get_logger("tocsin.taxii")


def mount_taxii(app: FastAPI, feed: Feed) -> None:
    """Serve TAXII beneath an app."""
    app.mount(PREFIX, create_taxii(feed))
    app.add_middleware(SlashForms)


@asynccontextmanager
async def exporting(feed: Feed) -> AsyncIterator[None]:
    """Export the record for as long as the feed serves."""
    task = asyncio.create_task(run_exporter(feed.config.node.data_dir))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def run_exporter(data_dir: Path) -> None:
    """Keep the exporter running until cancelled: a process of its own, that requests need not wait for it."""
    while True:
        try:
            exit_code = await _run_once(data_dir)
            _log.warning("the exporter ended and is started again", exit_code=exit_code)
        # no process or descriptor left for it: later there may be
        except OSError as exc:
            _log.warning("the exporter cannot be started now", error=str(exc))
        await asyncio.sleep(RESTART_SECONDS)


async def _run_once(data_dir: Path) -> int:
    # Nobody writes to it: its end says that we are gone, by kill -9 too.
    command = [sys.executable, "-P", "-m", "tocsin_node.api.taxii", str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:  # noqa: ASYNC220 - it starts in no time
        try:
            while process.poll() is None:  # noqa: ASYNC110 - its end has no event that every loop can wait for
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await asyncio.to_thread(_end, process)
    return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101 - it was asked for
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
