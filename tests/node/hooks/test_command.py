"""A program of the operator's own: what it is told, how it is bounded, what its end means."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio
from chain_kit import DEADLINE_S, OCCASION, MemoryJournal
from pydantic import ValidationError
from tocsin_node.clock import now_ms
from tocsin_node.hooks.command import MAX_OUTPUT_BYTES, MAX_PATH_STEPS, CommandHook, find_fault
from tocsin_node.hooks.hook import Answer
from tocsin_node.hooks.message_config import CommandHookConfig
from tocsin_protocol.containment.action import Action, new_action
from tocsin_protocol.containment.life_cycle import Event, State

# A node that runs as root gives its programs another user.
OTHER_USER = "nobody" if os.geteuid() == 0 else None
# An interpreter that this user may run, too: our own may lie in root's home.
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") if OTHER_USER else sys.executable


@pytest.fixture
def folder() -> Any:
    """A folder that whoever runs the program can enter; pytest's own is for its user alone."""
    with tempfile.TemporaryDirectory(prefix="tocsin-command-") as name:
        os.chmod(name, 0o755)  # noqa: S103 - see above
        yield Path(name)


def program(folder: Path, body: str) -> Path:
    """A program in Python, which every machine that runs these tests has."""
    path = folder / "lever"
    path.write_text(f"#!{PYTHON}\nimport json, os, sys, time\n{body}\n")
    path.chmod(0o755)
    return path


def config(path: Path, *arguments: str, **settings: Any) -> CommandHookConfig:
    base = {"kind": "command", "name": "close-desk", "target": "desk", "argv": [str(path), *arguments]}
    return CommandHookConfig(**(base | {"user": OTHER_USER, "timeout_ms": 30_000, "retry_min_ms": 1} | settings))


def intend(hook: CommandHook, journal: MemoryJournal, *, for_ms: int = 600_000) -> Action:
    now = now_ms()
    return journal.add(
        new_action(
            ledger=bytes(16),
            hook=hook.name,
            target=hook.target,
            arm_epoch=1,
            incident_id=OCCASION.incident_id,
            decision_id=OCCASION.decision_id,
            payload=hook.payload(OCCASION),
            created_ms=now,
            deadline_ms=now + for_ms,
        )
    )


async def run(settings: CommandHookConfig, journal: MemoryJournal | None = None, **intent: int) -> Action:
    journal = journal or MemoryJournal()
    hook = CommandHook(settings)
    with trio.fail_after(DEADLINE_S):
        return await hook.run(intend(hook, journal, **intent), journal)


async def test_it_reads_the_intent_with_the_actions_id_and_its_last_line_is_the_reason(folder: Path) -> None:
    path = program(folder, "given = json.load(sys.stdin)\nprint('noise')\nprint(json.dumps(given, sort_keys=True))")
    settings = config(path)
    journal = MemoryJournal()
    done = await run(settings, journal)
    assert done.state is State.EFFECTIVE
    assert done.reason.startswith('done: {"attempt": 1, "id": "' + done.action_id.hex())
    assert journal.events == [Event.SEND, Event.CONFIRM]


async def test_it_gets_its_arguments_as_they_are_no_shell_and_no_environment(folder: Path) -> None:
    path = program(folder, "print(json.dumps([sys.argv[1:], sorted(os.environ), os.getcwd()]))")
    done = await run(config(path, "$HOME", "a b", ";true"))
    shown = json.loads(done.reason.removeprefix("done: "))
    # LC_CTYPE is what Python itself sets when it starts without a locale
    assert shown == [["$HOME", "a b", ";true"], [name for name in shown[1] if name in ("LC_CTYPE", "PATH")], "/"]
    assert "PATH" in shown[1]


