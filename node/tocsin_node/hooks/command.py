"""A program of the operator's own: no shell, no environment, bounded in time and output, told by JSON on its input."""

from __future__ import annotations

import errno
import json
import os
import pwd
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event

from tocsin_node.clock import now_ms as read_clock

from .hook import Answer, Check, Journal, Occasion, Proposal
from .message_config import CommandHookConfig
from .messages import write_message
from .rights import describe_end, probe_right
from .tries import NOT_KNOWN, Bounds, Tried, run_tries

MAX_OUTPUT_BYTES = 16 * 1024
"""Of standard output and error together; a program that writes more is stopped."""
MAX_SHOWN_CHARS = 200
RETRY_MAX_MS = 60_000
MAX_PATH_STEPS = 256
"""Folders and links on the way to a program."""
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h."""
_KILL_WAIT_S = 5
_LAST_WORDS_S = 1
"""For what a program wrote last, once it has ended; a child of it may hold its output open for ever."""


class CommandHook:
    """Runs one program until it exits with 0; it gets the action's id, and must do one id once."""

    def __init__(self, config: CommandHookConfig, now_ms: Callable[[], int] = read_clock) -> None:
        self._config = config
        self._now_ms = now_ms

    @property
    def name(self) -> str:
        """Its name in the config."""
        return self._config.name

    @property
    def target(self) -> str:
        """What the program is asked to contain."""
        return self._config.target

    @property
    def ends_after_minutes(self) -> int | None:
        """After how many minutes what the program did ends by itself."""
        return self._config.ends_after_minutes

    def payload(self, occasion: Occasion) -> bytes:
        """Return the intent as JSON."""
        return write_message(self._config, occasion)

    def undo(self, action: Action) -> Proposal | None:
        """Return what the operator wrote down."""
        return Proposal(self._config.undo) if self._config.undo else None

    async def read_effect(self, action: Action) -> bool | None:
        """Say nothing: a program is not asked what it did."""
        return None

    async def probe(self) -> tuple[Check, ...]:
        """Whether the program is there, may be run, and can be changed by nobody else; it is not run."""
        fault = find_fault(self._config)
        answer = Answer.OK if fault is None else Answer.NOT_OK
        program = Check("program", answer, fault or f"{self._config.argv[0]} is there and may be run")
        return (*probe_right(self._config, self._now_ms()), program)

    def claim(self, action: Action) -> None:
        """Reserve nothing."""

    async def run(self, action: Action, journal: Journal) -> Action:
        """Run the program until it is done, or the tries or the time are used up; tries of earlier runs count."""
        refusal = self._refuse() if action.is_unsigned else None
        if refusal is not None:
            return await journal.record(action.action_id, Event.REFUSE, {"reason": refusal})
        bounds = Bounds(self._config.max_attempts, self._config.retry_min_ms, RETRY_MAX_MS)

        async def attempt(current: Action) -> Tried:
            return await run_program(self._config, _input_of(current))

        return await run_tries(action, journal, bounds, attempt, self._now_ms)

    def _refuse(self) -> str | None:
        return describe_end(self._config, self._now_ms()) or find_fault(self._config)


def _input_of(action: Action) -> bytes:
    head = {"id": action.action_id.hex(), "attempt": action.attempts}
    return json.dumps(head | {"intent": json.loads(action.payload)}, separators=(",", ":"), sort_keys=True).encode()


def find_fault(config: CommandHookConfig) -> str | None:
    """Return why the program must not be run, as a sentence."""
    program = Path(config.argv[0])
    try:
        mode = program.stat().st_mode
        if not stat.S_ISREG(mode) or not mode & 0o111:
            return f"{program} is no program: run chmod 755 {program}"
        # [HOOK] A program that others can write or replace is not run.
        for step in _steps_to(program):
            if fault := _find_writers(step):
                return fault
    except OSError as exc:
        return f"{program}: {exc.strerror}"
    return _find_user_fault(config.user)


