"""A program of the operator's own: no shell, no environment, bounded in time and output, told by JSON on its input."""

from __future__ import annotations

import json
import os
import pwd
import signal
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
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

MAX_OUTPUT_BYTES = 16 * 1024
"""Of standard output and error together; a program that writes more is stopped."""
MAX_SHOWN_CHARS = 200
RETRY_MAX_MS = 60_000
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h."""
_KILL_WAIT_S = 5
_NOT_KNOWN = "whether it took effect is not known"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run; `is_worth_another` where the program asks for one, or was stopped."""

    is_done: bool
    is_worth_another: bool
    sentence: str


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
        sentence = f"cut off by a restart; {_NOT_KNOWN}" if action.attempts else ""
        delay_ms = self._config.retry_min_ms
        refusal = self._refuse() if action.is_unsigned else None
        if refusal is not None:
            return await journal.record(action.action_id, Event.REFUSE, {"reason": refusal})
        while not action.is_settled:
            if self._now_ms() > action.deadline_ms:
                return await self._give_up(action, journal, sentence)
            if action.attempts >= self._config.max_attempts:
                reason = f"{sentence}; given up after {action.attempts} tries"
                return await journal.record(action.action_id, Event.FAIL, {"reason": reason})
            # Durable first: a try that was begun counts, whatever became of it.
            action = await journal.record(action.action_id, Event.SEND, {})
            if action.is_settled:
                break
            outcome = await run_program(self._config, _input_of(action))
            sentence = outcome.sentence
            if outcome.is_done or not outcome.is_worth_another:
                event = Event.CONFIRM if outcome.is_done else Event.FAIL
                return await journal.record(action.action_id, event, {"reason": sentence})
            if action.attempts < self._config.max_attempts:
                await trio.sleep(delay_ms / 1_000)
            delay_ms = min(delay_ms * 2, RETRY_MAX_MS)
        return action

    def _refuse(self) -> str | None:
        return describe_end(self._config, self._now_ms()) or find_fault(self._config)

    async def _give_up(self, action: Action, journal: Journal, sentence: str) -> Action:
        if action.is_unsigned:
            return await journal.record(action.action_id, Event.LAPSE, {"reason": "too old to be run"})
        reason = f"{sentence or 'not done'}; too old to be run again"
        return await journal.record(action.action_id, Event.FAIL, {"reason": reason})


def _input_of(action: Action) -> bytes:
    head = {"id": action.action_id.hex(), "attempt": action.attempts}
    return json.dumps(head | {"intent": json.loads(action.payload)}, separators=(",", ":"), sort_keys=True).encode()


def find_fault(config: CommandHookConfig) -> str | None:
    """Return why the program must not be run, as a sentence."""
    program = Path(config.argv[0])
    try:
        status = program.stat()
        parent = program.resolve().parent.stat()
    except OSError as exc:
        return f"{program}: {exc.strerror}"
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o111:
        return f"{program} is no program: run chmod 755 {program}"
    # [HOOK] A program that others than its owner can write is not run.
    if status.st_mode & 0o022 or (parent.st_mode & 0o022 and not parent.st_mode & stat.S_ISVTX):
        return f"{program} or its folder can be written by others: run chmod go-w on both"
    if status.st_uid not in (0, os.geteuid()):
        return f"{program} belongs to user {status.st_uid}, and neither to root nor to the node's user"
    return _find_user_fault(config.user)


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


async def run_program(config: CommandHookConfig, given: bytes) -> Outcome:
    """Run it once with `given` on its standard input; it and all its children are gone when this returns."""
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
        return Outcome(False, False, f"not started: {exc}")
    output = bytearray()
    try:
        with trio.move_on_after(config.timeout_ms / 1_000) as limit:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_feed, process, given)
                is_bounded = await _drain(process, output)
                nursery.cancel_scope.cancel()
            if is_bounded:
                await process.wait()
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)
    if limit.cancelled_caught:
        return Outcome(False, True, f"stopped after {config.timeout_ms} ms; {_NOT_KNOWN}")
    if len(output) > MAX_OUTPUT_BYTES:
        return Outcome(False, False, f"stopped: it wrote more than {MAX_OUTPUT_BYTES} bytes; {_NOT_KNOWN}")
    return _judge(process.returncode, _shown(output))


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


async def _drain(process: trio.Process, output: bytearray) -> bool:
    """Read until its end; False when it writes more than it may."""
    if process.stdout is None:
        return True
    while chunk := await process.stdout.receive_some(4_096):
        output += chunk
        if len(output) > MAX_OUTPUT_BYTES:
            return False
    return True


async def _end(process: trio.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # its session, so that no child outlives it
    with trio.move_on_after(_KILL_WAIT_S):
        await process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            await stream.aclose()


def _judge(code: int | None, shown: str) -> Outcome:
    said = f": {shown}" if shown else ""
    if code == 0:
        return Outcome(True, False, f"done{said}")
    if code == _TRY_AGAIN:
        return Outcome(False, True, f"exit {code}, asks to be tried again{said}")
    if code is not None and code < 0:
        return Outcome(False, True, f"ended by signal {-code}{said}; {_NOT_KNOWN}")
    return Outcome(False, False, f"exit {code}{said}")


def _shown(output: bytearray) -> str:
    """The last line that it wrote, without what would move a terminal's cursor."""
    lines = output.decode(errors="replace").strip().splitlines()
    return "".join(char for char in lines[-1] if char.isprintable())[:MAX_SHOWN_CHARS] if lines else ""
