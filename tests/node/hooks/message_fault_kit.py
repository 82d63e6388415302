"""One message under one fault of whoever gets it: a receiver or a program that must do one id once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import trio
from chain_kit import DEADLINE_S, MemoryJournal
from fault_kit import Outcome, describe, intend
from http_server import Call, Reply, serve_http
from tocsin_node.demo.faults import SLOW_SECONDS
from tocsin_node.hooks.command import CommandHook
from tocsin_node.hooks.hook import Hook
from tocsin_node.hooks.message_config import CommandHookConfig, WebhookHookConfig
from tocsin_node.hooks.webhook import WebhookHook
from tocsin_node.outbound import open_client
from tocsin_protocol.containment.action import Action
from tocsin_protocol.containment.life_cycle import Event, State

SECRET = bytes(range(32))
PATIENCE_MS = 30_000
"""Deadline of a try that is not meant to run into it."""
HANG_MS = 1_000
TRIES = 3
"""Where the fault lasts; where it passes, there are as many as there may be, so that a slow machine has its time."""
MANY_TRIES = 50


class Lasting(StrEnum):
    """How long the fault lasts."""

    FIRST = "the first try"
    ALWAYS = "every try"


class ReceiverFault(StrEnum):
    """What the service does that a webhook posts to."""

    DOWN = "down"
    SLOW = "slow"
    HANG = "hang"
    CLOSED = "closed"
    TRUNCATED = "truncated"
    GARBAGE = "garbage"
    ENDLESS = "endless"
    STATUS_500 = "status-500"
    STATUS_503 = "status-503"
    STATUS_429 = "status-429"
    STATUS_410 = "status-410"
    REDIRECT = "redirect"


class ProgramFault(StrEnum):
    """What the program does that a command runs."""

    MISSING = "missing"
    NO_INTERPRETER = "no-interpreter"
    OPEN_TO_OTHERS = "open-to-others"
    EXIT_1 = "exit-1"
    EXIT_75 = "exit-75"
    HANG = "hang"
    KILLED = "killed"
    FLOOD = "flood"
    CHILD = "child"


RECEIVER_FAULTS: Mapping[ReceiverFault, str] = {
    ReceiverFault.DOWN: "Nothing takes connections at its address.",
    ReceiverFault.SLOW: "It does as told, and answers a third of a second late.",
    ReceiverFault.HANG: "It does as told, and never answers.",
    ReceiverFault.CLOSED: "It does as told, and closes the connection without an answer.",
    ReceiverFault.TRUNCATED: "It does as told, and closes the connection in the middle of the answer.",
    ReceiverFault.GARBAGE: "It does as told, and answers with bytes that are no HTTP.",
    ReceiverFault.ENDLESS: "It does as told, and answers 200 with ten million bytes.",
    ReceiverFault.STATUS_500: "It does as told, and answers 500 all the same.",
    ReceiverFault.STATUS_503: "It does nothing, and answers 503.",
    ReceiverFault.STATUS_429: "It does nothing, and answers 429 with `Retry-After: 3600`.",
    ReceiverFault.STATUS_410: "It does nothing, and answers 410.",
    ReceiverFault.REDIRECT: "It does nothing, and answers 307 with the address of another, which would do as told.",
}
"""A sentence for each fault, as the page prints it."""
PROGRAM_FAULTS: Mapping[ProgramFault, str] = {
    ProgramFault.MISSING: "It is not there.",
    ProgramFault.NO_INTERPRETER: "Its interpreter is not there.",
    ProgramFault.OPEN_TO_OTHERS: "Every user of the machine can write it.",
    ProgramFault.EXIT_1: "It does nothing, and exits with 1.",
    ProgramFault.EXIT_75: "It does nothing, and exits with 75.",
    ProgramFault.HANG: "It does nothing, and never ends.",
    ProgramFault.KILLED: "It does as told, and is killed by a signal before it ends.",
    ProgramFault.FLOOD: "It does as told, and writes without end.",
    ProgramFault.CHILD: "It does as told and exits with 0, and a child of it keeps its output open.",
}
_ACTING = frozenset(fault for fault, sentence in RECEIVER_FAULTS.items() if sentence.startswith("It does as told"))


async def run_receiver(fault: ReceiverFault, lasting: Lasting) -> Outcome:
    """Post under the fault, to the end; the effect is in a receiver that does one id once."""
    journal, done_ids, up = MemoryJournal(), set[str](), trio.Event()
    elsewhere: list[Call] = []
    tries = 0

    async def handle(call: Call) -> Reply | None:
        nonlocal tries
        tries += 1
        is_faulty = fault is not ReceiverFault.DOWN and (lasting is Lasting.ALWAYS or tries == 1)
        if not is_faulty or fault in _ACTING:
            done_ids.add(call.headers["webhook-id"])
        return await _reply(fault, other) if is_faulty else Reply()

    async def take(call: Call) -> Reply:
        elsewhere.append(call)
        return Reply()

    def come_up(event: Event) -> None:
        if journal.events.count(Event.SEND) > 1:
            up.set()

    if fault is not ReceiverFault.DOWN:
        up.set()
    elif lasting is Lasting.FIRST:
        journal.on_record = come_up
    async with serve_http(take) as other, serve_http(handle, up) as url, open_client() as client:
        config = WebhookHookConfig(
            kind="webhook",
            name="pager",
            target="desk",
            url=url,
            secret_file=Path("secret"),
            timeout_ms=HANG_MS if fault is ReceiverFault.HANG else PATIENCE_MS,
            max_attempts=TRIES if lasting is Lasting.ALWAYS else MANY_TRIES,
            retry_min_ms=20,
            retry_max_ms=20,
        )
        done = await _run(WebhookHook(config, SECRET, client), journal)
    assert elsewhere == [], "a redirect was followed"
    return describe_message(done, len(done_ids))


async def _reply(fault: ReceiverFault, other: str) -> Reply | None:
    if fault is ReceiverFault.SLOW:
        await trio.sleep(SLOW_SECONDS)
    if fault is ReceiverFault.HANG:
        await trio.sleep_forever()
    return {
        ReceiverFault.CLOSED: None,
        ReceiverFault.TRUNCATED: Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"),
        ReceiverFault.GARBAGE: Reply(raw=b"\x00\xff\r\n\r\n"),
        ReceiverFault.ENDLESS: Reply(body=b"x" * 10_000_000),
        ReceiverFault.STATUS_500: Reply(500),
        ReceiverFault.STATUS_503: Reply(503),
        ReceiverFault.STATUS_429: Reply(429, headers={"retry-after": "3600"}),
        ReceiverFault.STATUS_410: Reply(410),
        ReceiverFault.REDIRECT: Reply(307, headers={"location": other}),
    }.get(fault, Reply())


async def run_program(fault: ProgramFault, lasting: Lasting, folder: Path) -> Outcome:
    """Run a program under the fault, to the end; `folder` is one that other users can enter.

    The effect is in a program that does one id once.
    """
    journal, done_in = MemoryJournal(), folder / "done"
    done_in.mkdir()
    done_in.chmod(0o777)
    program = _write_program(folder, fault, lasting)
    config = CommandHookConfig(
        kind="command",
        name="close-desk",
        target="desk",
        argv=[str(program), str(done_in)],
        user="nobody" if os.geteuid() == 0 else None,
        timeout_ms=HANG_MS if fault is ProgramFault.HANG else PATIENCE_MS,
        max_attempts=TRIES if lasting is Lasting.ALWAYS else MANY_TRIES,
        retry_min_ms=20,
    )
    done = await _run(CommandHook(config), journal)
    done_ids = {json.loads(path.read_text())["id"] for path in done_in.iterdir()}
    return describe_message(done, len(done_ids), str(program))


_ACT = 'printf %s "$given" > "$1/$$"'
_BODIES = {
    ProgramFault.EXIT_1: "exit 1",
    ProgramFault.EXIT_75: "exit 75",
    ProgramFault.HANG: "exec sleep 3600",
    ProgramFault.KILLED: f"{_ACT}; kill -9 $$",
    ProgramFault.FLOOD: f"{_ACT}; exec yes",
    ProgramFault.CHILD: f"{_ACT}; sleep 3600 & exit 0",
}


def _write_program(folder: Path, fault: ProgramFault, lasting: Lasting) -> Path:
    path = folder / "lever"
    if fault is ProgramFault.MISSING:
        return path
    interpreter = "/no/such/interpreter" if fault is ProgramFault.NO_INTERPRETER else "/bin/sh"
    when = "*" if lasting is Lasting.ALWAYS else "*'\"attempt\":1,'*"
    lines = ["given=$(cat)", f"case $given in {when}) {_BODIES.get(fault, ':')};; esac", _ACT]
    path.write_text("\n".join([f"#!{interpreter}", *lines, ""]))
    path.chmod(0o777 if fault is ProgramFault.OPEN_TO_OTHERS else 0o755)
    return path


async def _run(hook: Hook, journal: MemoryJournal) -> Action:
    with trio.fail_after(DEADLINE_S):
        return await hook.run(intend(hook, journal), journal)


def describe_message(done: Action, effects: int, program: str = "") -> Outcome:
    """As `describe`; and unknown is an outcome of its own: nobody but the other side can tell."""
    if done.state is State.UNKNOWN:
        assert effects <= 1, (done, effects)
        return Outcome(effects, f"unknown: {done.reason}")
    outcome = describe(done, effects)
    return Outcome(outcome.effects, outcome.sentence.replace(program, "the program") if program else outcome.sentence)