async def test_it_runs_as_the_configured_user(folder: Path) -> None:
    path = program(folder, "print(os.geteuid(), os.getuid(), len(os.getgroups()))")
    done = await run(config(path))
    uid = pwd.getpwnam(OTHER_USER).pw_uid if OTHER_USER else os.geteuid()
    assert done.reason.startswith(f"done: {uid} {uid} ")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sys.exit(3)", "exit 3"),
        ("print('the desk is closed on Sundays'); sys.exit(1)", "exit 1: the desk is closed on Sundays"),
        ("print('\\x1b[2Jboo'); sys.exit(2)", "exit 2: [2Jboo"),
    ],
)
async def test_an_exit_code_is_a_failure_with_its_last_line(folder: Path, body: str, reason: str) -> None:
    done = await run(config(program(folder, body)))
    assert (done.state, done.reason) == (State.FAILED, reason)


async def test_exit_75_is_tried_again_under_one_id(folder: Path) -> None:
    count = "given = json.load(sys.stdin)\nprint(given['attempt']); sys.exit(0 if given['attempt'] == 3 else 75)"
    done = await run(config(program(folder, count), max_attempts=5))
    assert (done.state, done.reason, done.attempts) == (State.EFFECTIVE, "done: 3", 3)


async def test_tries_are_bounded(folder: Path) -> None:
    done = await run(config(program(folder, "sys.exit(75)"), max_attempts=2))
    assert (done.state, done.reason) == (
        State.FAILED,
        "exit 75, asks to be tried again; given up after try 2",
    )


async def test_a_program_that_does_not_end_is_stopped_with_its_children(folder: Path) -> None:
    lock = folder / "lock"
    lock.touch()
    lock.chmod(0o666)
    held = f"import fcntl\nheld = open({str(lock)!r}, 'w')\nfcntl.flock(held, fcntl.LOCK_EX)"
    body = f"{held}\nos.fork()\nprint(os.getpid(), flush=True)\ntime.sleep(3600)"
    done = await run(config(program(folder, body), timeout_ms=2_000))
    assert done.state is State.UNKNOWN
    assert done.reason == ("stopped after 2000 ms; whether it took effect is not known; given up after try 1")
    # Whoever still had the lock file's descriptor would hold the lock.
    with lock.open("w") as file, trio.fail_after(DEADLINE_S):
        await trio.to_thread.run_sync(fcntl.flock, file, fcntl.LOCK_EX, abandon_on_cancel=True)


async def test_a_program_is_over_when_it_ends_also_while_a_child_holds_its_output(folder: Path) -> None:
    done = await run(config(program(folder, "if os.fork() == 0: time.sleep(3600)\nprint('done it')")))
    assert (done.state, done.reason) == (State.EFFECTIVE, "done: done it")


async def test_a_program_that_closes_its_output_is_waited_for(folder: Path) -> None:
    done = await run(config(program(folder, "os.close(1)\nos.close(2)\njson.load(sys.stdin)\nos._exit(7)")))
    assert (done.state, done.reason) == (State.FAILED, "exit 7")


async def test_a_program_that_was_killed_may_have_taken_effect(folder: Path) -> None:
    done = await run(config(program(folder, "print('closing', flush=True)\nos.kill(os.getpid(), 9)")))
    assert done.state is State.UNKNOWN
    assert done.reason == "ended by signal 9: closing; whether it took effect is not known; given up after try 1"


async def test_a_program_that_writes_too_much_is_stopped(folder: Path) -> None:
    done = await run(config(program(folder, "while True: print('x' * 1000)")))
    assert done.state is State.UNKNOWN
    assert done.reason == (f"stopped: it wrote more than {MAX_OUTPUT_BYTES} bytes; whether it took effect is not known")


async def test_a_program_that_does_not_read_is_not_waited_for(folder: Path) -> None:
    done = await run(config(program(folder, "os.close(0)\nprint('done it')")))
    assert (done.state, done.reason) == (State.EFFECTIVE, "done: done it")


