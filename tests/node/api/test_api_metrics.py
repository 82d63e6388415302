"""What the feed counts of itself: by routes and never by what somebody wrote, and up to date when it is asked."""

from __future__ import annotations

from typing import Any

import pytest
from api_kit import Desk, about
from fastapi import FastAPI
from tocsin_node.api.access import Scope
from tocsin_node.api.app import create_app
from tocsin_node.api.gauges import render_metrics
from tocsin_node.api.keys import revoke_key
from tocsin_node.api.live.events import LiveFilter
from tocsin_node.api.subscriptions import add_webhook, bury, list_webhooks, suspend_webhook
from tocsin_node.clock import now_ms
from tocsin_node.control_verbs import Verb
from tocsin_node.errors import NodeUnreachable


def sample(desk: Desk, name: str, **labels: str) -> float | None:
    """A metric as it stands when somebody asks."""
    assert f"tocsin_feed_{name}" in render_metrics(desk.feed)
    return desk.feed.metrics.registry.get_sample_value(f"tocsin_feed_{name}", labels)


def test_requests_are_counted_by_route_and_status(desk: Desk) -> None:
    (signal,) = desk.say(about(1))
    assert desk.get(f"/v1/signals/{signal.digest.hex()}").status_code == 200
    assert desk.get(f"/v1/signals/{'0' * 64}").status_code == 404
    route = "/signals/{digest}"
    assert sample(desk, "requests_total", route=route, status="200") == 1
    assert sample(desk, "requests_total", route=route, status="404") == 1
    assert sample(desk, "request_seconds_count", route=route) == 2


def test_what_is_mounted_is_counted_by_its_whole_route(desk: Desk) -> None:
    for path in ("/taxii2/tocsin/collections/clear/", "/taxii2//tocsin/collections/clear"):
        assert desk.get(path).status_code == 200
    route = "/taxii2/tocsin/collections/{name}/"
    assert sample(desk, "requests_total", route=route, status="200") == 2


def test_a_path_that_somebody_wrote_makes_no_series(desk: Desk) -> None:
    for number in range(5):
        assert desk.get(f"/nowhere-{number}").status_code == 404
        assert desk.get(f"/taxii2/nowhere-{number}").status_code == 404
    assert "nowhere" not in render_metrics(desk.feed)
    assert sample(desk, "requests_total", route="none", status="404") == 10


def test_what_nobody_foresaw_is_counted_apart(desk: Desk) -> None:
    app: FastAPI = create_app(desk.feed)

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError

    assert sample(desk, "failures_total") == 0
    desk.client.app = app
    desk.client._client._transport.app = app  # type: ignore[attr-defined]
    assert desk.get("/broken").status_code == 500
    assert sample(desk, "failures_total") == 1


def test_who_is_refused_is_counted_too(desk: Desk) -> None:
    headers = desk.key(Scope.MEMBER)
    revoke_key(desk.feed.db, headers["authorization"].split("_")[1], now_ms())
    assert desk.get("/v1/log", Scope.MEMBER).status_code == 401
    too_large = b"x" * (3 * 1024 * 1024)
    answer = desk.client.request("POST", "/v1/signals", content=too_large, headers=desk.key(Scope.OPERATOR))
    assert answer.status_code == 413
    assert sample(desk, "requests_total", route="/log", status="401") == 1
    assert sample(desk, "requests_total", route="none", status="413") == 1


def test_how_far_the_feed_is_behind_is_read_when_somebody_asks(desk: Desk) -> None:
    desk.index()
    desk.say(about(1), about(2), index=False)
    assert sample(desk, "index_behind_signals") == 2
    behind = sample(desk, "export_behind_entries")
    assert behind is not None
    assert behind >= 2
    desk.index()
    assert sample(desk, "index_behind_signals") == 0


def test_webhooks_and_what_they_refused_are_told(desk: Desk) -> None:
    desk.index()
    assert sample(desk, "webhooks", state="active") == 0
    for number in range(2):
        url = f"https://desk.example.org/{number}"
        add_webhook(desk.feed.db, url, "a desk", Scope.MEMBER, LiveFilter(), b"s" * 32, now_ms() + number, 0)
    first, second = list_webhooks(desk.feed.db)
    suspend_webhook(desk.feed.db, first, "answered 410")
    bury(desk.feed.db, second, 1, "answered 400", now_ms())
    assert (sample(desk, "webhooks", state="active"), sample(desk, "webhooks", state="suspended")) == (1, 1)
    assert sample(desk, "dead_letters") == 1
    behind = sample(desk, "webhook_behind_entries")
    assert behind is not None
    assert behind >= 1
    for outcome in ("arrived", "refused", "away", "gone"):
        assert desk.feed.metrics.tries.labels(outcome) is not None


def test_the_operator_gets_both_the_relays_and_the_feeds(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.index()
    asked: list[Verb] = []

    def answer(path: object, verb: Verb, arguments: object) -> Any:
        asked.append(verb)
        return {"text": "tocsin_mesh_up 1.0\n"}

    monkeypatch.setattr("tocsin_node.api.context.request_control", answer)
    found = desk.get("/metrics")
    assert found.status_code == 200
    assert found.text.startswith("tocsin_mesh_up 1.0\n# HELP tocsin_feed_")
    assert asked == [Verb.METRICS]
    for scope in (Scope.PUBLIC, Scope.MEMBER, Scope.INSURER, Scope.SENDER):
        assert desk.get("/metrics", scope).status_code in (401, 403)


def test_without_the_relay_there_are_none(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(path: object, verb: Verb, arguments: object) -> Any:
        raise NodeUnreachable("no node answers")

    monkeypatch.setattr("tocsin_node.api.context.request_control", unreachable)
    assert desk.get("/metrics").status_code == 503
