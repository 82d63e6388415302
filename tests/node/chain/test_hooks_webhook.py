from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from chain_kit import DEADLINE_S, OCCASION, MemoryJournal
from http_server import Call, Reply, serve_http
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tocsin_node.clock import now_ms
from tocsin_node.errors import ConfigError
from tocsin_node.hooks.config import WebhookHookConfig
from tocsin_node.hooks.webhook import WebhookHook
from tocsin_node.outbound import open_client
from tocsin_node.webhook_signing import read_secret
from tocsin_protocol.containment.action import Action, new_action
from tocsin_protocol.containment.life_cycle import Event, State

SECRET = bytes(range(32))


@dataclass
class Receiver:
    """The operator's own service: what it got, and what it answers next; the last answer stays."""

    replies: list[Reply | None] = field(default_factory=lambda: [Reply()])
    calls: list[Call] = field(default_factory=list)
    before_reply: Callable[[], Awaitable[None]] | None = None
    url: str = ""

    async def handle(self, call: Call) -> Reply | None:
        self.calls.append(call)
        if self.before_reply is not None:
            await self.before_reply()
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@asynccontextmanager
async def open_receiver(*replies: Reply | None) -> AsyncIterator[Receiver]:
    receiver = Receiver(list(replies) or [Reply()])
    async with serve_http(receiver.handle) as url:
        receiver.url = url + "/contain"
        yield receiver


async def run(journal: MemoryJournal, action: Action, url: str, **settings: Any) -> Action:
    patience = {"retry_min_ms": 5, "retry_max_ms": 20, "timeout_ms": 30_000}
    config = WebhookHookConfig(
        **(
            {"kind": "webhook", "name": "pager", "target": "pool", "url": url, "secret_file": "secret"}
            | patience
            | settings
        )
    )
    with trio.fail_after(DEADLINE_S):
        async with open_client() as client:
            return await WebhookHook(config, SECRET, client).run(action, journal)


def intend(journal: MemoryJournal, *, for_ms: int = 600_000) -> Action:
    config = WebhookHookConfig(
        kind="webhook", name="pager", target="pool", url="http://127.0.0.1:1/", secret_file=Path("secret")
    )
    payload = WebhookHook(config, SECRET, open_client()).payload(OCCASION)
    now = now_ms()
    return journal.add(
        new_action(
            ledger=bytes(16),
            hook="pager",
            target="pool",
            arm_epoch=1,
            incident_id=OCCASION.incident_id,
            decision_id=OCCASION.decision_id,
            payload=payload,
            created_ms=now,
            deadline_ms=now + for_ms,
        )
    )


def judge(call: Call) -> Any:
    """What the reference implementation of Standard Webhooks makes of a request."""
    return Webhook("whsec_" + base64.b64encode(SECRET).decode()).verify(call.body, call.headers)


async def test_a_webhook_is_signed_as_the_standard_wants_and_confirmed_by_a_2xx() -> None:
    journal = MemoryJournal()
    async with open_receiver(Reply(status=204, body=b"")) as receiver:
        done = await run(journal, intend(journal), receiver.url)
    assert done.state is State.EFFECTIVE
    assert done.reason == "answered 204"
    assert journal.events == [Event.SEND, Event.CONFIRM]
    assert judge(receiver.calls[0])["data"] == {
        "category": "asset.drain",
        "decision": "02" * 8,
        "hook": "pager",
        "incident": "01" * 32,
        "severity": "critical",
        "subjects": ["eip155:31337:0x" + "ab" * 20],
        "summary": "two organisations report a drain",
        "target": "pool",
    }


async def test_one_changed_byte_breaks_the_signature() -> None:
    journal = MemoryJournal()
    async with open_receiver() as receiver:
        await run(journal, intend(journal), receiver.url)
    call = receiver.calls[0]
    with pytest.raises(WebhookVerificationError):
        judge(Call(call.target, call.headers, call.body.replace(b"critical", b"criticaL")))


async def test_failures_are_tried_again_under_one_id() -> None:
    journal = MemoryJournal()
    async with open_receiver(Reply(status=500), None, Reply(status=429), Reply(status=200)) as receiver:
        done = await run(journal, intend(journal), receiver.url)
    assert done.state is State.EFFECTIVE
    assert done.attempts == 4
    assert {call.headers["webhook-id"] for call in receiver.calls} == {done.action_id.hex()}
    for call in receiver.calls:
        judge(call)


async def test_tries_are_bounded() -> None:
    journal = MemoryJournal()
    async with open_receiver(Reply(status=429)) as receiver:
        done = await run(journal, intend(journal), receiver.url, max_attempts=3)
    assert done.state is State.FAILED
    assert done.reason == "answered 429; given up after try 3"
    assert len(receiver.calls) == 3


