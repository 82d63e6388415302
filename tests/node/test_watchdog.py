"""The watchdog: when it tells people, and by which way."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from tocsin_node import watchdog as watchdog_module
from tocsin_node.care_config import WatchdogSection
from tocsin_node.control import serve_control
from tocsin_node.control_verbs import Verb
from tocsin_node.errors import ConfigError
from tocsin_node.watchdog import REPEAT_SECONDS, Seen, Watch, look_at_node, make_sender, run_watchdog

DEADLINE_SECONDS = 60
WELL = Seen((), 7)
DOWN = Seen(("no node answers",), None)


def test_people_are_told_once_it_has_lasted_and_again_after_a_while() -> None:
    watch = Watch(30)
    assert watch.judge(DOWN, 0) is None
    assert watch.judge(DOWN, 29) is None
    assert watch.judge(DOWN, 30) == "down"
    watch.told("down", 30)
    assert watch.judge(DOWN, 31) is None
    assert watch.judge(DOWN, 30 + REPEAT_SECONDS) == "down"
    watch.told("down", 30 + REPEAT_SECONDS)
    assert watch.judge(WELL, 2000) == "well"
    assert watch.judge(WELL, 2001) is None


def test_a_short_fault_is_told_to_nobody() -> None:
    watch = Watch(30)
    assert watch.judge(DOWN, 0) is None
    assert watch.judge(WELL, 20) is None
    assert watch.judge(DOWN, 21) is None
    assert watch.judge(DOWN, 50) is None


def test_an_alarm_that_did_not_arrive_is_raised_again_at_the_next_look() -> None:
    watch = Watch(5)
    watch.judge(DOWN, 0)
    assert watch.judge(DOWN, 5) == "down"
    assert watch.judge(DOWN, 10) == "down"


def handlers(reasons: list[str], *standstills: str) -> dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]]:
    async def health(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"healthy": not reasons, "reasons": reasons}

    async def status(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"last_decision_ms": 7, "standstills": list(standstills)}

    return {Verb.HEALTH: health, Verb.STATUS: status}


async def test_a_look_says_what_the_node_says_of_itself(tmp_path: Path) -> None:
    control = tmp_path / "control.sock"
    assert "no node answers" in (await look_at_node(control)).reasons[0]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, control, handlers([]))
        assert await look_at_node(control) == WELL
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, control, handlers(["the mesh is down"]))
        assert await look_at_node(control) == Seen(("the mesh is down",), 7)
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, control, handlers([], "disk: full"))
        assert await look_at_node(control) == Seen(("disk: full",), 7)
        nursery.cancel_scope.cancel()


async def test_a_node_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(arguments: dict[str, Any]) -> dict[str, Any]:
        await trio.sleep_forever()
        return {}

    monkeypatch.setattr(watchdog_module, "ANSWER_SECONDS", 0.05)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, tmp_path / "control.sock", {Verb.HEALTH: hang})
        assert "no answer within" in (await look_at_node(tmp_path / "control.sock")).reasons[0]
        nursery.cancel_scope.cancel()


async def test_the_program_is_told_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog_module, "POLL_SECONDS", 0.01)
    told = tmp_path / "told"
    program = f"import pathlib, sys; pathlib.Path({str(told)!r}).write_text(sys.stdin.read())"
    section = WatchdogSection.model_construct(
        url=None, secret_file=None, command=(sys.executable, "-c", program), after_seconds=0
    )
    async with trio.open_nursery() as nursery:
        send = make_sender(section, "alba")
        nursery.start_soon(run_watchdog, tmp_path / "control.sock", section, send)
        with trio.fail_after(DEADLINE_SECONDS):
            while not await trio.Path(told).exists() or not told.read_text():  # noqa: ASYNC110 - as a file
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()
    alarm = json.loads(told.read_text())
    assert (alarm["type"], alarm["state"], alarm["member"]) == ("tocsin.watchdog", "down", "alba")
    assert "no node answers" in alarm["reasons"][0]


async def test_a_program_that_fails_has_told_nobody() -> None:
    section = WatchdogSection(command=(sys.executable, "-c", "raise SystemExit(3)"))
    assert not await make_sender(section, "alba")({"state": "down"})


async def test_a_webhook_nobody_takes_has_told_nobody(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + "A" * 43 + "=")
    secret.chmod(0o600)
    section = WatchdogSection(url="http://127.0.0.1:9/", secret_file=secret)
    assert not await make_sender(section, "alba")({"state": "down"})
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="0600 is wanted"):
        make_sender(section, "alba")


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "https://pager.example.org/"},
        {"url": "http://pager.example.org/", "secret_file": Path("secret")},
        {"command": ("alarm",)},
        {"after_seconds": 1},
    ],
)
def test_a_section_that_could_tell_nobody_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"together|https|absolute|greater"):
        WatchdogSection(**wrong)