async def test_a_run_that_a_restart_cut_off_is_not_repeated_unless_it_may_be(folder: Path) -> None:
    path = program(folder, "print('ran')")
    for attempts, state in ((1, State.UNKNOWN), (2, State.EFFECTIVE)):
        journal, hook = MemoryJournal(), CommandHook(config(path, max_attempts=attempts))
        left = await journal.record(intend(hook, journal).action_id, Event.SEND, {})
        done = await hook.run(left, journal)
        assert done.state is state
        if state is State.UNKNOWN:
            assert done.reason.startswith("cut off by a restart; whether it took effect is not known")


async def test_an_intent_too_old_lapses_unrun(folder: Path) -> None:
    done = await run(config(program(folder, "print('ran')")), for_ms=-1)
    assert (done.state, done.reason) == (State.LAPSED, "too old to be sent")


async def test_a_program_that_others_can_change_is_refused_and_the_probe_says_so(folder: Path) -> None:
    path = program(folder, "print('ran')")
    hook = CommandHook(config(path))
    assert [check.answer for check in await hook.probe()] == [Answer.OK]
    path.chmod(0o777)
    done = await run(config(path))
    assert done.state is State.REFUSED
    assert "can be written by others" in done.reason
    (check,) = await hook.probe()
    assert (check.answer, check.sentence) == (Answer.NOT_OK, done.reason)
    path.chmod(0o644)
    assert "is no program" in str(find_fault(config(path)))
    path.unlink()
    assert "No such file" in str(find_fault(config(path)))


def test_a_folder_on_the_way_that_others_can_write_is_refused_unless_it_is_sticky(folder: Path) -> None:
    inner = folder / "upper" / "inner"
    inner.mkdir(parents=True, mode=0o755)
    path = program(inner, "print('ran')")
    assert find_fault(config(path)) is None
    for mode, fault in ((0o775, True), (0o777, True), (0o1777, False), (0o755, False)):
        inner.parent.chmod(mode)
        wanted = f"{inner.parent} can be written by others: run chmod go-w {inner.parent}"
        assert find_fault(config(path)) == (wanted if fault else None)


@pytest.mark.parametrize("target", ["lever", "../open/hop", "../open/lever"])
def test_a_link_through_a_folder_that_others_can_write_is_refused(folder: Path, target: str) -> None:
    for name in ("bin", "open"):
        (folder / name).mkdir(mode=0o755)
    path = program(folder / "bin", "print('ran')")
    (folder / "open" / "hop").symlink_to(path)
    (folder / "open" / "lever").symlink_to("../bin/lever")
    link = folder / "bin" / "link"
    link.symlink_to(target)
    assert find_fault(config(link)) is None
    (folder / "open").chmod(0o777)
    assert (find_fault(config(link)) is None) == (target == "lever")


def test_links_that_lead_nowhere_are_refused(folder: Path) -> None:
    (folder / "link").symlink_to("link")
    assert "symbolic links" in str(find_fault(config(folder / "link")))
    program(folder, "print('ran')")
    winding = f"/{folder.parts[1]}/.." * MAX_PATH_STEPS + f"{folder}/lever"
    assert "folders and links lead to it" in str(find_fault(config(Path(winding))))


@pytest.mark.parametrize(("user", "why"), [("root", "not allowed"), ("no-such-user", "is not there")])
async def test_a_user_that_will_not_do_is_refused(folder: Path, user: str, why: str) -> None:
    done = await run(config(program(folder, "print('ran')"), user=user))
    assert done.state is State.REFUSED
    assert why in done.reason


def test_a_program_is_named_by_its_absolute_path() -> None:
    with pytest.raises(ValidationError, match="absolute path"):
        config(Path("lever"))


async def test_a_right_that_ended_is_refused(folder: Path) -> None:
    done = await run(config(program(folder, ""), capability_valid_until=datetime(2026, 1, 1, tzinfo=UTC)))
    assert done.state is State.REFUSED