async def test_a_redirect_is_not_followed() -> None:
    journal = MemoryJournal()
    async with open_receiver() as elsewhere, open_receiver(Reply(302, headers={"location": elsewhere.url})) as receiver:
        done = await run(journal, intend(journal), receiver.url, max_attempts=2)
    assert done.state is State.FAILED
    assert elsewhere.calls == []


async def test_a_receiver_that_is_gone_is_not_asked_again() -> None:
    journal = MemoryJournal()
    async with open_receiver(Reply(status=410)) as receiver:
        done = await run(journal, intend(journal), receiver.url)
    assert done.state is State.FAILED
    assert len(receiver.calls) == 1


async def test_a_receiver_that_never_answers_is_left_after_the_deadline_of_a_try() -> None:
    journal = MemoryJournal()
    async with open_receiver() as receiver:
        receiver.before_reply = trio.sleep_forever
        done = await run(journal, intend(journal), receiver.url, max_attempts=2, timeout_ms=1_000)
    assert done.state is State.UNKNOWN
    assert done.reason.startswith("no answer within 1000 ms")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (None, "no answer: RemoteProtocolError"),
        *((Reply(status), f"answered {status}") for status in (500, 502, 503, 504)),
    ],
)
async def test_what_may_have_arrived_is_not_failed(reply: Reply | None, said: str) -> None:
    journal = MemoryJournal()
    async with open_receiver(reply) as receiver:
        done = await run(journal, intend(journal), receiver.url, max_attempts=2)
    assert done.state is State.UNKNOWN
    assert done.reason == f"{said}; whether it took effect is not known; given up after try 2"


async def test_what_was_never_sent_is_failed() -> None:
    journal = MemoryJournal()
    async with open_receiver() as receiver:
        pass
    done = await run(journal, intend(journal), receiver.url, max_attempts=2)
    assert (done.state, done.reason) == (State.FAILED, "not sent: ConnectError; given up after try 2")


async def test_a_cookie_is_not_kept() -> None:
    journal = MemoryJournal()
    async with open_receiver(Reply(500, headers={"set-cookie": "session=1; Path=/"}), Reply()) as receiver:
        done = await run(journal, intend(journal), receiver.url)
    assert done.state is State.EFFECTIVE
    assert [call.headers.get("cookie") for call in receiver.calls] == [None, None]


async def test_an_endless_answer_is_cut_off() -> None:
    journal = MemoryJournal()
    async with open_receiver(Reply(body=b"x" * 10_000_000)) as receiver:
        done = await run(journal, intend(journal), receiver.url)
    assert done.state is State.EFFECTIVE
    assert len(receiver.calls) == 1


async def test_an_intent_too_old_lapses_unsent() -> None:
    journal = MemoryJournal()
    async with open_receiver() as receiver:
        done = await run(journal, intend(journal, for_ms=-1), receiver.url)
    assert done.state is State.LAPSED
    assert receiver.calls == []


async def test_a_try_that_a_crash_cut_off_counts_and_keeps_its_id() -> None:
    journal = MemoryJournal()
    async with open_receiver() as receiver:
        action = intend(journal)
        scope = trio.CancelScope()
        journal.on_record = lambda event: scope.cancel()
        with scope:
            await run(journal, action, receiver.url)
        assert scope.cancelled_caught
        journal.on_record = None
        left = journal.actions[action.action_id]
        assert left.state is State.BROADCAST
        done = await run(journal, left, receiver.url)
    assert done.state is State.EFFECTIVE
    assert done.attempts == 2
    assert {call.headers["webhook-id"] for call in receiver.calls} == {action.action_id.hex()}


async def test_tries_of_earlier_runs_count_and_may_have_arrived() -> None:
    journal = MemoryJournal()
    action = intend(journal)
    for _ in range(3):
        action = await journal.record(action.action_id, Event.SEND, {})
    async with open_receiver() as receiver:
        done = await run(journal, action, receiver.url, max_attempts=3)
    assert (done.state, receiver.calls) == (State.UNKNOWN, [])


async def test_the_body_is_json_with_type_time_and_data() -> None:
    journal = MemoryJournal()
    body = json.loads(intend(journal).payload)
    assert body["type"] == "tocsin.containment"
    assert body["timestamp"] == "2023-03-13T08:50:00+00:00"


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!!", "whsec_" + base64.b64encode(b"short").decode()])
def test_a_secret_file_that_holds_no_secret_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="secret"):
        read_secret(file)


def test_a_secret_file_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("whsec_" + base64.b64encode(SECRET).decode() + "\n")
    os.chmod(file, 0o644)
    with pytest.raises(ConfigError, match="0600"):
        read_secret(file)
    file.chmod(0o600)
    assert read_secret(file) == SECRET
