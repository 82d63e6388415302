"""Whether a starting process has stopped to do anything: a slow machine is given time, a frozen start is not."""

from __future__ import annotations

from pathlib import Path

import trio

# A start that uses no processor for so long is frozen; a slow one uses what little there is. Counted in turns of our
# own: with a machine that stands still, we do too.
STUCK_SECONDS = 3.0
TURN_SECONDS = 0.25
# In /proc/PID/stat, after the name in brackets: time in user mode and in the kernel, in ticks (proc_pid_stat(5)).
_USER_FIELD, _KERNEL_FIELD = 11, 12


async def wait_stuck(pid: int) -> None:
    """Return once the process has used no processor time for STUCK_SECONDS; never, where the system does not tell."""
    before, idle_turns = None, 0
    while idle_turns * TURN_SECONDS < STUCK_SECONDS:
        spent = read_ticks(pid)
        idle_turns = idle_turns + 1 if spent is not None and spent == before else 0
        before = spent
        await trio.sleep(TURN_SECONDS)


def read_ticks(pid: int) -> int | None:
    """The processor time a process has used, in clock ticks; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[_USER_FIELD]) + int(fields[_KERNEL_FIELD])
    except (OSError, ValueError, IndexError):
        return None
