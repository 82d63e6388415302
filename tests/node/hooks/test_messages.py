"""What a webhook and a command are told: Standard Webhooks, CloudEvents 1.0, OpenC2 1.0."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from chain_kit import DEADLINE_S, OCCASION, MemoryJournal
from http_server import Call, Reply, serve_http
from standardwebhooks.webhooks import Webhook
from tocsin_node.clock import now_ms
from tocsin_node.hooks.hook import Answer
from tocsin_node.hooks.message_config import WebhookHookConfig
from tocsin_node.hooks.messages import write_message
from tocsin_node.hooks.openc2 import openc2_command
from tocsin_node.hooks.webhook import WebhookHook
from tocsin_node.outbound import open_client
from tocsin_protocol.containment.action import Action, new_action
from tocsin_protocol.containment.life_cycle import State

SECRET = bytes(range(32))


def config(url: str = "http://127.0.0.1:1/", **settings: Any) -> WebhookHookConfig:
    base = {"kind": "webhook", "name": "pager", "target": "pool", "url": url, "secret_file": Path("secret")}
    return WebhookHookConfig(**(base | settings))


def intend(hook: WebhookHook, journal: MemoryJournal) -> Action:
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
            deadline_ms=now + 600_000,
        )
    )


async def post(**settings: Any) -> tuple[Action, list[Call], MemoryJournal]:
    """Run one hook against a receiver that says yes."""
    calls: list[Call] = []

    async def handle(call: Call) -> Reply:
        calls.append(call)
        return Reply(status=202)

    journal = MemoryJournal()
    with trio.fail_after(DEADLINE_S):
        async with serve_http(handle) as url, open_client() as client:
            hook = WebhookHook(config(url + "/x", **settings), SECRET, client)
            return await hook.run(intend(hook, journal), journal), calls, journal


async def test_a_cloudevent_is_structured_json_under_the_signature_of_the_standard() -> None:
    done, calls, _ = await post(form="cloudevents")
    assert done.state is State.EFFECTIVE
    assert calls[0].headers["content-type"] == "application/cloudevents+json"
    event = Webhook("whsec_" + base64.b64encode(SECRET).decode()).verify(calls[0].body, calls[0].headers)
    assert event["specversion"] == "1.0"
    for attribute in ("id", "source", "type", "subject", "datacontenttype"):
        assert isinstance(event[attribute], str), attribute
        assert event[attribute], attribute
    # RFC 3339, and attribute names of lower-case letters and digits, as CloudEvents wants them
    assert datetime.fromisoformat(event["time"]).utcoffset() == timedelta(0)
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", name) for name in event)
    assert event["data"]["category"] == "asset.drain"


async def test_the_standard_form_stays_what_it_was() -> None:
    _, calls, _ = await post()
    assert calls[0].headers["content-type"] == "application/json"
    assert set(json.loads(calls[0].body)) == {"type", "timestamp", "data"}


async def test_an_openc2_command_comes_along_on_request() -> None:
    _, calls, _ = await post(openc2=True, form="cloudevents", ends_after_minutes=30)
    assert json.loads(calls[0].body)["data"]["openc2"] == openc2_command(OCCASION, "pager", "pool", 30)


def test_an_openc2_command_has_one_action_one_target_and_arguments_of_the_language() -> None:
    command = openc2_command(OCCASION, "pause-pool", "eip155:1:0x" + "11" * 20, 60)
    assert set(command) == {"action", "target", "args", "actuator", "command_id"}
    assert command["action"] == "contain"
    assert command["target"] == {"x-tocsin:account": "eip155:1:0x" + "11" * 20}
    assert re.fullmatch(r"\S{0,36}", command["command_id"])
    assert command["args"]["start_time"] == OCCASION.decided_ms
    assert command["args"]["duration"] == 3_600_000
    assert command["args"]["response_requested"] in ("none", "ack", "status", "complete")
    assert set(command["args"]) - {"start_time", "stop_time", "duration", "response_requested"} == {"x-tocsin"}
    # no duration where the other side does not end it
    assert "duration" not in openc2_command(OCCASION, "pager", "on-call", None)["args"]
    assert openc2_command(OCCASION, "pager", "on-call", None)["target"] == {"x-tocsin:name": "on-call"}


@pytest.mark.parametrize("change", [{"decided_ms": 1}, {"incident_id": bytes(32)}])
def test_a_message_of_another_node_or_drill_with_the_same_count_of_decisions_has_another_id(
    change: dict[str, Any],
) -> None:
    settings = config(openc2=True, form="cloudevents")
    ids = set()
    for occasion in (OCCASION, replace(OCCASION, **change)):
        event = json.loads(write_message(settings, occasion))
        assert event["data"]["openc2"]["command_id"] == event["id"]
        ids.add(event["id"])
    other = json.loads(write_message(config(openc2=True, form="cloudevents", name="other"), OCCASION))
    assert len(ids | {other["id"]}) == 3


async def test_a_right_that_ended_is_refused_before_anything_is_posted() -> None:
    done, calls, _ = await post(capability_valid_until=datetime(2026, 1, 1, tzinfo=UTC))
    assert done.state is State.REFUSED
    assert "our right to use it ended at 2026-01-01 00:00 UTC" in done.reason
    assert calls == []


async def test_the_probe_of_a_webhook_connects_and_posts_nothing() -> None:
    calls: list[Call] = []

    async def handle(call: Call) -> Reply:
        calls.append(call)
        return Reply()

    async with serve_http(handle) as url, open_client() as client:
        (check,) = await WebhookHook(config(url + "/secret-path"), SECRET, client).probe()
        assert check.answer is Answer.OK
        assert "secret-path" not in check.sentence
    async with open_client() as client:
        (check,) = await WebhookHook(config(url), SECRET, client).probe()
    assert check.answer is Answer.NOT_OK
    assert calls == []


def test_what_takes_it_back_is_what_the_operator_wrote_down() -> None:
    hook = WebhookHook(config(undo="call the exchange: +41 …"), SECRET, open_client())
    proposal = hook.undo(intend(hook, MemoryJournal()))
    assert proposal is not None
    assert (proposal.sentence, proposal.calldata) == ("call the exchange: +41 …", None)
    bare = WebhookHook(config(), SECRET, open_client())
    assert bare.undo(intend(bare, MemoryJournal())) is None
