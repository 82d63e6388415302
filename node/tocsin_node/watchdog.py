"""The watchdog: a process of its own that asks the node how it is, and tells people when it does not answer well.

Starting the node again is the service manager's; this one only sees to it that somebody knows.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import structlog
import trio

from .care_config import WatchdogSection
from .clock import now_ms
from .control import call_control
from .control_verbs import Verb
from .errors import ControlError, NodeUnreachable
from .hooks.command import run_program
from .hooks.message_config import CommandHookConfig
from .outbound import open_client, post_json
from .webhook_signing import read_secret, sign_webhook

POLL_SECONDS = 5.0
# A node that needs longer for a word about itself is stuck.
ANSWER_SECONDS = 10.0
# While it lasts, people are told again.
REPEAT_SECONDS = 15 * 60.0
SEND_SECONDS = 15.0
ALARM_TYPE = "tocsin.watchdog"
MAX_ANSWER_BYTES = 64 * 1024
MAX_REASONS = 16

_log = structlog.get_logger("tocsin.watchdog")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look found: nothing in `reasons` is well. `last_decision_ms` is the node's own word, or None."""

    reasons: tuple[str, ...]
    last_decision_ms: int | None


Send = Callable[[dict[str, Any]], Awaitable[bool]]


async def look_at_node(control: Path) -> Seen:
    """Ask for health, and for the status that goes through the store; a node that is stuck answers neither."""
    try:
        with trio.fail_after(ANSWER_SECONDS):
            health = await call_control(control, Verb.HEALTH, watchdog=True)
            status = await call_control(control, Verb.STATUS)
    except (NodeUnreachable, ControlError) as exc:
        return Seen((str(exc),), None)
    except trio.TooSlowError:
        return Seen((f"no answer within {ANSWER_SECONDS:g} s",), None)
    # Why it stands still is for its people: health is what anybody may ask the feed for.
    reasons = [*status["standstills"], *health["reasons"]]
    return Seen(tuple(reasons[:MAX_REASONS]), status["last_decision_ms"])


class Watch:
    """Turns looks into alarms: one when it has been unwell for long enough, one in a while, one when it is over."""

    def __init__(self, after_seconds: float) -> None:
        self._after_seconds = after_seconds
        self._unwell_since: float | None = None
        self._told_at: float | None = None

    def judge(self, seen: Seen, now: float) -> str | None:
        """Return `down` or `well` when people are to be told; `now` in seconds of a clock that only runs."""
        if not seen.reasons:
            was_told, self._unwell_since, self._told_at = self._told_at is not None, None, None
            return "well" if was_told else None
        self._unwell_since = now if self._unwell_since is None else self._unwell_since
        # [CARE] The watchdog alarms when the node has not been well for after_seconds, and again each REPEAT_SECONDS.
        is_due = now - self._unwell_since >= self._after_seconds
        is_told = self._told_at is not None and now - self._told_at < REPEAT_SECONDS
        return "down" if is_due and not is_told else None

    def told(self, state: str, now: float) -> None:
        """Somebody was told; until this is called, every look says so again."""
        self._told_at = now if state == "down" else None


async def run_watchdog(control: Path, section: WatchdogSection, send: Send) -> None:
    """Look every POLL_SECONDS and tell people, until cancelled."""
    watch = Watch(section.after_seconds)
    while True:
        seen = await look_at_node(control)
        state = watch.judge(seen, trio.current_time())
        if state is not None:
            _log.log(40 if state == "down" else 20, "the node is " + state, reasons=seen.reasons)
            alarm = {"state": state, "reasons": list(seen.reasons), "last_decision_ms": seen.last_decision_ms}
            if await send(alarm):
                watch.told(state, trio.current_time())
        await trio.sleep(POLL_SECONDS)


def make_sender(section: WatchdogSection, member: str) -> Send:
    """Return what tells people: the webhook and the program of the config; raises ConfigError about the secret file."""
    secret = None if section.secret_file is None else read_secret(section.secret_file)

    async def send(alarm: dict[str, Any]) -> bool:
        at_ms = now_ms()
        body = json.dumps({"type": ALARM_TYPE, "at_ms": at_ms, "member": member, **alarm}, sort_keys=True).encode()
        told = [section.url is None and not section.command]
        if section.url is not None and secret is not None:
            told.append(await _post(section.url, secret, body, at_ms))
        if section.command:
            told.append(await _run(section.command, body))
        return any(told)

    return send


async def _post(url: str, secret: bytes, body: bytes, at_ms: int) -> bool:
    webhook_id = f"watchdog-{at_ms}"
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at_ms // 1000),
        "webhook-signature": sign_webhook(secret, webhook_id, at_ms // 1000, body),
    }
    async with open_client() as client:
        try:
            with trio.fail_after(SEND_SECONDS):
                status, _ = await post_json(client, url, body, max_bytes=MAX_ANSWER_BYTES, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, trio.TooSlowError) as exc:
            _log.error("the alarm did not arrive", why=type(exc).__name__)
            return False
    return 200 <= status < 300


async def _run(command: tuple[str, ...], body: bytes) -> bool:
    config = CommandHookConfig(
        kind="command", name="watchdog", target="watchdog", argv=list(command), timeout_ms=int(1000 * SEND_SECONDS)
    )
    outcome = await run_program(config, body)
    if not outcome.is_done:
        _log.error("the alarm's program failed", why=outcome.sentence)
    return outcome.is_done