def _steps_to(program: Path) -> Iterator[Path]:
    """Each folder and link on the way to the program, and itself: whoever changes one of them chooses what is run."""
    here, names = Path("/"), list(program.parts[:0:-1])
    yield here
    for _ in range(MAX_PATH_STEPS):
        if not names:
            return
        name = names.pop()
        step = here.parent if name == ".." else here / name
        yield step
        if step.is_symlink():
            link = step.readlink()
            here = Path("/") if link.is_absolute() else here
            names += [part for part in reversed(link.parts) if part != "/"]
        else:
            here = step
    raise OSError(errno.ELOOP, f"more than {MAX_PATH_STEPS} folders and links lead to it")


def _find_writers(step: Path) -> str | None:
    status = step.lstat()
    # In a sticky folder, such as /tmp, others can add and not replace; a link has no mode of its own.
    is_kept = stat.S_ISLNK(status.st_mode) or (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX)
    if status.st_mode & 0o022 and not is_kept:
        return f"{step} can be written by others: run chmod go-w {step}"
    if status.st_uid not in (0, os.geteuid()):
        return f"{step} belongs to user {status.st_uid}, and neither to root nor to the node's user"
    return None


def _find_user_fault(user: str | None) -> str | None:
    # [HOOK] A node that runs as root runs programs as the user that the hook names, and never as root.
    if os.geteuid() == 0 and user is None:
        return "user: is wanted, as the node runs as root and its programs must not"
    if user is None:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return f"user {user!r} is not there"
    if entry.pw_uid == 0:
        return "user: root is not allowed"
    if os.geteuid() not in (0, entry.pw_uid):
        return f"user {user!r} is not the node's own, and the node does not run as root"
    return None


async def run_program(config: CommandHookConfig, given: bytes) -> Tried:
    """Run it once with `given` on its standard input; it and what it started in its session are gone when this returns.

    It is over when the program ends, also while something it started holds its output open.
    """
    try:
        process = await trio.lowlevel.open_process(
            config.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": SEARCH_PATH},
            cwd="/",
            start_new_session=True,
            **_as_user(config.user),
        )
    except (OSError, subprocess.SubprocessError) as exc:
        return Tried(False, False, f"not started: {exc}")
    output, code = bytearray(), None
    try:
        with trio.move_on_after(config.timeout_ms / 1_000):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_feed, process, given)
                drained = trio.Event()
                nursery.start_soon(_drain, process, output, drained)
                code = await process.wait()
                with trio.move_on_after(_LAST_WORDS_S):
                    await drained.wait()
                nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)
    if code is None:
        return Tried(False, True, f"stopped after {config.timeout_ms} ms; {NOT_KNOWN}", is_unsure=True)
    if len(output) > MAX_OUTPUT_BYTES:
        return Tried(False, False, f"stopped: it wrote more than {MAX_OUTPUT_BYTES} bytes; {NOT_KNOWN}", is_unsure=True)
    return _judge(code, _shown(output))


def _as_user(user: str | None) -> dict[str, Any]:
    if user is None or os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


async def _feed(process: trio.Process, given: bytes) -> None:
    if process.stdin is None:
        return
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # it need not read what it is told
        await process.stdin.send_all(given)
    await process.stdin.aclose()


async def _drain(process: trio.Process, output: bytearray, drained: trio.Event) -> None:
    """Read until the end; what writes more than it may is ended."""
    if process.stdout is not None:
        while chunk := await process.stdout.receive_some(4_096):
            output += chunk
            if len(output) > MAX_OUTPUT_BYTES:
                _kill(process)
                break
    drained.set()


def _kill(process: trio.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # its session, so that none of its children outlives it


async def _end(process: trio.Process) -> None:
    _kill(process)
    with trio.move_on_after(_KILL_WAIT_S):
        await process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            await stream.aclose()


def _judge(code: int, shown: str) -> Tried:
    said = f": {shown}" if shown else ""
    if code == 0:
        return Tried(True, False, f"done{said}")
    if code == _TRY_AGAIN:
        return Tried(False, True, f"exit {code}, asks to be tried again{said}")
    if code < 0:
        return Tried(False, True, f"ended by signal {-code}{said}; {NOT_KNOWN}", is_unsure=True)
    return Tried(False, False, f"exit {code}{said}")


def _shown(output: bytearray) -> str:
    """The last line that it wrote, without what would move a terminal's cursor."""
    lines = output.decode(errors="replace").strip().splitlines()
    return "".join(char for char in lines[-1] if char.isprintable())[:MAX_SHOWN_CHARS] if lines else ""
