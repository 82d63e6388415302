"""Telling systemd how we are (sd_notify(3)): ready, and, as long as the loop turns, alive. Without systemd, nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import structlog
import trio

# Half of what systemd waits for, as sd_watchdog_enabled(3) recommends.
_SHARE = 2
_USEC = 1_000_000

_log = structlog.get_logger("tocsin.systemd")


def notify(state: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send a state such as `READY=1`; False where nobody asked for it, or nobody listens."""
    path = environment.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as connection:
        try:
            connection.sendto(state.encode(), address)
        except OSError as exc:
            _log.warning("systemd was not told", state=state, why=str(exc))
            return False
    return True


def alive_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """How often to say that we are alive; None where systemd does not ask this process."""
    wanted, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not wanted.isdecimal() or int(wanted) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(wanted) / _USEC / _SHARE


async def run_notify(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Say READY, then that the loop turns, until cancelled; returns where nobody wants to know."""
    notify("READY=1")
    task_status.started()
    seconds = alive_seconds()
    while seconds is not None:
        notify("WATCHDOG=1")
        await trio.sleep(seconds)
