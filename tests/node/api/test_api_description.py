"""The OpenAPI description: a validator takes it, and what it allows is answered as it says."""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from api_kit import Desk, about
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from tocsin_node.api.access import Scope

SOAK_VARIABLE = "TOCSIN_SOAK_ROUNDS"


def test_the_description_is_valid_openapi(desk: Desk) -> None:
    description = desk.client.request("GET", "/openapi.json").json()
    assert description["openapi"].startswith("3.1")
    validate(description, cls=OpenAPIV31SpecValidator)
    for path, verbs in description["paths"].items():
        for verb, operation in verbs.items():
            assert operation.get("description"), (path, verb)
            assert "application/problem+json" in operation["responses"]["422"]["content"], (path, verb)


@pytest.mark.parametrize(
    "examples", [5, pytest.param(10 * int(os.environ.get(SOAK_VARIABLE, "100")), marks=pytest.mark.soak, id="soak")]
)
@pytest.mark.parametrize("scope", [Scope.PUBLIC, Scope.OPERATOR])
def test_whatever_is_asked_is_answered_as_described(
    desk: Desk, scope: Scope, examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.say(*(about(n) for n in range(5)))
    # no end of requests, and no relay to hand them to
    monkeypatch.setattr(type(desk.feed.limits), "_take", lambda *_: None)
    app = desk.client.app
    schema = schemathesis.openapi.from_dict(app.openapi())
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in ("/v1/live",):
            continue

        @given(case=operation.as_strategy())
        @settings(
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: Any) -> None:
            sent = case.as_transport_kwargs(base_url="http://feed")
            sent.pop("cookies", None)
            headers = dict(sent.pop("headers", {}) or {}) | desk.key(scope)
            answer = desk.client.request(sent.pop("method"), sent.pop("url"), headers=headers, **sent)
            assert answer.status_code < 500 or answer.status_code == 503, (case, answer.text)
            if answer.status_code >= 400 and case.path != "/healthz":
                assert answer.headers["content-type"] == "application/problem+json", (case, answer.text)
                assert answer.json()["status"] == answer.status_code

        ask()
